"""`python -m tests.faults.soak --minutes 5 --seed 1`: exit code 1 on a violation, or when a round was late."""

import sys
from pathlib import Path

import click
import msgspec
from rich.console import Console

from tests.faults.soak.run import soak
from tests.faults.soak.screen import Screen


@click.command()
@click.option("--minutes", type=click.FloatRange(min=0.1), default=5.0, show_default=True, help="How long.")
@click.option("--seed", type=int, default=1, show_default=True, help="The same seed draws the same faults.")
@click.option("--kills", type=click.IntRange(min=1), help="End after so many kills of processes, if that comes first.")
@click.option(
    "--strikes-per-sec",
    type=click.FloatRange(min=0.1, max=20.0),
    default=2.0,
    show_default=True,
    help="Kills and freezes of processes a second, on the average.",
)
@click.option("--json", "as_json", is_flag=True, help="The report as JSON.")
@click.option("--logs", type=click.Path(file_okay=False, path_type=Path), help="Keep the processes' logs here.")
def main(
    minutes: float, seed: int, kills: int | None, strikes_per_sec: float, as_json: bool, logs: Path | None
) -> None:
    """Run the service on servers of its own, break parts of it at random, and check that everything adds up."""
    with Screen(Console(stderr=True)) as screen:
        report = soak(
            seed=seed, minutes=minutes, max_kills=kills, strikes_per_sec=strikes_per_sec, screen=screen, logs=logs
        )
    click.echo(msgspec.json.encode(report).decode() if as_json else report.text())
    sys.exit(1 if report.violations or report.late else 0)


if __name__ == "__main__":
    main()
