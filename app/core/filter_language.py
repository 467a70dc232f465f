"""The language of filters: text such as `price < 50 and "in stock" and brand in ('acme', 'peak')`.

A text is parsed once, then checked against the declared attributes for each request.
"""

import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Annotated, Any, Final, TypeAlias

from lark import Lark, Token, Transformer, UnexpectedInput, v_args
from lark.exceptions import UnexpectedCharacters, UnexpectedToken
from msgspec import Meta

from app.core.attributes import BUILT_IN, AttributeType, ReadTime
from app.core.decoding import InvalidInput
from app.core.field_errors import FieldError
from app.core.filter_checks import FilterChecker
from app.core.filters import All, AnyOf, Filter, Instant
from app.core.written_filters import Joined, Negated, Test, Value, Written

MAX_LENGTH: Final = 4_000
MAX_DEPTH: Final = 40
PATH: Final = "$.filter"

FilterText: TypeAlias = Annotated[
    str,
    Meta(
        min_length=1,
        max_length=MAX_LENGTH,
        description="Only items that this expression keeps, such as `price < 50 and categories has 'camping'`.",
    ),
]

_GRAMMAR: Final = r"""
?start: either
either: both ("or"i both)*
both: negation ("and"i negation)*
?negation: "not"i negation -> negated
    | "(" either ")"
    | test
test: name -> bare
    | name "exists"i -> exists
    | name COMPARISON value -> compared
    | name "in"i values -> one_of
    | name "not"i "in"i values -> none_of
    | name "has"i value -> has
    | "distance"i "(" name "," NUMBER "," NUMBER ")" COMPARISON NUMBER LENGTH -> near
name: WORD | DOUBLE
values: "(" value ("," value)* ")"
value: NUMBER -> number
    | (SINGLE | DOUBLE) -> text
    | "true"i -> true
    | "false"i -> false
    | "now"i [SIGN AMOUNT AGE] -> now
COMPARISON: "<=" | ">=" | "!=" | "=" | "<" | ">"
WORD: /[^\W\d]\w*/i
DOUBLE: /"(?:[^"\\]|\\.)*"/
SINGLE: /'(?:[^'\\]|\\.)*'/
NUMBER: /-?(?:\d{1,40}(?:\.\d{0,40})?|\.\d{1,40})(?:e[+-]?\d{1,2})?/i
AMOUNT: /(?:\d{1,40}(?:\.\d{0,40})?|\.\d{1,40})(?:e[+-]?\d{1,2})?/i
LENGTH: /km|m/i
AGE: /[dh]/i
SIGN: "+" | "-"
%ignore /\s+/
"""

_TOKENS: Final[Mapping[str, str]] = {
    "WORD": "a name",
    "DOUBLE": '"a name"',
    "SINGLE": "'text'",
    "NUMBER": "a number",
    "AMOUNT": "a number",
    "COMPARISON": "one of < <= > >= = !=",
    "LENGTH": "km or m",
    "AGE": "d or h",
    "SIGN": "+ or -",
    "LPAR": "`(`",
    "RPAR": "`)`",
    "COMMA": "`,`",
    "$END": "the end",
}
_HOURS_MS: Final = {"h": 3_600_000, "d": 86_400_000}
_LONGEST_MS: Final = 1e16  # some 300,000 years: nothing is further away
_METRES: Final = {"m": 1.0, "km": 1_000.0}
# So many characters are shown of what is wrong.
_SHOWN: Final = 20
_ESCAPED: Final = re.compile(r"\\(.)", re.DOTALL)


class UnfitFilter(InvalidInput):
    """The text is a filter, and does not fit the declared attributes."""


class _TooDeep(Exception):
    """Brackets and negations stand in each other more than `MAX_DEPTH` times."""


