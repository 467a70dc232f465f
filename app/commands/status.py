"""`reco status`: tasks and dependencies of a running process."""

import re
import sys
from collections.abc import Iterator, Mapping
from typing import Any

import click

from app.checks.client import Client
from app.commands.service_url import service_url
from app.errors import UserError


@click.command()
@service_url
@click.option("--metrics", "pattern", metavar="REGEX", help="Also show the metrics whose name and labels match.")
def status(url: str, pattern: str | None) -> None:
    """Show tasks and dependencies of the process at URL, as /readyz has them. Exit code 1 when it is not ready."""
    client = Client(url)
    answer = client.call("GET", "/readyz")
    if answer.status not in (200, 503) or not isinstance(answer.body, dict):
        raise UserError(answer.shown())
    report = answer.body
    process = report["process"]
    click.echo(f"{report['status']}, role {','.join(report['role'])}")
    click.echo(f"  process {process['pid']}: reco {process['version']}, revision {process['revision']}")
    for line in lines(report):
        click.echo(f"  {line}")
    if pattern is not None:
        text = str(client.call("GET", "/metrics").body)
        for line in text.splitlines():
            if _is_value(line, pattern) and re.search(pattern, line):
                click.echo(line)
    sys.exit(0 if report["ready"] else 1)


def _is_value(line: str, pattern: str) -> bool:
    """False for comments, and for a histogram's buckets and creation times unless the pattern names them."""
    name = line.partition("{")[0].partition(" ")[0]
    return not line.startswith("#") and all(
        part in pattern or not name.endswith(part) for part in ("_bucket", "_created")
    )


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
