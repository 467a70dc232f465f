"""`reco load`: the benchmark."""

import os
import signal
import sys
from types import FrameType
from typing import Final

import click
import msgspec
from rich.console import Console

from app.checks.client import split_service_url
from app.errors import UserError
from app.load import plan as plans
from app.load import report, thresholds
from app.load.plan import LAYOUTS, SCENARIOS, Layout, Plan, Scenario
from app.load.requests import Endpoint
from app.load.run import run
from app.load.screen import RichScreen
from app.load.workload import Shape

_EPILOG: Final = """\b
Examples:
  reco load --baseline                          all scenarios, embedded servers, beside the baselines
  reco load --scenario single --seconds 2       one of them, quickly
  reco load --scenario endure --minutes 30      does anything grow? With retention in minutes
  reco load --scenario filter --scenario rank --items 100000   lists of a long catalogue, at a fixed rate
  reco load http://127.0.0.1:8080               a service that runs already
  reco load --require 'single.rate/baseline.post>=0.6' --require 'visible.p99<1000'
"""


@click.command(epilog=_EPILOG)
@click.argument("url", required=False)
@click.option(
    "--scenario",
    "scenarios",
    multiple=True,
    type=click.Choice(SCENARIOS),
    help="May be repeated. By default all but `filter`, `rank` and `endure`.",
)
@click.option("--rounds", type=click.IntRange(1, 100), default=3, show_default=True, help="Medians are over rounds.")
@click.option(
    "--seconds", type=click.FloatRange(0.2, 600), default=5.0, show_default=True, help="Duration of each measurement."
)
@click.option(
    "--connections", type=click.IntRange(1, 1000), default=64, show_default=True, help="For single events and /reco."
)
@click.option("--batch-clients", type=click.IntRange(1, 100), default=8, show_default=True, help="For batches.")
@click.option("--users", type=click.IntRange(10, 2_000_000), default=2_000, show_default=True)
@click.option("--items", type=click.IntRange(10, 1_000_000), default=2_000, show_default=True)
@click.option(
    "--history", type=click.IntRange(1, 50), default=10, show_default=True, help="Events each user has beforehand."
)
@click.option(
    "--rate",
    type=click.FloatRange(1, 100_000),
    default=500.0,
    show_default=True,
    help="Events a second in `fresh` and `endure`.",
)
@click.option(
    "--reads",
    type=click.FloatRange(1, 100_000),
    default=200.0,
    show_default=True,
    help="/reco a second in `endure`; requests a second in `filter` and `rank`.",
)
@click.option("--minutes", type=click.IntRange(1, 10_000), default=30, show_default=True, help="Duration of `endure`.")
@click.option("--k", type=click.IntRange(1, 200), default=20, show_default=True, help="Items asked of /reco.")
@click.option(
    "--backlog", type=click.IntRange(1_000, 10_000_000), default=50_000, show_default=True, help="Events in `pipeline`."
)
@click.option("--seed", type=int, default=1, show_default=True, help="The same seed gives the same events.")
@click.option(
    "--layout",
    type=click.Choice(LAYOUTS),
    default="all",
    show_default=True,
    help="Without a URL: all roles in one process, each in its own (split), or the API alone.",
)
@click.option(
    "--api-processes", type=click.IntRange(1, 64), default=1, show_default=True, help="API processes on one port."
)
@click.option(
    "--baseline",
    "--floor",
    "baselines",
    is_flag=True,
    help="Measure bare Litestar, asyncpg and aiokafka too, for ratios.",
)
@click.option(
    "--check/--no-check",
    default=None,
    help="Compare what was acknowledged with what is stored. On by default without a URL; with one, set DATABASE_URL.",
)
@click.option("--require", "conditions", multiple=True, metavar="CONDITION", help="Fail unless met. May be repeated.")
@click.option("--header", "headers", multiple=True, metavar="'NAME: VALUE'", help="Sent with each request.")
@click.option("--json", "as_json", is_flag=True, help="The results as JSON on stdout; progress stays on stderr.")
def load(
    url: str | None,
    scenarios: tuple[Scenario, ...],
    rounds: int,
    seconds: float,
    connections: int,
    batch_clients: int,
    users: int,
    items: int,
    history: int,
    rate: float,
    reads: float,
    minutes: int,
    k: int,
    backlog: int,
    seed: int,
    layout: Layout,
    api_processes: int,
    baselines: bool,
    check: bool | None,
    conditions: tuple[str, ...],
    headers: tuple[str, ...],
    as_json: bool,
) -> None:
    """Measure the service: rates, latencies, freshness.

    Without a URL, embedded servers and the service are started, loaded, and removed again. A service at a URL keeps
    the users, items and events that this sends to it.

    The exit code is 1 when a request failed, an acknowledged event is missing, something grows in `endure`, or a
    condition is not met.
    """
    required = [thresholds.parse(text) for text in conditions]
    pairs = tuple(map(parse_header, headers))
    endpoint = None if url is None else parse_url(url, pairs)
    plan = Plan(
        url=endpoint,
        headers=pairs,
        layout=layout,
        api_processes=api_processes,
        scenarios=scenarios or plans.possible(endpoint, layout),
        rounds=1 if "endure" in scenarios else rounds,
        seconds=seconds,
        connections=connections,
        batch_clients=batch_clients,
        shape=Shape(users=users, items=items, history=history, seed=seed),
        rate=rate,
        reads_per_sec=reads,
        minutes=minutes,
        k=k,
        backlog=backlog,
        baselines=baselines,
        check=(url is None and "endure" not in scenarios) if check is None else check,
    )
    if errors := plans.errors(plan):
        raise UserError("These options do not go together:\n" + "\n".join(f"  - {error}" for error in errors))
    if url is not None and plan.check and not os.environ.get("DATABASE_URL"):
        raise UserError("--check with a URL reads the service's database: set DATABASE_URL")

    signal.signal(signal.SIGTERM, _interrupt)
    with RichScreen(Console(stderr=True)) as screen:
        results, verdict = run(plan, screen)
    verdicts = [thresholds.evaluate(threshold, results) for threshold in required]
    if as_json:
        document = report.document(plan, results, verdicts, verdict)
        click.echo(msgspec.json.format(msgspec.json.encode(document)).decode())
    else:
        Console(width=None if sys.stdout.isatty() else 140).print(report.tables(plan, results, verdicts, verdict))
    sys.exit(0 if report.passed(results, verdicts, verdict) else 1)


def parse_url(url: str, headers: tuple[tuple[str, str], ...]) -> Endpoint:
    """Raises `UserError` for an invalid http or https URL."""
    parts = split_service_url(url)
    tls = parts.scheme == "https"
    return Endpoint(parts.hostname or "", parts.port or (443 if tls else 80), tls, parts.path.rstrip("/"), headers)


def parse_header(text: str) -> tuple[str, str]:
    """Raises `UserError` for an invalid header."""
    name, colon, value = text.partition(":")
    if not (colon and name.strip() and text.isascii() and text.isprintable()):
        raise UserError(f"{text!r} is not a valid header; write 'Name: value'")
    return name.strip(), value.strip()


def _interrupt(number: int, frame: FrameType | None) -> None:
    """SIGTERM ends a run as Ctrl-C does, so that everything it has started is ended too."""
    raise KeyboardInterrupt
