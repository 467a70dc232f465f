"""Brings a time that programs write for people, or in a notation of their own, into a form that a pattern reads."""

import re
from datetime import tzinfo
from typing import Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from msgspec import Struct

from app.importing.month_names import with_english_month

# Abbreviations that stand for one offset alone, as most do not: IST is India's, Israel's and Ireland's.
_OFFSETS: Final = {
    "UTC": "+0000",
    "GMT": "+0000",
    "Z": "+0000",
    "WET": "+0000",
    "WEST": "+0100",
    "CET": "+0100",
    "CEST": "+0200",
    "EET": "+0200",
    "EEST": "+0300",
    "MSK": "+0300",
    "JST": "+0900",
    "KST": "+0900",
    "AEST": "+1000",
    "AEDT": "+1100",
    "EST": "-0500",
    "EDT": "-0400",
    "CDT": "-0500",
    "MST": "-0700",
    "MDT": "-0600",
    "PST": "-0800",
    "PDT": "-0700",
}
_AROUND: Final = re.compile(
    r"""\[(?P<b>[^][]+)\]|(?P<q>['"])(?P<t>.+)(?P=q)|(?:ISODate|Timestamp|Date)\(["']?(?P<c>.+?)["']?\)"""
)
_NET: Final = re.compile(r"/Date\((?P<ms>-?\d+)(?:[+-]\d{4})?\)/")
_UNIT: Final = re.compile(r"(?P<number>-?\d+)(?:\.(?P<part>\d+))? ?(?P<unit>s|ms|us|µs|ns)")
_MILLIS: Final = {"s": 1000, "ms": 1}
_IN_A_MILLI: Final = {"us": 1000, "µs": 1000, "ns": 1_000_000}
_DB2: Final = re.compile(r"(\d{4}-\d\d-\d\d)-(\d\d)\.(\d\d)\.(\d\d)")
_ORACLE: Final = re.compile(r"(\d\d?-[A-Z]{3}-\d\d(?:\d\d)?) (\d\d?)\.(\d\d)\.(\d\d)(\.\d{1,6})?\d*", re.IGNORECASE)
_EAST_ASIAN: Final = re.compile(r"(\d{4})[年년] ?(\d\d?)[月월] ?(\d\d?)[日일] ?")
_SPACED_DOTS: Final = re.compile(r"(\d+)\. (\d+)\. (\d+)\.?(?= |$)")
_SAS: Final = re.compile(r"(\d\d?)([A-Z]{3})(\d{4})(?::(?=\d\d:)|(?= |$))", re.IGNORECASE)
_DOTTED_CLOCK: Final = re.compile(r"(?<=\d[./-])\d+ \d\d?\.\d\d(?:\.\d\d)?$")
_ONE_DIGIT: Final = re.compile(r"(\d{4})-(\d\d?)-(\d\d?)(?:([T ])(\d\d?)(?=:))?")
_ORDINAL: Final = re.compile(r"(?<=\d)(?:st|nd|rd|th)\b", re.IGNORECASE)
_SMALL_MARK: Final = re.compile(r"(?<=\d)[tz](?=\d\d|$)")
_HALF: Final = re.compile(r"(?<=\d) ?([ap])\.?m\.?(?![a-z])", re.IGNORECASE)
_WEEKDAY: Final = re.compile(r"(?:Mon|Tues?|Wed(?:nes)?|Thu(?:rs)?|Fri|Sat(?:ur)?|Sun)(?:day)?,? (?=\w)", re.IGNORECASE)
_BEFORE_OFFSET: Final = re.compile(r" ?\b(?:UTC|GMT)(?=[+-]\d)")
_OFFSET: Final = re.compile(r"(?<=[\d ])([+-])(\d\d?)(?::?(\d\d))?$")
_NAMED: Final = re.compile(r" ?(?<![A-Za-z])(?P<name>[A-Z]{3,4}|Z)(?= \d{4}$|$)")
_BESIDE_OFFSET: Final = re.compile(r"(?<=[+-]\d{4}) [A-Z]{2,5}$|(?<=[+-]\d\d:\d\d) [A-Z]{2,5}$")
_IANA: Final = re.compile(r" ?\[?(?P<zone>[A-Z][A-Za-z]+/[A-Za-z_+/-]+\d*)\]?$")
_REMARK: Final = re.compile(r" \([^()]*\)$|(?<=Z)\[\w+\]$")
_UNCLEAR: Final = re.compile(r"\d ?([A-Z]{2,5})$")
_SPACES: Final = re.compile(r"\s+")


