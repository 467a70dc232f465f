"""What ranks now, and how good it is."""

from typing import Literal

from litestar import get
from litestar.handlers import HTTPRouteHandler
from litestar.types import ASGIApp
from msgspec import Struct

from app.adapters import ranking_models
from app.adapters.postgres import Database
from app.adapters.ranking_models import Origin
from app.api.timestamps import Timestamp
from app.core.named_weights import NamedWeights
from app.core.promotion import Verdict
from app.core.ranking_learner import ContenderFigures, report_of
from app.core.rolling_figures import Contender
from app.http import schema
from app.http.responses import reply


class LearnerStatus(Struct, kw_only=True):
    """The learner of all processes. `samples`: how many have taught; `tests`: how many the served version has had.
    `suggests`: what its figures say should be done, which an operator decides while the version is pinned or the
    learner is in shadow. `updated_at`: when it last said so; null: never.
    """

    state: Literal["learning", "not running"]
    samples: int
    tests: int
    suggests: Verdict | None
    updated_at: Timestamp | None


class ModelReport(Struct, kw_only=True):
    """The version of the weights that serves, since when, and why.

    `figures`: of the last 4,096 sampled events before they were counted, or of those since this version began to serve,
    once they are 500: what serves, what is being learned, the fixed constants, popularity alone, and what served
    before; of all, and of those whose item was new to the user. None until the learner has tested this version.
    `weights`: by feature, for histories of no items, 1 or 2, 3 to 14, and 15 and more.
    """

    version: int
    origin: Origin
    since: Timestamp
    reason: str
    pinned: bool
    weights: NamedWeights
    figures: dict[Contender, ContenderFigures]
    learner: LearnerStatus


def handlers(database: Database) -> list[HTTPRouteHandler]:
    @get("/model", opt=schema.call(needs="read", tag="analytics", answers={200: ModelReport, **schema.problems(503)}))
    async def model() -> ASGIApp:
        """What ranks now, since when and why; and how good it is, beside what is learned, the constants and popularity.

        `reco model` changes it.
        """
        async with database.connection() as connection:
            served = await ranking_models.read_served(connection)
            learner = await ranking_models.read_learner(connection)
        report = report_of(learner.report, served.version)
        return reply(
            ModelReport(
                version=served.version,
                origin=served.origin,
                since=served.changed_at,
                reason=served.reason,
                pinned=served.pinned,
                weights=served.weights,
                figures=report.figures,
                learner=LearnerStatus(
                    state="learning" if learner.is_held else "not running",
                    samples=report.samples,
                    tests=report.tests,
                    suggests=report.suggests,
                    updated_at=learner.updated_at,
                ),
            )
        )

    return [model]
