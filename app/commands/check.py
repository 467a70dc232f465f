"""`reco check`: compares the service's figures with its targets."""

import sys
from collections.abc import Iterable
from typing import Any

import click

from app.checks import targets
from app.checks.client import Client
from app.checks.targets import TargetVerdict
from app.commands.json_output import json_option, write_json
from app.commands.service_url import service_url
from app.errors import UserError


@click.command()
@service_url
@click.option("--key", envvar="RECO_API_KEY", default="", help="API key of scope read; else RECO_API_KEY.")
@click.option("--days", type=click.IntRange(1, 30), default=7, show_default=True, help="The period of the KPIs.")
@click.option("--kpi/--no-kpi", default=True, help="Whether a KPI below its target counts for the exit code.")
@json_option
def check(url: str, key: str, days: int, kpi: bool, as_json: bool) -> None:
    """Compare the service's SLA window and KPIs with the targets of its contract.

    The default URL is this machine at HTTP_PORT, else 8080. The exit code is 1 when a target is missed. A figure
    without data does not count as missed.
    """
    client = Client(url, key)
    contract = _read(client, "/contract")
    sla = list(targets.sla_verdicts(_read(client, "/metrics/reco")))
    kpis = list(targets.kpi_verdicts(_read(client, f"/analytics/baseline?days={days}")["total"], contract["kpi"]))
    missed = [verdict.name for verdict in (*sla, *(kpis if kpi else ())) if verdict.ok is False]
    if as_json:
        write_json({"sla": sla, "kpi": kpis, "missed": missed})
        sys.exit(1 if missed else 0)
    _show("SLA, the last minutes of this process", sla, "at most")
    _show(f"KPI, the last {days} days" + ("" if kpi else ", which do not count here"), kpis, "at least")
    click.echo(
        f"Missed: {', '.join(missed)}" if missed else f"All {'' if kpi else 'SLA '}targets with figures are met."
    )
    sys.exit(1 if missed else 0)


def _read(client: Client, path: str) -> Any:
    answer = client.call("GET", path)
    if answer.status != 200:
        raise UserError(f"GET {path}: {answer.shown()}")
    return answer.body


def _show(title: str, verdicts: Iterable[TargetVerdict], bound: str) -> None:
    click.echo(title)
    for verdict in verdicts:
        mark = {True: "ok    ", False: "MISSED", None: "-     "}[verdict.ok]
        figure = "no figure yet" if verdict.figure is None else f"{verdict.figure:g}"
        click.echo(f"  {mark} {verdict.name}: {figure} ({bound} {verdict.target:g})")
