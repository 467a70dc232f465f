"""`reco model`: the versions of the ranking's weights: what they are worth, which one serves, and who decides that."""

import sys
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

import click
import msgspec
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from app.adapters import ranking_models
from app.adapters.ranking_models import NoSuchModel, OtherServes, RankingModel, ServedModel
from app.commands.json_output import json_lines_option, json_option, write_json
from app.commands.new_models import actor, import_, store
from app.commands.on_postgres import run_on_postgres
from app.core.named_weights import NamedWeights, from_named, named
from app.core.weights import SIZES
from app.errors import UserError

if TYPE_CHECKING:
    from app.adapters.postgres import Connection

_SHOWN = ("served", "learned", "fixed", "popularity")
_VERSION = click.IntRange(1, 2**31 - 1)


@click.group()
def model() -> None:
    """The learned ranking: list its versions, compare them, and choose which one serves.

    Each change is in the audit log (`reco audit --action change_model`), and acts within a second.
    """


@model.command("list")
@click.option("--limit", type=click.IntRange(1, 10_000), default=20, show_default=True)
@json_lines_option
def list_(limit: int, as_json: bool) -> None:
    """The versions, newest first, with the figures that each had when it was made."""
    served, found = run_on_postgres(_listed(limit))
    if as_json:
        for one in found:
            sys.stdout.buffer.write(msgspec.json.encode(one) + b"\n")
        return
    table = Table(box=None)
    for name in ("version", "", "origin", "made", "learned", "served", "tests", "why"):
        table.add_column(name, justify="right" if name in ("version", "learned", "served", "tests") else "left")
    for one in found:
        table.add_row(
            str(one.version),
            _mark(one, served),
            one.origin,
            one.created_at.isoformat(timespec="minutes"),
            _ndcg(one, "learned"),
            _ndcg(one, "served"),
            str(one.figures.get("learned", {}).get("all", {}).get("tests", "")),
            escape(one.reason),
        )
    Console(width=200 if not sys.stdout.isatty() else None).print(table)
    click.echo("learned and served: NDCG@20 of these weights, and of what served then, on the same tests")
    click.echo(f"version {served.version} {_serves(served)}")


@model.command()
@click.argument("version", type=_VERSION, required=False)
@json_option
def show(version: int | None, as_json: bool) -> None:
    """A version (default: the one that serves) with its weights and figures."""
    served, found = run_on_postgres(_with_served(version))
    if as_json:
        write_json(found)
        return
    click.echo(f"version {found.version} ({found.origin}), made {found.created_at.isoformat(timespec='seconds')}")
    click.echo(f"  {found.reason}")
    if found.version == served.version:
        click.echo(_serves(served))
    elif found.withdrawn_at is not None:
        click.echo(f"rolled back {found.withdrawn_at.isoformat(timespec='seconds')}")
    if found.figures:
        click.echo("\nwhen it was made         hit rate@20  NDCG@20  MRR@20   tests")
        for name in _SHOWN:
            for items, label in (("all", f"{name}, all"), ("new", f"{name}, new to the user")):
                if (entry := found.figures.get(name, {}).get(items)) is None:
                    continue
                figures = f"{entry['hit_rate']:.4f}   {entry['ndcg']:.4f}  {entry['mrr']:.4f}  {entry['tests']:>6}"
                click.echo(f"  {label:<27} {figures}")
    click.echo()
    _print_weights(found.weights)


@model.command()
@click.argument("one", type=_VERSION)
@click.argument("other", type=_VERSION)
@json_option
def diff(one: int, other: int, as_json: bool) -> None:
    """What the weights of OTHER add to those of ONE."""

    async def read(connection: "Connection") -> tuple[RankingModel, RankingModel]:
        return await _read(connection, one), await _read(connection, other)

    first, second = run_on_postgres(read)
    # Features that a version does not name weigh as learning starts.
    difference = named(from_named(second.weights) - from_named(first.weights))
    added = {name: values for name, values in difference.items() if any(values)}
    if as_json:
        write_json(added)
        return
    _print_weights(added, signs=True)
    if not added:
        click.echo(f"The versions {one} and {other} have the same weights.")


@model.command()
@click.argument("version", type=_VERSION)
@click.option("--reason", default="an operator chose it", show_default=True)
def promote(version: int, reason: str) -> None:
    """Make VERSION serve within a second, whatever its figures.

    The learner goes on deciding from there; `reco model pin` keeps it from that. Where what serves is pinned, as after
    a rollback, VERSION is pinned in its place.
    """
    if _serve(version, reason, pin=None):
        click.echo(
            f"Version {version} serves within a second, and is pinned, as the one before, until `reco model unpin`."
        )
    else:
        click.echo(
            f"Version {version} serves within a second. The learner may replace it; `reco model pin` prevents that."
        )


