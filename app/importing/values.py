"""What single values of a file mean: missing words, flags, ids, and where a value is found."""

import ast
import re
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from typing import Any, Final

import msgspec

ALTERNATIVES: Final = "|"
JOINED: Final = "+"
_MISSING: Final = frozenset(
    {
        *("", "NA", "N/A", "n/a", "<NA>", "NULL", "Null", "null", "\\N", "nan", "NaN", "NAN", "-nan", "-NaN", "NaT"),
        *("None", "NONE", "none", "(none)", "(None)", "nil", "NIL", "<nil>", "undefined", "Undefined", "UNDEFINED"),
        *("(null)", "(NULL)", "[null]", "[NULL]", "<null>", "<NULL>", "(not set)", "-", "1.#QNAN", "-1.#IND"),
        *("#N/A", "#NA", "#N/A N/A", "#NULL!", "#REF!", "#VALUE!", "#DIV/0!", "#NAME?", "#NUM!", "#CALC!", "#SPILL!"),
        # What Go and MySQL write where there is no time.
        *("0001-01-01T00:00:00Z", "0001-01-01 00:00:00 +0000 UTC", "0000-00-00", "0000-00-00 00:00:00"),
    }
)
# A byte order mark, which stands within a file that several were joined to, and a space without a width.
_INVISIBLE: Final = "\ufeff\u200b"
# With three digits behind it, a comma may be between thousands, unless a zero is before it.
_DECIMAL_COMMA: Final = re.compile(r"[+-]?(?:\d+,(?:\d{1,2}|\d{4,})|0,\d+)")
# Two marks between thousands, or one and another before the decimals, leave no doubt.
_GROUPED: Final = re.compile(
    r"[+-]?\d{1,3}(?P<mark>[,. '\u00a0\u202f\u2019])\d{3}(?:(?P=mark)\d{3})*(?P<part>[.,]\d+)?"
)
# A price may name its currency. What begins with a zero is a number of a house or an article, and no quantity.
_MONEY: Final = r"(?:[A-Z]{3}|[$€£¥])"
_AMOUNT: Final = re.compile(
    rf"(?:{_MONEY}\s?)?([+-]?(?:0(?!\d)|[1-9])[\d.,' \u00a0\u202f\u2019]*(?:[eE][+-]?\d+)?)(?:\s?{_MONEY})?"
)
# Spreadsheets write flags in the language of the user, MySQL those of the type BIT as bytes.
_YES: Final = frozenset(
    {
        *("true", "t", "yes", "y", "on", "1", "1.0", "-1", "\x01", "b'1'", "0x01"),
        *("wahr", "ja", "vrai", "oui", "verdadero", "vero", "verdadeiro", "waar", "sant", "sand", "prawda", "tak"),
        *("sí", "sì", "si", "sim"),
    }
)
_NO: Final = frozenset(
    {
        *("false", "f", "no", "n", "off", "0", "0.0", "\x00", "b'0'", "0x00"),
        *("falsch", "nein", "faux", "non", "falso", "onwaar", "nee", "falskt", "falsk", "nej", "fałsz", "nie", "não"),
    }
)
# Keeps a spreadsheet from making a number of it.
_FORMULA: Final = re.compile(r'="([^"]*)"')


class Refused(ValueError):
    """Why some values are not valid; the reader turns it into a `BadRow`."""


def absent(value: Any) -> bool:
    """Whether the value is missing: left out, null, an empty cell, NaN, or a word that stands for one of these."""
    if type(value) is str:
        return value in _MISSING or ((value[0] <= " " or value[-1] <= " ") and value.strip() in _MISSING)
    return value is None or value != value  # NaN alone is not equal to itself


def flag_of(value: Any) -> bool | None:
    """The flag that a value is, in its usual forms; None if it is none."""
    text = str(value).strip().lower()
    return True if text in _YES else False if text in _NO else None


def id_of(values: Mapping[str, Any], column: str) -> str:
    """The value as an id, without spaces around it; a whole number without its decimals. Raises `Refused`."""
    value = values.get(column)
    if absent(value):
        raise Refused(f"{column}: the value is missing")
    if isinstance(value, str):
        return id_text(value)
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    raise Refused(f"{column}: {shown(value)} is not a valid id")


def id_text(text: str) -> str:
    """The id that a text is, without spaces around it; a whole number without its decimals."""
    text = text.strip() if text.isascii() else text.strip().strip(_INVISIBLE).strip()
    if text[:1] == "=" and (found := _FORMULA.fullmatch(text)):
        text = found[1].strip()
    if "." in text:
        # A column of whole numbers in which some are missing is written as 17850.0, and one of decimals as 17850.00.
        whole, _, decimals = text.partition(".")
        return whole if whole.isdecimal() and not decimals.strip("0") else text
    if "," in text and text.endswith((",0", ",00")):  # with more zeros, a comma is between thousands
        whole = text.partition(",")[0]
        return whole if whole.isdecimal() and text.count(",") == 1 else text
    return text


