"""Layouts of well-known files (`data/presets.toml`): recognises them, and adds what they say to the options."""

import re
import tomllib
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Final

import msgspec
from msgspec import Struct, structs

from app.errors import UserError
from app.importing.filters import condition
from app.importing.mapping import ImportOptions
from app.importing.values import ALTERNATIVES, JOINED

AUTO: Final = "auto"
NONE: Final = "none"
_FILE: Final = Path(__file__).with_name("data") / "presets.toml"


class Preset(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One layout, as the head of the file says."""

    name: str
    title: str
    items: bool = False
    columns: tuple[str, ...] = ()
    shape: tuple[str, ...] = ()
    header: tuple[str, ...] = ()
    delimiter: str | None = None
    quote: str = '"'
    encoding: str = "utf-8"
    separator: str = "|"
    event_type: str | None = None
    fields: Mapping[str, str] = {}
    types: Mapping[str, str] = {}
    other_types: str = ""
    exact_types: bool = False
    where: tuple[str, ...] = ()
    flags: tuple[str, ...] = ()
    translations: Mapping[str, tuple[str, ...]] = {}
    time_format: str = AUTO
    fill_down: tuple[str, ...] = ()
    join: str | None = None


@cache
def presets() -> tuple[Preset, ...]:
    """All of them, in the order in which they are tried."""
    return msgspec.convert(tomllib.loads(_FILE.read_text())["preset"], tuple[Preset, ...])


def by_columns(present: Sequence[str], options: ImportOptions, *, items: bool) -> Preset | None:
    """The preset of a file with these columns, spelt as they are; of several the one that names the most.

    Raises `UserError` if `--preset` names one that the file does not fit.
    """
    if options.preset == NONE:
        return None
    candidates = _candidates(options, items)
    with_columns = [preset for preset in candidates if preset.columns]
    fitting = [preset for preset in with_columns if _has(present, preset.columns)] or [
        # Warehouses write all names in capital letters, or in small ones, and shops in their language.
        spelt
        for preset in with_columns
        if _has(present, (spelt := _spelt(preset, present)).columns)
    ]
    if not fitting and options.preset != AUTO:
        listed = "\n".join(f"  {each.name}: {', '.join(each.columns or each.header)}" for each in candidates)
        raise UserError(f"--preset {options.preset}: the file has other columns. It would have:\n{listed}")
    return max(fitting, key=lambda preset: len(preset.columns), default=None)


def by_first_line(line: str, options: ImportOptions, *, items: bool) -> Preset | None:
    """The preset of a file without a header line, by the shape of its first line."""
    if options.header or options.preset == NONE:
        return None
    candidates = _candidates(options, items)
    if len(candidates) == 1 and (named := candidates[0]).shape and named.delimiter is not None:
        # It is named, so a value of an unusual shape is taken for what it is.
        return named if len(line.split(named.delimiter)) == len(named.shape) else None
    return next((preset for preset in candidates if _fits(preset, line)), None)


def with_preset(options: ImportOptions, preset: Preset) -> ImportOptions:
    """The options with what the preset says, where they say nothing themselves."""
    own = {wanted.column for wanted in options.where}
    if options.known.is_rated(options.event_type):
        # Low ratings are left out where the others stand for views.
        own |= {"rating", options.columns.get("rating", "")}
    where = [wanted for wanted in map(condition, preset.where) if wanted.column not in own]
    event_type = options.event_type or (None if "event_type" in options.columns else preset.event_type)
    return structs.replace(
        options,
        columns={**preset.fields, **options.columns},
        types={**preset.types, **options.types},
        other_types_ignored=preset.other_types == "ignore",
        exact_types=preset.exact_types,
        event_type=event_type,
        where=(*where, *options.where),
        time_format=preset.time_format if options.time_format == AUTO else options.time_format,
        delimiter=options.delimiter or preset.delimiter,
        quote=preset.quote if options.quote == '"' else options.quote,
        header=options.header or preset.header,
        encoding=preset.encoding if options.encoding == "utf-8" else options.encoding,
        separator=preset.separator,
        flags=preset.flags,
    )


def _candidates(options: ImportOptions, items: bool) -> list[Preset]:
    wanted = options.preset
    of_kind = [preset for preset in presets() if preset.items == items]
    if wanted == AUTO:
        return of_kind
    found = [preset for preset in of_kind if preset.name == wanted or preset.name.startswith(f"{wanted}-")]
    if not found:
        raise UserError(f"--preset {wanted}: there are {', '.join(preset.name for preset in of_kind)}; auto; none")
    return found


def _has(present: Sequence[str], columns: Sequence[str]) -> bool:
    # An object may have been made columns, as properties.product_id.
    there = {*present, *(name.partition(".")[0] for name in present)}
    return all(any(name in there for name in column.split(ALTERNATIVES)) for column in columns)


def _spelt(preset: Preset, present: Sequence[str]) -> Preset:
    """The preset with the names of columns as the file has them, in another case or language."""
    names = {name.casefold(): name for name in reversed(present)}
    for name, others in preset.translations.items():
        if found := next((names[other.casefold()] for other in others if other.casefold() in names), None):
            names.setdefault(name.casefold(), found)

    def of_path(path: str) -> str:
        head, dot, rest = path.partition(".")
        return path if path in present else names.get(path.casefold(), names.get(head.casefold(), head) + dot + rest)

    def of_parts(name: str) -> str:
        return JOINED.join(map(of_path, name.split(JOINED)))

    def of(column: str) -> str:
        return ALTERNATIVES.join(map(of_parts, column.split(ALTERNATIVES)))

    where = [structs.replace(wanted, column=of(wanted.column)) for wanted in map(condition, preset.where)]
    return structs.replace(
        preset,
        columns=tuple(map(of, preset.columns)),
        fields={field: of(column) for field, column in preset.fields.items()},
        where=tuple(map(str, where)),
        fill_down=tuple(map(of, preset.fill_down)),
    )


def _fits(preset: Preset, line: str) -> bool:
    if not preset.shape or preset.delimiter is None:
        return False
    values = line.split(preset.delimiter)
    return len(values) == len(preset.shape) and all(
        re.fullmatch(pattern, value.strip()) for pattern, value in zip(preset.shape, values, strict=True)
    )