@model.command()
@click.argument("of", metavar="[VERSION]", type=_VERSION, required=False)
@click.option("--reason", default="an operator decided it", show_default=True)
def rollback(of: int | None, reason: str) -> None:
    """Go back from VERSION to what served before, and pin that, so that it stays until `reco model unpin`.

    If another version serves by now, as after somebody else's rollback, nothing is changed. Without VERSION it goes
    back from whatever serves. Where nothing served before, what serves is pinned.
    """

    async def roll_back(connection: "Connection") -> tuple[int, int | None]:
        try:
            return await ranking_models.roll_back_for_good(connection, reason, of=of, actor=actor())
        except OtherServes as error:
            raise UserError(f"{error}; `reco model show` says why it serves") from None

    version, before = run_on_postgres(roll_back)
    if before is None:
        click.echo(
            f"Nothing served before version {version}: it goes on serving, and is pinned until `reco model unpin`. "
            "`reco model list` shows what can be promoted."
        )
    else:
        click.echo(
            f"Version {before} serves within a second in place of {version}, and is pinned until `reco model unpin`"
        )


@model.command()
@click.argument("version", type=_VERSION, required=False)
def pin(version: int | None) -> None:
    """Make VERSION (default: what serves) serve until `reco model unpin`: the learner learns and decides nothing."""
    if version is None:
        version = run_on_postgres(_pinned(pinned=True))
    else:
        _serve(version, "an operator pinned it", pin=True)
    click.echo(f"Version {version} serves until `reco model unpin`")


@model.command()
def unpin() -> None:
    """Let the learner decide again which version serves (with RANKING_LEARNING=auto)."""
    version = run_on_postgres(_pinned(pinned=False))
    click.echo(f"Version {version} serves; from now on the learner decides, where RANKING_LEARNING=auto")


def _serve(version: int, reason: str, *, pin: bool | None) -> bool:
    """Whether it is pinned."""

    async def serve(connection: "Connection") -> bool:
        await _read(connection, version)
        _, pinned = await ranking_models.serve(connection, version, reason, actor=actor(), pin=pin)
        return pinned

    return run_on_postgres(serve)


def _pinned(*, pinned: bool) -> Callable[["Connection"], Awaitable[int]]:
    async def run(connection: "Connection") -> int:
        return await ranking_models.pin(connection, pinned, actor=actor())

    return run


def _listed(limit: int) -> Callable[["Connection"], Awaitable[tuple[ServedModel, list[RankingModel]]]]:
    async def read(connection: "Connection") -> tuple[ServedModel, list[RankingModel]]:
        return await ranking_models.read_served(connection), await ranking_models.read_models(connection, limit)

    return read


def _with_served(version: int | None) -> Callable[["Connection"], Awaitable[tuple[ServedModel, RankingModel]]]:
    async def read(connection: "Connection") -> tuple[ServedModel, RankingModel]:
        served = await ranking_models.read_served(connection)
        return served, await _read(connection, served.version if version is None else version)

    return read


async def _read(connection: "Connection", version: int) -> RankingModel:
    try:
        return await ranking_models.read_model(connection, version)
    except NoSuchModel:
        raise UserError(f"there is no version {version}; `reco model list` shows those that there are") from None


def _mark(one: RankingModel, served: ServedModel) -> str:
    if one.version == served.version:
        return "pinned" if served.pinned else "serves"
    return "" if one.withdrawn_at is None else "rolled back"


def _serves(served: ServedModel) -> str:
    since = served.changed_at.isoformat(timespec="seconds")
    return f"serves since {since}{', pinned' if served.pinned else ''}: {served.reason}"


def _ndcg(one: RankingModel, contender: str) -> str:
    figures: dict[str, Any] = one.figures.get(contender, {}).get("all", {})
    return f"{figures['ndcg']:.4f}" if "ndcg" in figures else ""


def _print_weights(weights: NamedWeights, *, signs: bool = False) -> None:
    """By the size of the history."""
    click.echo(f"{'feature':<15}" + "".join(f"{size:>20}" for size in SIZES))
    for name, values in weights.items():
        click.echo(f"{name:<15}" + "".join(f"{value:>{'+' if signs else ''}20.3f}" for value in values))


model.add_command(import_)
model.add_command(store)
