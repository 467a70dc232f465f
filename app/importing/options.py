"""The command-line options for reading a log file, shared by `reco import` and `reco evaluate`."""

import functools
from collections.abc import Callable, Collection
from typing import Any, Final

import click
from click.core import ParameterSource

from app.importing.filters import condition
from app.importing.mapping import EVENT_TYPES, IGNORE, USUAL_COLUMNS, ImportOptions
from app.importing.presets import AUTO

_OPTIONS = (
    click.option(
        "--preset",
        default=AUTO,
        show_default=True,
        metavar="NAME",
        help="A known layout, such as movielens, ga4 or shopify-orders; auto recognises it, none does not look. "
        "docs/import.md lists them.",
    ),
    click.option(
        "--map",
        "columns",
        multiple=True,
        metavar="FIELD=COLUMN",
        help=f"The column of a field, if its name cannot be guessed; a.b is b within a, a|b the first that a row has, "
        f"a+b both. Fields: {', '.join(USUAL_COLUMNS)}. Repeatable.",
    ),
    click.option(
        "--map-type",
        "types",
        multiple=True,
        metavar="NAME=TYPE",
        help=f"Our event type for one of the file's: {', '.join(EVENT_TYPES)}, one that the application has made, or "
        f"{IGNORE}. Repeatable.",
    ),
    click.option(
        "--where",
        multiple=True,
        metavar="CONDITION",
        help="Take only rows such as 'rating>=4', 'event=view|click' or 'customer!='. Repeatable: all must hold.",
    ),
    click.option("--event-type", metavar="TYPE", help="All rows are of this type."),
    click.option(
        "--time-format",
        default="auto",
        show_default=True,
        metavar="FORMAT",
        help="iso, s, ms, excel (day numbers) or a strptime pattern such as '%d/%m/%Y %H:%M'; auto finds out.",
    ),
    click.option(
        "--timezone", default="UTC", show_default=True, metavar="ZONE", help="For times that do not name their own."
    ),
    click.option(
        "--delimiter",
        metavar="TEXT",
        help="Separator of CSV values, such as ';', tab or '::'; detected from the first line if not given.",
    ),
    click.option(
        "--quote",
        default='"',
        show_default=True,
        metavar="CHARACTER",
        help="What surrounds CSV values that hold separators or line ends; none where quotes are text.",
    ),
    click.option("--header", metavar="NAMES", help="Comma-separated column names of a CSV file without a header line."),
    click.option("--encoding", default="utf-8", show_default=True, help="Of a text file; UTF-16 is found out."),
)

COLUMN_OPTIONS: Final = (
    *("preset", "columns", "types", "where", "event_type", "time_format", "timezone"),
    *("delimiter", "quote", "header", "encoding"),
)


def column_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Adds the options to a click command, which receives them as one argument `options`."""

    @functools.wraps(command)
    def with_options(
        *args: Any,
        preset: str,
        where: tuple[str, ...],
        columns: tuple[str, ...],
        types: tuple[str, ...],
        event_type: str | None,
        time_format: str,
        timezone: str,
        delimiter: str | None,
        quote: str,
        header: str | None,
        encoding: str,
        **kwargs: Any,
    ) -> Any:
        options = ImportOptions(
            preset=preset,
            where=tuple(map(condition, where)),
            columns=_pairs("--map", columns),
            types=_pairs("--map-type", types),
            event_type=event_type,
            time_format=time_format,
            timezone=timezone,
            delimiter=_delimiter(delimiter),
            quote=_quote(quote),
            header=tuple(name.strip() for name in header.split(",")) if header else (),
            encoding=encoding,
        )
        return command(*args, options=options, **kwargs)

    return functools.reduce(lambda decorated, option: option(decorated), reversed(_OPTIONS), with_options)


def refuse_options(context: click.Context, names: Collection[str], why: str) -> None:
    """Raises `UsageError` for those of the options that were given, whatever their values."""
    given = [
        option.opts[0]
        for option in context.command.params
        if isinstance(option, click.Option)
        and option.name in names
        and context.get_parameter_source(option.name) is not ParameterSource.DEFAULT
    ]
    if given:
        raise click.UsageError(f"{', '.join(given)}: {why}")


def _pairs(option: str, texts: tuple[str, ...]) -> dict[str, str]:
    pairs = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not (name and equals):
            raise click.BadParameter(f"{text!r} is not of the form NAME=VALUE", param_hint=option)
        pairs[name.strip()] = value.strip()
    return pairs


def _delimiter(text: str | None) -> str | None:
    if text is None:
        return None
    separator = {"\\t": "\t", "tab": "\t"}.get(text, text)
    if not separator or set(separator) & set('"\r\n'):
        raise click.BadParameter("one or more characters are expected, or tab", param_hint="--delimiter")
    return separator


def _quote(text: str) -> str:
    if text == "none":
        return ""
    if len(text) != 1 or not text.isprintable():
        raise click.BadParameter("one character is expected, or none", param_hint="--quote")
    return text
