"""Models to compare: one without each ingredient, and one to either side of each constant."""

from typing import Final

from msgspec import structs

from app.core.evaluation import BASELINE
from app.core.model import MODEL, Model
from app.core.signals import DAY_MS, HOUR_MS

AS_SERVED: Final = "as served"
POPULARITY: Final = "popularity, half-life 7 days"

_NEVER_MS: Final = 36_500 * DAY_MS
_ALMOST_NOTHING: Final = 1e-9
_NO_DISTANCE: Final = 1e9


def _model(**changes: float) -> Model:
    return structs.replace(MODEL, **changes)


ABLATIONS: Final[dict[str, Model]] = {
    "pairs of adjacent items only": _model(pair_window=1),
    "a pair weighs the same at any distance": _model(pair_distance=_NO_DISTANCE),
    "pairs do not age": _model(covisitation_half_life_ms=_NEVER_MS),
    "no normalisation by frequency": _model(seed_power=0.0, candidate_power=0.0),
    "no shrinkage": _model(shrinkage=0.0),
    "the latest item only": _model(seeds=1),
    "all of the history weighs alike": _model(recency=1.0),
    "no prior": _model(prior_fresh=_ALMOST_NOTHING, prior_stale=_ALMOST_NOTHING),
    "a prior that does not grow with absence": _model(prior_stale=MODEL.prior_fresh),
    "popularity does not age": _model(popularity_half_life_ms=_NEVER_MS),
    "nothing the user has is offered again": _model(repeat_gain=0.0),
    "lists of 1,000": _model(neighbours=1_000),
    "popularity alone": _model(seeds=0),
    POPULARITY: BASELINE,
}

_SIDES: Final[dict[str, tuple[float, float]]] = {
    "popularity_half_life_ms": (4 * DAY_MS, 16 * DAY_MS),
    "covisitation_half_life_ms": (60 * DAY_MS, 360 * DAY_MS),
    "user_linear": (2.0, 8.0),
    "pair_window": (10, 40),
    "pair_distance": (2.5, 10.0),
    "seed_power": (0.3, 0.5),
    "candidate_power": (0.5, 0.7),
    "shrinkage": (1.0, 4.0),
    "neighbours": (100, 400),
    "seeds": (10, 40),
    "recency": (0.7, 0.9),
    "prior_fresh": (0.05, 0.2),
    "prior_stale": (1.0, 6.0),
    "stale_after_ms": (2 * DAY_MS, 40 * DAY_MS),
    "prior_power": (0.35, 1.0),
    "repeat_gap_ms": (HOUR_MS, 24 * HOUR_MS),
    "repeat_evidence": (2.0, 10.0),
    "repeat_gain": (25.0, 100.0),
    "repeat_limit": (1.0, 4.0),
}

SENSITIVITY: Final[dict[str, Model]] = {
    f"{name} {value:g}" if name[-2:] != "ms" else f"{name[:-3]} {value / HOUR_MS:g} h": _model(**{name: value})
    for name, sides in _SIDES.items()
    for value in sides
}
