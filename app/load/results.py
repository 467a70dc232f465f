"""Turns the rounds' measurements into results: medians with minimum and maximum, and ratios to the baselines.

A ratio is taken within each round, so that a slow phase of the machine affects both values.
"""

from collections.abc import Iterable, Mapping
from statistics import median
from typing import Final

from msgspec import Struct, field

from app.load.endurance import MinuteReading, slopes
from app.load.jobs import Series
from app.load.latency import Latencies

# What a row can have, by the name that thresholds and the JSON use: events or reads a second, latencies in ms,
# processors kept busy by the service, by the generator and by everything on the machine, the memory of the service's
# largest process in MB, the event loop's lag in ms, and how a drain's rate changed (see `drain_rate`).
FIELDS: Final = (
    "rate", "p50", "p95", "p99", "p999", "cpu", "generator_cpu", "machine_cpu", "rss_mb", "lag_p99", "slope",
)  # fmt: skip
# Fewer looks at a counter tell neither its rate without its start nor whether that changes.
_LEAST_SAMPLES: Final = 6
_PERCENTILES: Final = {"p50": 50.0, "p95": 95.0, "p99": 99.0, "p999": 99.9}

# Row → (unit of the rate, what it is, the baseline it is compared with).
ROWS: Final[Mapping[str, tuple[str, str, str | None]]] = {
    "baseline.post": ("requests/s", "bare Litestar, same POSTs", None),
    "single": ("events/s", "one event a request", "baseline.post"),
    "baseline.insert100": ("rows/s", "bare asyncpg, 100 rows each", None),
    "batch100": ("events/s", "100 events a request", "baseline.insert100"),
    "baseline.insert1000": ("rows/s", "bare asyncpg, 1,000 rows each", None),
    "batch1000": ("events/s", "1,000 events a request", "baseline.insert1000"),
    "baseline.get": ("requests/s", "bare Litestar, same GETs", None),
    "reco": ("requests/s", "GET /reco", "baseline.get"),
    "cold": ("requests/s", "GET /reco right after Redis lost everything", None),
    "baseline.produce": ("messages/s", "bare aiokafka, idempotent", None),
    "relay": ("events/s", "outbox to Kafka, a backlog", "baseline.produce"),
    "consumer": ("events/s", "Kafka to features, a backlog", None),
    "steady": ("events/s", "the same at a fixed rate", None),
    "visible": ("", "acknowledged to seen in /reco", None),
    "baseline.lists": ("requests/s", "bare Litestar, GETs at a fixed rate", None),
    "unfiltered": ("requests/s", "GET /reco at that rate", None),
    "filter": ("requests/s", "the same with a filter that keeps 1 %", None),
    "baseline.rank": ("requests/s", "bare Litestar, 1,000 items, at a fixed rate", None),
    "rank": ("requests/s", "POST /rank with 1,000 items", None),
    "endure": ("events/s", "events for a minute, beside reads", None),
    "endure.reco": ("requests/s", "GET /reco beside them", None),
    "idle": ("", "the service at rest", None),
}


class Sample(Struct, kw_only=True):
    """One round of one row: field → value."""

    values: dict[str, float]
    errors: dict[str, int] = field(default_factory=dict)
    first_bodies: dict[str, str] = field(default_factory=dict)


class MedianRange(Struct, frozen=True):
    """A value over the rounds."""

    median: float
    least: float
    greatest: float


class Results:
    """The samples of all rows, round by round."""

    def __init__(self) -> None:
        self._samples: dict[str, list[Sample]] = {}
        self.minutes: list[MinuteReading] = []
        """Of an endurance run."""

    def add(self, row: str, sample: Sample) -> None:
        if row not in ROWS or not set(sample.values) <= set(FIELDS):
            raise ValueError(f"no such row or field: {row}, {sorted(sample.values)}")
        self._samples.setdefault(row, []).append(sample)

    @property
    def rows(self) -> list[str]:
        """Those measured, in the order of `ROWS`."""
        return [row for row in ROWS if row in self._samples]

    def values(self, row: str, name: str) -> list[float]:
        """One value a round, where the round has it."""
        return [sample.values[name] for sample in self._samples.get(row, []) if name in sample.values]

    def median_range(self, row: str, name: str) -> MedianRange | None:
        return median_range(self.values(row, name))

    def ratio(self, row: str, name: str, other: str, other_name: str) -> MedianRange | None:
        """`row.name / other.other_name`, round by round."""
        pairs = zip(self.values(row, name), self.values(other, other_name), strict=False)
        return median_range([above / below for above, below in pairs if below])

    def errors(self, row: str) -> dict[str, int]:
        counts: dict[str, int] = {}
        for sample in self._samples.get(row, []):
            for what, count in sample.errors.items():
                counts[what] = counts.get(what, 0) + count
        return counts

    def first_body(self, row: str, error: str) -> str:
        bodies = (sample.first_bodies.get(error) for sample in self._samples.get(row, []))
        return next((body for body in bodies if body), "")

    @property
    def failed(self) -> bool:
        return any(self.errors(row) for row in self.rows) or not all(slope.passed for slope in slopes(self.minutes))


def median_range(values: Iterable[float]) -> MedianRange | None:
    found = sorted(values)
    return MedianRange(median(found), found[0], found[-1]) if found else None


def values_of(series: Series) -> dict[str, float]:
    """The rate and the percentiles of a measured series."""
    found = Latencies(series.latency).percentiles_ms(list(_PERCENTILES.values()))
    return {"rate": series.good / series.seconds, **dict(zip(_PERCENTILES, found, strict=False))}


def drain_rate(samples: list[tuple[float, float]], total: float) -> tuple[float, float | None]:
    """(events a second, slope) of a counter that runs to `total`, from (seconds, count) in order of time.

    Taken between the first count and the last one before the end, so that neither the start of the process nor the
    time between two looks is in it. The slope is the rate of the second half by that of the first, 1 when a backlog
    drains at one rate to its end; None when there are too few samples to tell.
    """
    moving = [(at, count) for at, count in samples if 0 < count < total]
    if len(moving) < _LEAST_SAMPLES:
        ends = [at for at, count in samples if count >= total]
        begun = max((at for at, count in samples if count <= 0), default=samples[0][0])
        return (total / (ends[0] - begun) if ends and ends[0] > begun else 0.0), None
    (first_at, first), (last_at, last) = moving[0], moving[-1]
    middle_at, middle = min(moving[1:-1], key=lambda sample: abs(sample[1] - (first + last) / 2))
    before = (middle - first) / (middle_at - first_at)
    after = (last - middle) / (last_at - middle_at)
    return (last - first) / (last_at - first_at), (after / before if before > 0 else None)