def number_of(value: Any) -> float | None:
    """The number that a value is, also with a comma before its decimals, or with marks between its thousands; None if
    it is none, or may be two: 1,234.
    """
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        if not isinstance(value, str) or (plain := _plain_number(value.strip())) is None:
            return None
        number = float(plain)
    return number if number == number else None  # NaN is none


def _plain_number(text: str) -> str | None:
    """The digits of a number that is written for people."""
    if _DECIMAL_COMMA.fullmatch(text):
        return text.replace(",", ".")
    found = _GROUPED.fullmatch(text)
    if found is None:
        return None
    mark, part = found["mark"], found["part"] or ""
    clear = part or mark not in ",." or text.count(mark) > 1
    if not clear or part.startswith(mark):
        return None
    return text.removesuffix(part).replace(mark, "") + part.replace(",", ".")


def amount_of(text: str) -> float | None:
    """The number in a text that may name its currency, such as `12.50 EUR`; None for any other text."""
    found = _AMOUNT.fullmatch(text.strip())
    return None if found is None else number_of(found[1])


def shown(value: Any) -> str:
    """The value for a message, cut off where it is long."""
    return repr(value)[:60]


def is_simple(column: str, present: Sequence[str]) -> bool:
    """Whether the column is one of the file's own, and not a path or a choice."""
    return column in present or not any(mark in column for mark in (".", ALTERNATIVES, JOINED))


def finder(column: str) -> Callable[[Mapping[str, Any]], Any]:
    """A function that finds a column's value: `a.b` is b within a, `a|b` is the first of both that is not missing, and
    `a+b` is both with a space between them.

    In a list of objects with a `name` or a `key`, and a `value`, b is the value of the one with this name; in any other
    list, 0 is the first value.
    """
    names = [(name, name.split("."), name.split(JOINED)) for name in column.split(ALTERNATIVES)]

    def find(values: Mapping[str, Any]) -> Any:
        value = None
        for name, path, parts in names:
            if name in values:
                value = values[name]
            elif len(parts) > 1:
                value = _joined([finder(part)(values) for part in parts])
            else:
                value = _within(values, path)
            if not absent(value):
                break
        return value

    return find


def _joined(parts: Sequence[Any]) -> str | None:
    """None where one is missing."""
    return None if any(map(absent, parts)) else " ".join(_written(part) for part in parts)


def _written(part: Any) -> str:
    # A workbook's date is a time at midnight.
    return part.date().isoformat() if isinstance(part, datetime) else str(part).strip()


def paths_of(values: Mapping[str, Any], depth: int = 3) -> list[str]:
    """The names of all values, those in objects, and in JSON text of objects, with the path to them."""
    found: list[str] = []
    for name, value in values.items():
        found.append(name)
        inner = _decoded(value, "{") if depth else None
        if isinstance(inner, dict):
            found += [f"{name}.{path}" for path in paths_of(inner, depth - 1)]
    return found


def as_list(value: Any) -> list[Any] | None:
    """The list that a value is, also as text of JSON or Python; None if it is none."""
    found = _decoded(value, "[")
    if found is None and isinstance(value, str) and "'" in value:
        with suppress(ValueError, SyntaxError, MemoryError, RecursionError):
            found = ast.literal_eval(value.strip())
    return found if isinstance(found, list) else None


def _decoded(value: Any, begins: str) -> Any:
    """What JSON text that begins so holds (None if it is no JSON); any other value as it is."""
    if not (isinstance(value, str) and value.lstrip().startswith(begins)):
        return value
    try:
        return msgspec.json.decode(value)
    except (msgspec.DecodeError, RecursionError):
        return None


def _by_name(pairs: Sequence[Any]) -> Mapping[str, Any]:
    """A list of objects that have a name, or a key, and a value each."""
    objects = [pair for pair in pairs if isinstance(pair, Mapping)]
    named = {pair["name"]: pair.get("value") for pair in objects if "name" in pair}
    return named or {pair["key"]: pair["value"] for pair in objects if "key" in pair and "value" in pair}


def _within(values: Any, path: Sequence[str]) -> Any:
    """The value at a path. A name may hold dots itself, and an object or a list may be JSON text."""
    values = _decoded(_decoded(values, "{"), "[")
    if isinstance(values, list):
        values = _by_name(values) or {str(place): value for place, value in enumerate(values)}
    if not isinstance(values, Mapping):
        return None
    for length in range(1, len(path) + 1):
        name = ".".join(path[:length])
        if name in values:
            return values[name] if length == len(path) else _within(values[name], path[length:])
    return None