class PlainTime(Struct, frozen=True):
    """`zone`: the one that the text named; None: none, or `text` has its offset."""

    text: str
    zone: tzinfo | None = None


def plain_time(text: str) -> PlainTime:
    """The same time without quotes and weekday, with its zone as an offset, `AM` and `PM` after a space, and dates and
    clocks apart. A text that is none of these comes back as it is.
    """
    text = _SPACES.sub(" ", text.strip())
    if found := _NET.fullmatch(text):
        return PlainTime(found["ms"])
    if found := _UNIT.fullmatch(text):
        return PlainTime(_millis_of(found["number"], found["part"] or "", found["unit"]))
    if found := _AROUND.fullmatch(text):
        text = found["b"] or found["t"] or found["c"]
    text = _EAST_ASIAN.sub(r"\1-\2-\3 ", text.replace(" @ ", " ").replace("−", "-")).strip()
    text = _SAS.sub(r"\1-\2-\3 ", _SPACED_DOTS.sub(r"\1.\2.\3", _ORDINAL.sub("", text))).strip()
    text = _SMALL_MARK.sub(lambda mark: mark[0].upper(), text)
    text = _DOTTED_CLOCK.sub(lambda clock: clock[0].replace(".", ":"), text)
    text = _ONE_DIGIT.sub(_with_two_digits, text, count=1) if text[4:5] == "-" else text
    text = _DB2.sub(r"\1 \2:\3:\4", text)
    text = _ORACLE.sub(r"\1 \2:\3:\4\5", text)
    text = _HALF.sub(lambda half: f" {half[1].upper()}M", text)
    text = with_english_month(_REMARK.sub("", _WEEKDAY.sub("", text, count=1)))
    if (found := _IANA.search(text)) and (zone := _zone(found["zone"])):
        before = text[: found.start()]
        # An offset beside the name of the zone says it all.
        return PlainTime(before) if _OFFSET.search(before) and ":" in before else PlainTime(before, zone)
    text = _BESIDE_OFFSET.sub("", _BEFORE_OFFSET.sub(" ", text))
    if (found := _NAMED.search(text)) and (offset := _OFFSETS.get(found["name"])):
        # The year is behind the zone in what `date` prints.
        text = f"{text[: found.start()]}{text[found.end() :]}"
        text = text if _OFFSET.search(text) else f"{text} {offset}"
    if ":" in text and (found := _OFFSET.search(text)):
        text = f"{text[: found.start()].rstrip()} {found[1]}{found[2]:0>2}{found[3] or '00'}"
    return PlainTime(text)


def _with_two_digits(found: re.Match[str]) -> str:
    year, month, day, mark, hour = found.groups()
    return f"{year}-{month:0>2}-{day:0>2}" + (f"{mark}{hour:0>2}" if mark else "")


def _millis_of(number: str, part: str, unit: str) -> str:
    if unit in _IN_A_MILLI:
        return str(int(number) // _IN_A_MILLI[unit])
    return str(int(number) * _MILLIS[unit] + (int(f"{part:0<3}"[:3]) if unit == "s" else 0))


def unclear_zone(text: str) -> str:
    """The abbreviation at the end of a text that stands for several zones, or an empty text."""
    found = _UNCLEAR.search(text.strip())
    return found[1] if found and found[1] not in (*_OFFSETS, "AM", "PM") else ""


def _zone(name: str) -> tzinfo | None:
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return None
