"""The findings of a check of one dependency: pure functions of what was measured."""

from collections.abc import Sequence
from typing import Final, Literal

from msgspec import Struct

from app.adapters import generations
from app.core.generation import Unsupported, differences, model_of

Level = Literal["ok", "warn", "FAIL"]

_SLOW_MS: Final = 20.0
_CLOCK_WARN_SEC: Final = 1.0


class Finding(Struct, frozen=True):
    """One line: a finding about `subject`, and what to do about it."""

    level: Level
    subject: str
    text: str
    remedy: str = ""


def latency(subject: str, ms: float) -> Finding:
    if ms <= _SLOW_MS:
        return Finding("ok", subject, f"answers in {ms:.1f} ms")
    remedy = "each request waits for it; run it closer, or look for load and packet loss"
    return Finding("warn", subject, f"answers in {ms:.1f} ms", remedy)


def clock(subject: str, ahead_sec: float) -> Finding:
    """`ahead_sec`: the dependency's clock minus ours, corrected for the round trip."""
    text = f"clock differs from this host's by {ahead_sec:+.2f} s"
    if abs(ahead_sec) <= _CLOCK_WARN_SEC:
        return Finding("ok", subject, text)
    remedy = "run NTP on both; from 30 s on, the service goes by the database's clock, and says degraded"
    return Finding("warn", subject, text, remedy)


def encoding(name: str) -> Finding:
    if name == "UTF8":
        return Finding("ok", "postgres", "encoding UTF8")
    remedy = "create the database with ENCODING 'UTF8'; this one does not validate text"
    return Finding("warn", "postgres", f"encoding {name}", remedy)


def hidden(name: str, value: object, secrets: frozenset[str]) -> str:
    """A setting's value for display; for a secret, only whether it is set."""
    if name in secrets:
        return "(set, hidden)" if value else "(not set)"
    if isinstance(value, frozenset | tuple):
        return ",".join(sorted(map(str, value))) or "(none)"
    return str(value) if value != "" else "(none)"


def left_by_rebuild(schemas: Sequence[str]) -> Finding:
    """`schemas`: those of rebuilds, where none is unfinished."""
    text = f"a rebuild that has ended left tables on the disk, in the schema {' and '.join(schemas)}"
    return Finding("warn", "sums", text, "drop them with `reco rebuild --drop`, unless one swaps its tables just now")


def generation(serving: tuple[int, str, int] | None) -> Finding:
    """`serving`: as `app.adapters.generations.serving` gives it."""
    if serving is None:
        return Finding("ok", "sums", "none yet: the service makes the first generation")
    number, parameters, _ = serving
    try:
        model_of(parameters)
    except Unsupported as error:
        return Finding("FAIL", "sums", f"{generations.unsupported(number)}: {error}", generations.REMEDY)
    if other := differences(parameters):
        text = f"generation {number} is counted and served with its own parameters: {'; '.join(other)}"
        return Finding("warn", "sums", text, "adopt those of this release with `reco rebuild`")
    return Finding("ok", "sums", f"generation {number}, made with the parameters of this release")
