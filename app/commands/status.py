"""`reco status`: tasks and dependencies of a running process."""

import re
import sys
from collections.abc import Iterator, Mapping
from typing import Any

import click

from app.checks.client import Client
from app.commands.json_output import json_option, write_json
from app.commands.service_url import service_url
from app.errors import UserError


def _checked(context: click.Context, option: click.Parameter, pattern: str | None) -> str | None:
    try:
        re.compile(pattern or "")
    except re.error as error:
        raise click.BadParameter(f"{pattern!r} is not a regular expression: {error}") from error
    return pattern


@click.command()
@service_url
@click.option(
    "--metrics",
    "pattern",
    metavar="REGEX",
    callback=_checked,
    help="Also show metrics whose line matches. Buckets of histograms only if REGEX contains _bucket.",
)
@json_option
def status(url: str, pattern: str | None, as_json: bool) -> None:
    """Show tasks and dependencies of the process at URL, as /readyz has them.

    The default URL is this machine at HTTP_PORT, else 8080. The exit code is 1 when the process is not ready.
    """
    client = Client(url)
    answer = client.call("GET", "/readyz")
    if answer.status not in (200, 503) or not isinstance(answer.body, dict):
        raise UserError(answer.shown())
    report = answer.body
    if as_json:
        shown = {} if pattern is None else {"metrics": list(_metrics(client, pattern))}
        write_json({**report, **shown})
        sys.exit(0 if report["ready"] else 1)
    process = report["process"]
    click.echo(f"{report['status']}, role {','.join(report['role'])}")
    click.echo(f"  process {process['pid']}: reco {process['version']}, revision {process['revision']}")
    if cache := report.get("cache"):
        by = f", chosen by {cache['chosen_by']} at {cache['since']}" if cache["chosen_by"] else ""
        click.echo(f"  cache {cache['backend']}{by}")
    for line in lines(report):
        click.echo(f"  {line}")
    if pattern is not None:
        for line in _metrics(client, pattern):
            click.echo(line)
    sys.exit(0 if report["ready"] else 1)


def _metrics(client: Client, pattern: str) -> Iterator[str]:
    return samples(str(client.call("GET", "/metrics").body), pattern)


def samples(exposition: str, pattern: str) -> Iterator[str]:
    """The lines that match, without comments. Buckets and creation times only if the pattern names them."""
    hidden = tuple(suffix for suffix in ("_bucket", "_created") if suffix not in pattern)
    for line in exposition.splitlines():
        name = line.partition("{")[0].partition(" ")[0]
        if not line.startswith("#") and not name.endswith(hidden) and re.search(pattern, line):
            yield line


def lines(report: Mapping[str, Any]) -> Iterator[str]:
    """A line for each task and each dependency: its state, since when, and its error."""
    for name, entry in report["tasks"].items():
        restarts = f", {entry['restarts']} restarts" if entry["restarts"] else ""
        yield _line("task", name, entry, restarts, entry["detail"])
    for name, entry in report["dependencies"].items():
        yield _line(entry["need"], name, entry, "", None)


def _line(kind: str, name: str, entry: Mapping[str, Any], more: str, detail: str | None) -> str:
    said = "; ".join(text for text in (detail, entry["error"]) if text)
    return f"{kind} {name}: {entry['state']} since {entry['since']}{more}" + (f" ({said})" if said else "")
