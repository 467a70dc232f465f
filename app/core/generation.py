"""What stored sums were made with. Sums that were made with other parameters are another generation of them.

A stored sum does not tell its half-life: a process that adds terms with another one spoils it for good, and no error
shows. So the parameters are stored beside the sums, and every process counts and ranks with the stored ones. The
constants of the code are the parameters of a new database, and of what `reco rebuild` makes.
"""

from typing import Any, Final

import msgspec
from msgspec import Struct

from app.core import history, signals
from app.core.model import MODEL, Model

FOLD_VERSION: Final = 1
"""Changes whenever `app.core.features.fold` makes something else of the same events and parameters."""

_OF_MODEL: Final = (
    "covisitation_half_life_ms",
    "popularity_half_lives_ms",
    "user_linear",
    "pair_window",
    "pair_distance",
    "repeat_gap_ms",
)
"""Any value of these can be honoured: the fold and the ranking take them as an argument. The others are constants."""


class Parameters(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Times in milliseconds; weights in purchases."""

    fold: int = FOLD_VERSION
    landmark_ms: int = signals.LANDMARK_MS
    covisitation_half_life_ms: int = MODEL.covisitation_half_life_ms
    popularity_half_lives_ms: tuple[int, int, int] = MODEL.popularity_half_lives_ms
    user_linear: float = MODEL.user_linear
    pair_window: int = MODEL.pair_window
    pair_distance: float = MODEL.pair_distance
    repeat_gap_ms: int = MODEL.repeat_gap_ms
    purchase_weight: float = signals.PURCHASE_WEIGHT
    click_weight: float = signals.CLICK_WEIGHT
    view_weight: float = signals.VIEW_WEIGHT
    watch_weight: float = signals.WATCH_WEIGHT
    watch_half_sec: float = signals.WATCH_HALF_SEC
    abandoned_weight: float = signals.ABANDONED_WEIGHT
    abandoned_sec: float = signals.ABANDONED_SEC
    abandoned_percent: float = signals.ABANDONED_PERCENT
    history_items: int = history.MAX_ITEMS
    history_seen_hashes: int = history.MAX_SEEN_HASHES


RELEASE: Final = Parameters()
"""The parameters of this release."""


class Unsupported(ValueError):
    """This release cannot add to sums that were made with the stored parameters."""


def encode_parameters(parameters: Parameters) -> str:
    return msgspec.json.encode(parameters).decode()


def model_of(stored: str) -> Model:
    """The model that counts and ranks with the stored parameters, given as JSON.

    Raises `Unsupported` with the parameters that this release cannot honour.
    """
    found = _decoded(stored)
    other = [text for name, text in _differences(found) if name not in _OF_MODEL or name not in found]
    if other:
        raise Unsupported("; ".join(other))
    try:
        return msgspec.convert({name: found[name] for name in _OF_MODEL}, Model)
    except msgspec.ValidationError as error:
        raise Unsupported(str(error)) from error


def differences(stored: str) -> list[str]:
    """The parameters in which the stored ones and those of this release differ, each with both values."""
    return [text for _, text in _differences(_decoded(stored))]


def _decoded(stored: str) -> dict[str, Any]:
    return msgspec.json.decode(stored, type=dict[str, Any])


def _differences(stored: dict[str, Any]) -> list[tuple[str, str]]:
    own = msgspec.to_builtins(RELEASE)
    found = []
    for name in sorted(own.keys() | stored.keys()):
        one, other = stored.get(name), own.get(name)
        one, other = (list(value) if isinstance(value, tuple) else value for value in (one, other))
        if one != other:
            found.append((name, f"{name} is {_shown(one)} in the stored sums and {_shown(other)} in this release"))
    return found


def _shown(value: Any) -> str:
    return "unknown" if value is None else msgspec.json.encode(value).decode()
