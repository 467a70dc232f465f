"""`reco model import` and `store`: new versions of the ranking's weights, of a file or of what is learned."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import msgspec

from app.adapters import ranking_models
from app.commands.on_postgres import run_on_postgres
from app.commands.operator_name import operator
from app.core.named_weights import NamedWeights, checked, named
from app.core.ranking_learner import ContenderFigures, learned_in, report_of
from app.core.rolling_figures import CONTENDERS, Contender
from app.core.weights import FEATURES
from app.errors import UserError

if TYPE_CHECKING:
    from app.adapters.postgres import Connection


def actor() -> str:
    """For the audit log."""
    return f"reco model, {operator()}"


@click.command()
@click.option("--reason", default="an operator stored it", show_default=True)
def store(reason: str) -> None:
    """Store what the learner has learned so far as a new version, with its figures.

    It does not serve until `reco model promote`, or until a variant names it. That is how you take what is learned with
    RANKING_LEARNING=shadow, or while a version is pinned.
    """

    async def add(connection: "Connection") -> int:
        learner, served = await ranking_models.read_learner(connection), await ranking_models.read_served(connection)
        if learner.state is None:
            raise UserError("Nothing is learned yet: a process with the role consumer learns from the events it counts")
        try:
            weights = named(learned_in(learner.state))
        except ValueError as error:
            raise UserError(f"{error}; the learner replaces it when it goes on") from error
        figures = msgspec.json.encode(report_of(learner.report, served.version).figures).decode()
        return await ranking_models.add(connection, weights, "learned", reason, figures, actor=actor())

    version = run_on_postgres(add)
    click.echo(f"Version {version} is stored. `reco model promote {version}` makes it serve.")


@click.command("import")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--learn-on", is_flag=True, help="The learner starts anew from these weights, and forgets its own.")
def import_(file: Path, learn_on: bool) -> None:
    """Store the weights that `reco evaluate --save-weights FILE` saved as a new version.

    It does not serve until `reco model promote`, or until a variant names it.
    """
    weights, figures = _weights_in(file)

    async def store(connection: "Connection") -> int:
        async with connection.transaction():
            reason = f"imported from {file.name}"
            version = await ranking_models.add(connection, weights, "imported", reason, figures, actor=actor())
            if learn_on:
                await ranking_models.restart_learner(connection, version, actor=actor())
        return version

    version = run_on_postgres(store)
    click.echo(f"Version {version} is stored. `reco model promote {version}` makes it serve.")
    if missing := [name for name in FEATURES if name not in weights]:
        click.echo(f"Features that the file does not name weigh as learning starts: {', '.join(missing)}")
    if learn_on:
        click.echo("The learner goes on from it.")


def _weights_in(file: Path) -> tuple[NamedWeights, str]:
    try:
        content = msgspec.json.decode(file.read_bytes())
        if not isinstance(content, dict):
            raise ValueError('expected an object {"weights": {"feature": [4 numbers]}, "figures": {}}')
        return checked(content.get("weights")), msgspec.json.encode(_figures(content.get("figures", {}))).decode()
    except (OSError, ValueError) as error:
        raise UserError(f"{file}: {error}. `reco evaluate --save-weights FILE` writes such files.") from error
    except RecursionError:
        raise UserError(f"{file}: its values are nested too deeply to be read") from None


def _figures(given: Any) -> dict[Contender, ContenderFigures]:
    """Of the contenders that are known, and nothing else: whoever lists the versions reads them."""
    try:
        figures = msgspec.convert(given, dict[str, ContenderFigures])
    except msgspec.ValidationError as error:
        raise ValueError(f"$.figures: {error}") from error
    return {name: figures[name] for name in CONTENDERS if name in figures}
