"""The examples of the documentation: which commands a page shows, what it says they answer, and whether that holds."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

ANYTHING: Final = "…"

_COMMAND: Final = re.compile(r"(curl|reco|scripts/reco|tag=\$\(curl) ")
_NOT_RUN: Final = re.compile(r"<!-- not run: (.+) -->")
_ANSWERS_FOLLOW: Final = re.compile(r"(The answers?, with line breaks added:)?")
# What differs from run to run: ids that the service makes, times, and what depends on how much was counted by when.
_TIMES: Final = ("linked_at", "undo_until", "changed_at", "started_at", "stage_at", "ended_at", "as_of")
_VOLATILE: Final = frozenset({"request_id", "event_id", "cursor", *_TIMES})
_EXACT_NUMBERS: Final = frozenset({"status", "factor", "position", "touches"})


@dataclass
class Example:
    """A block of commands. `reason`: why the page says that it is not run. `answers`: what it shows, as JSON."""

    page: str
    line: int
    script: str
    reason: str | None = None
    answers: list[Any] = field(default_factory=list)

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"


def examples(path: Path) -> list[Example]:
    """Those of a page, in its order."""
    found: list[Example] = []
    between: str | None = None
    reason = None
    for line, kind, text in _blocks(path.read_text(encoding="utf-8")):
        if kind == "prose":
            marks = _NOT_RUN.findall(text)
            reason = marks[-1] if marks and text.rstrip().endswith("-->") else None
            between = None if between is None or "#" in text[:1] else between + _NOT_RUN.sub("", text).strip()
            continue
        script, output = _commands(text)
        if script:
            found.append(Example(path.name, line, script, reason))
            between = ""
            if output:
                found[-1].answers += shown_json(output)
        elif found and between is not None and _ANSWERS_FOLLOW.fullmatch(between) and text.lstrip()[:1] in "{[":
            found[-1].answers += shown_json(text)
        else:
            between = None
        reason = None
    return found


def _blocks(page: str) -> Iterator[tuple[int, str, str]]:
    """The number of the first line, `prose` or `code`, and the text without fences and indentation."""
    kind, start, held = "prose", 1, list[str]()
    fenced = False
    for number, line in enumerate([*page.splitlines(), ""], 1):
        if line.startswith("```"):
            yield start, kind, "\n".join(held)
            fenced, held, start = not fenced, [], number + 1
            kind = "code" if fenced else "prose"
            continue
        now = kind if fenced or not line.strip() else "code" if line.startswith("    ") else "prose"
        if now != kind or (now == "code" and not fenced and held and not held[-1].strip() and line.strip()):
            yield start, kind, "\n".join(held)
            kind, start, held = now, number, []
        held.append(line.removeprefix("    ") if kind == "code" and not fenced else line)
    yield start, kind, "\n".join(held)


def _commands(block: str) -> tuple[str, str]:
    """The commands of a block and what it shows below them; no commands: another kind of block."""
    lines = block.splitlines()
    if any(line.startswith("$ ") for line in lines):
        script, output, open_command = list[str](), list[str](), False
        for line in lines:
            if line.startswith("$ ") or open_command:
                script.append(line.removeprefix("$ "))
                whole = "\n".join(script)
                open_command = line.endswith("\\") or whole.count("'") % 2 == 1
            else:
                output.append(line)
        return "\n".join(script), "\n".join(output) if output[:1] and output[0][:1] in "{[" else ""
    return (block, "") if _COMMAND.match(block) else ("", "")


def shown_json(text: str) -> list[Any]:
    """The JSON documents that a page shows; three dots stand for more of the same."""
    text = re.sub(r"\s*\n\s*", " ", text.strip())
    text = re.sub(r"\{\s*\.\.\.\s*\}|\[\s*\.\.\.\s*\]", f'"{ANYTHING}"', text)
    text = re.sub(r",\s*\.\.\.\s*\}", f', "{ANYTHING}": 0}}', text)
    text = re.sub(r",\s*\.\.\.\s*(\]|,)", rf', "{ANYTHING}"\1', text)
    return list(documents(text))


def documents(text: str) -> Iterator[Any]:
    """The JSON documents in a text, whatever is between them."""
    decoder, at = json.JSONDecoder(), 0
    while opening := re.compile(r"[{\[]").search(text, at):
        try:
            found, at = decoder.raw_decode(text, opening.start())
        except ValueError:
            at = opening.end()
            continue
        yield found


def differences(shown: Any, got: Any, path: str = "$", key: str = "") -> Iterator[str]:
    """Where an answer is not what the page shows, volatile values aside."""
    if shown == ANYTHING or key == "features":
        return
    if isinstance(shown, dict) and isinstance(got, dict):
        yield from _of_objects(shown, got, path)
    elif isinstance(shown, list) and isinstance(got, list):
        wanted = [one for one in shown if one != ANYTHING]
        if len(got) < len(wanted) or (len(wanted) == len(shown) and len(got) > len(wanted)):
            yield f"{path}: {len(wanted)} shown, {len(got)} answered"
        for index, (one, other) in enumerate(zip(wanted, got, strict=False)):
            yield from differences(one, other, f"{path}[{index}]", key)
    elif not _same(shown, got, key):
        yield f"{path}: {shown!r} shown, {got!r} answered"


def _of_objects(shown: dict[str, Any], got: dict[str, Any], path: str) -> Iterator[str]:
    names = shown.keys() - {ANYTHING}
    if missing := names - got.keys():
        yield f"{path}: there is no {', '.join(sorted(missing))}"
    if ANYTHING not in shown and (more := got.keys() - names):
        yield f"{path}: the page does not show {', '.join(sorted(more))}"
    for name in sorted(names & got.keys()):
        yield from differences(shown[name], got[name], f"{path}.{name}", name)


def _same(shown: Any, got: Any, key: str) -> bool:
    if isinstance(shown, str) and isinstance(got, str):
        is_start = shown.endswith(("…", "...")) and got.startswith(shown.rstrip(".…"))
        return key in _VOLATILE or is_start or got == shown
    if isinstance(shown, bool) or isinstance(got, bool) or key in _EXACT_NUMBERS:
        return bool(shown == got)
    are_numbers = isinstance(shown, int | float) and isinstance(got, int | float)
    return are_numbers or bool(shown == got)
