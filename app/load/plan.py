"""What a run does, as the options say."""

from typing import Final, Literal

from msgspec import Struct

from app.load.lists import SPARE_ITEMS
from app.load.requests import Endpoint
from app.load.workload import Shape

Scenario = Literal["single", "batch100", "batch1000", "reco", "pipeline", "fresh", "filter", "rank", "endure"]
SCENARIOS: Final[tuple[Scenario, ...]] = (
    *("single", "batch100", "batch1000", "reco", "pipeline", "fresh"),
    *("filter", "rank", "endure"),
)
# These have a catalogue stored, which the figures of the others are without.
_OF_A_CATALOGUE: Final[frozenset[Scenario]] = frozenset({"filter", "rank"})

Layout = Literal["all", "split", "api"]
LAYOUTS: Final[tuple[Layout, ...]] = ("all", "split", "api")

# A measurement of batches ends early here: what it leaves for the consumer must be worked off before the next one.
BATCHED_EVENTS: Final = 100_000
UNBOUNDED: Final = 10**9
_KEPT_SHARE: Final = 10
_MINUTES_A_DAY: Final = 24 * 60


class Plan(Struct, frozen=True, kw_only=True):
    """`url` is None for a service of our own; then `layout` and `api_processes` say what is started.

    `headers` go with every request to the service, and to it alone.
    """

    url: Endpoint | None
    headers: tuple[tuple[str, str], ...]
    layout: Layout
    api_processes: int
    scenarios: tuple[Scenario, ...]
    rounds: int
    seconds: float
    connections: int
    batch_clients: int
    shape: Shape
    rate: float
    k: int
    backlog: int
    baselines: bool
    check: bool
    reads_per_sec: float = 200.0
    minutes: int = 30

    @property
    def endures(self) -> bool:
        return "endure" in self.scenarios

    @property
    def service_settings(self) -> dict[str, str]:
        """What the service of the run gets. `endure` lets days pass in minutes: a tenth of the run is the time that
        rows are kept. Caches are as large as the world that stays, so that they fill, too.
        """
        if not self.endures:
            return {}
        days = f"{self.minutes / _KEPT_SHARE / _MINUTES_A_DAY:.8f}"
        kept = ("EVENTS", "DEDUPE", "SESSIONS", "HISTORIES", "ITEMS", "PAIRS")
        return {
            "APP_ENV": "test",
            "ONLINE_CACHE_MEMORY_MAX_KEYS": str(max(self.shape.users, self.shape.items)),
            **{f"RETENTION_{name}_DAYS": days for name in kept},
        }


def errors(plan: Plan) -> list[str]:
    """What the options ask for that cannot be done together."""
    found = []
    if plan.url is not None and "pipeline" in plan.scenarios:
        found.append("the scenario pipeline starts and stops processes, so it cannot have a URL")
    if plan.url is None and plan.layout == "api" and "fresh" in plan.scenarios:
        found.append("the scenario fresh needs a relay and a consumer: choose --layout all or split")
    if plan.endures and plan.scenarios != ("endure",):
        found.append("the scenario endure runs alone: its service deletes the events that others count")
    if plan.endures and plan.url is not None:
        found.append("the scenario endure looks into the service's tables and processes, so it cannot have a URL")
    if plan.endures and plan.check:
        found.append("the scenario endure deletes the events that --check looks for")
    if plan.endures and plan.layout == "api":
        found.append("the scenario endure needs a relay and a consumer: choose --layout all or split")
    if _OF_A_CATALOGUE & {*plan.scenarios} and plan.shape.items < plan.k + SPARE_ITEMS:
        found.append(f"the scenarios filter and rank need {SPARE_ITEMS} items more than --k")
    if plan.layout == "all" and plan.api_processes > 1:
        found.append("several API processes need --layout split or api")
    return found


def possible(url: Endpoint | None, layout: Layout) -> tuple[Scenario, ...]:
    """The scenarios that fit the service under load."""
    impossible = {"pipeline"} if url is not None else {"fresh"} if layout == "api" else set()
    left_out = {"endure"} | _OF_A_CATALOGUE | impossible
    return tuple(scenario for scenario in SCENARIOS if scenario not in left_out)
