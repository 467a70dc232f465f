"""The results as tables for people and as one JSON document for machines."""

import os
import platform
from collections.abc import Sequence
from typing import Any, Final

import msgspec
from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from app.load.endurance import slopes
from app.load.endurance_report import minutes_table, tables_table, verdict_lines
from app.load.plan import Plan
from app.load.results import FIELDS, ROWS, MedianRange, Results
from app.load.store import CheckResult
from app.load.thresholds import ThresholdResult

# Above these shares of the machine and of one processor, a reader should know.
_QUIET_SHARE: Final = 0.1
_GENERATOR_SHARE: Final = 0.9
_REACHED_SHARE: Final = 0.95


def machine() -> dict[str, Any]:
    """What it was measured on."""
    return {
        "system": f"{platform.system()} {platform.machine()}",
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "python": platform.python_version(),
    }


def document(
    plan: Plan, results: Results, verdicts: Sequence[ThresholdResult], verdict: CheckResult | None
) -> dict[str, Any]:
    """Everything, ready to be encoded. Each value has its median, least and greatest over the rounds."""
    rows: dict[str, Any] = {}
    for row in results.rows:
        unit, meaning, baseline = ROWS[row]
        spreads = {name: results.median_range(row, name) for name in FIELDS}
        rows[row] = {
            "meaning": meaning,
            "unit": unit,
            **{name: median_range for name, median_range in spreads.items() if median_range is not None},
            "errors": results.errors(row),
        }
        if baseline is not None and (ratio := results.ratio(row, "rate", baseline, "rate")) is not None:
            rows[row]["of_baseline"] = ratio
    url = None if plan.url is None else msgspec.structs.replace(plan.url, headers=())
    shown = msgspec.to_builtins(msgspec.structs.replace(plan, url=url))
    shown["headers"] = [name for name, _ in plan.headers]  # their values may be secrets
    return {
        "machine": machine(),
        "plan": shown,
        "rows": rows,
        "thresholds": [
            {"condition": checked.threshold.text, "actual": checked.actual, "passed": checked.passed}
            for checked in verdicts
        ],
        "check": verdict,
        "minutes": results.minutes,
        "slopes": slopes(results.minutes),
        "passed": passed(results, verdicts, verdict),
    }


def passed(results: Results, verdicts: Sequence[ThresholdResult], verdict: CheckResult | None) -> bool:
    return not results.failed and all(o.passed for o in verdicts) and not (verdict and verdict.violations)


def tables(
    plan: Plan, results: Results, verdicts: Sequence[ThresholdResult], verdict: CheckResult | None
) -> RenderableType:
    parts: list[RenderableType] = [_rates(plan, results), _processes(results)]
    if results.minutes:
        parts.append(minutes_table(results.minutes))
        parts.append(tables_table(results.minutes[-1].tables))
        parts += verdict_lines(results.minutes)
    parts += [Text(line, style="yellow") for line in _doubts(plan, results)]
    parts += [Text(line, style="red") for line in _complaints(results)]
    if verdict is not None:
        parts.append(_checked(verdict))
    for checked in verdicts:
        actual = "not measured" if checked.actual is None else f"{checked.actual:.3g}"
        word, style = ("met", "green") if checked.passed else ("NOT MET", "red")
        parts.append(Text(f"{word}: {checked.threshold.text} (measured {actual})", style=style))
    return Group(*parts)


def _rates(plan: Plan, results: Results) -> Table:
    here = machine()
    rounds = "one round" if plan.rounds == 1 else f"median of {plan.rounds} rounds"
    table = Table(
        title=f"{here['system']}, {here['cores']} cores, Python {here['python']}; {rounds}",
        title_justify="left",
        box=box.SIMPLE_HEAD,
    )
    table.add_column("", no_wrap=True)
    table.add_column("", overflow="ellipsis")
    for heading in ("rate", "least to greatest", "of baseline", "p50 ms", "p95", "p99", "p99.9"):
        table.add_column(heading, justify="right", no_wrap=True)
    for row in results.rows:
        if row == "idle":
            continue
        _, meaning, baseline = ROWS[row]
        rate = results.median_range(row, "rate")
        ratio = results.ratio(row, "rate", baseline, "rate") if baseline else None
        table.add_row(
            row,
            meaning,
            "" if rate is None else f"{rate.median:,.0f}/s",
            "" if rate is None else f"{rate.least:,.0f} to {rate.greatest:,.0f}",
            "" if ratio is None else f"{ratio.median:.2f}",
            *(_number(results.median_range(row, name), 1) for name in ("p50", "p95", "p99", "p999")),
            style="dim" if row.startswith("baseline.") else None,
        )
    return table


def _processes(results: Results) -> Table:
    table = Table(title="The service's processes", title_justify="left", box=box.SIMPLE_HEAD)
    table.add_column("", no_wrap=True)
    for heading in ("CPU cores", "generator's", "whole machine", "RSS MB", "loop lag p99 ms", "slope"):
        table.add_column(heading, justify="right", no_wrap=True)
    for row in results.rows:
        if results.median_range(row, "rss_mb") is None:
            continue
        table.add_row(
            row,
            _number(results.median_range(row, "cpu"), 2),
            _number(results.median_range(row, "generator_cpu"), 2),
            _number(results.median_range(row, "machine_cpu"), 2),
            _number(results.median_range(row, "rss_mb"), 0),
            _number(results.median_range(row, "lag_p99"), 0, before="≤ "),
            _number(results.median_range(row, "slope"), 2),
        )
    return table


def _number(median_range: MedianRange | None, digits: int, before: str = "") -> str:
    return "" if median_range is None else f"{before}{median_range.median:,.{digits}f}"


def _doubts(plan: Plan, results: Results) -> list[str]:
    """Why the figures may say less about the service than they seem to."""
    lines = []
    cores = machine()["cores"]
    noise = results.median_range("idle", "machine_cpu")
    if noise is not None and noise.median > _QUIET_SHARE * cores:
        lines.append(f"Others kept {noise.median:.1f} of {cores} cores busy at rest: the rates are too low, and vary.")
    for row in results.rows:
        busy = results.median_range(row, "generator_cpu")
        if busy is not None and busy.median > _GENERATOR_SHARE:
            lines.append(f"{row}: the generator was at its own limit; the service may do more.")
    for row, asked in (("endure", plan.rate), ("endure.reco", plan.reads_per_sec)):
        reached = results.median_range(row, "rate")
        if reached is not None and reached.median < _REACHED_SHARE * asked:
            lines.append(f"{row}: {reached.median:,.0f} a second, and not the {asked:,.0f} that were asked for.")
    return lines


def _complaints(results: Results) -> list[str]:
    lines = []
    for row in results.rows:
        for what, count in results.errors(row).items():
            body = results.first_body(row, what)
            lines.append(f"{row}: {count:,} × {what}" + (f"; the first: {body[:500]}" if body and body != what else ""))
    return lines


def _checked(verdict: CheckResult) -> Text:
    summary = (
        f"Of {verdict.sent:,} events sent, {verdict.accepted:,} were accepted, {verdict.refused:,} refused, "
        f"{verdict.unknown:,} left open; {verdict.stored:,} are stored and {verdict.consumed:,} counted"
    )
    if not verdict.violations:
        return Text(f"{summary}: nothing lost, nothing twice.", style="green")
    return Text("\n  - ".join([f"{summary}. That is wrong:", *verdict.violations]), style="red")