@v_args(inline=True)
class _Writer(Transformer[Token, Written]):
    """Makes the tree while the parser goes, so that no depth of brackets is a depth of calls."""

    def either(self, *parts: Written) -> Written:
        return _joined(AnyOf, parts)

    def both(self, *parts: Written) -> Written:
        return _joined(All, parts)

    def negated(self, part: Written) -> Written:
        return Negated(part, _deeper([part]))

    def name(self, token: Token) -> tuple[str, int]:
        text = str(token) if token.type == "WORD" else _unquoted(token)
        return text, (token.start_pos or 0) + 1

    def bare(self, name: tuple[str, int]) -> Test:
        return Test(*name, "bare")

    def exists(self, name: tuple[str, int]) -> Test:
        return Test(*name, "exists")

    def compared(self, name: tuple[str, int], comparison: Token, value: Value) -> Written:
        if comparison == "!=":
            return self.negated(Test(*name, "compared", "=", (value,)))
        return Test(*name, "compared", str(comparison), (value,))

    def one_of(self, name: tuple[str, int], values: tuple[Value, ...]) -> Test:
        return Test(*name, "one_of", "=", values)

    def none_of(self, name: tuple[str, int], values: tuple[Value, ...]) -> Written:
        return self.negated(self.one_of(name, values))

    def has(self, name: tuple[str, int], value: Value) -> Test:
        return Test(*name, "has", "=", (value,))

    def near(self, name: tuple[str, int], lat: Token, lon: Token, comparison: Token, far: Token, unit: Token) -> Test:
        metres = float(far) * _METRES[unit.lower()]
        return Test(*name, "near", str(comparison), (metres,), (float(lat), float(lon)))

    def values(self, *values: Value) -> tuple[Value, ...]:
        return values

    def number(self, token: Token) -> float:
        return float(token)

    def text(self, token: Token) -> str:
        return _unquoted(token)

    def true(self) -> bool:
        return True

    def false(self) -> bool:
        return False

    def now(self, sign: Token | None, amount: Token | None, unit: Token | None) -> Instant:
        if sign is None or amount is None or unit is None:
            return Instant(0, relative=True)
        offset_ms = float(sign + amount) * _HOURS_MS[unit.lower()]
        return Instant(int(min(max(offset_ms, -_LONGEST_MS), _LONGEST_MS)), relative=True)


_PARSER: Final = Lark(_GRAMMAR, parser="lalr", transformer=_Writer(), maybe_placeholders=True)


def filter_of(text: str, declared: Mapping[str, AttributeType], read_time: ReadTime, path: str = PATH) -> Filter:
    """The filter that the text stands for. Raises `InvalidInput` with what is wrong with it, and where: `UnfitFilter`
    where it does not fit the attributes.
    """
    written = _parsed(text)
    if isinstance(written, str):
        raise InvalidInput(FieldError(path, written))
    checker = FilterChecker({**declared, **BUILT_IN}, read_time)
    root = checker.node(written)
    if checker.faults:
        raise UnfitFilter(*(FieldError(path, fault) for fault in checker.faults))
    return Filter(root, frozenset(checker.names))


@lru_cache(maxsize=1_000)
def _parsed(text: str) -> Written | str:
    """The tree, or what is wrong with the text."""
    try:
        tree: Any = _PARSER.parse(text)
    except UnexpectedInput as error:
        return _syntax_fault(text, error)
    except _TooDeep:
        return f"brackets and `not` stand in each other more than {MAX_DEPTH} times"
    written: Written = tree
    return written


def _syntax_fault(text: str, error: UnexpectedInput) -> str:
    expected: set[str] | None = None
    at = len(text)
    if isinstance(error, UnexpectedToken):
        expected = error.expected
        at = at if error.token.type == "$END" else error.token.start_pos or 0
    elif isinstance(error, UnexpectedCharacters):
        expected, at = error.allowed, error.pos_in_stream or 0
    names = sorted({_TOKENS.get(name, f"`{name.lower()}`") for name in expected or ()})
    rest = text[at : at + _SHOWN]
    where = f"at character {at + 1}, before {rest}" if rest else "at the end"
    return f"not a filter: expected {', '.join(names)} {where}"


def _joined(kind: type[All | AnyOf], parts: Sequence[Written]) -> Written:
    return parts[0] if len(parts) == 1 else Joined(kind, tuple(parts), _deeper(parts))


def _deeper(parts: Sequence[Written]) -> int:
    depth = max(map(_depth, parts)) + 1
    if depth > MAX_DEPTH:
        raise _TooDeep
    return depth


def _depth(written: Written) -> int:
    return 0 if isinstance(written, Test) else written.depth


def _unquoted(token: Token) -> str:
    return _ESCAPED.sub(r"\1", token[1:-1])
