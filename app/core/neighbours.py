"""How well other items go with an item: its neighbours, and its followers.

Item-to-item similarity: G. Linden, B. Smith, J. York, "Amazon.com Recommendations", IEEE Internet Computing 7(1), 2003.
"""

from typing import Final, TypeAlias

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from app.core.model import MODEL, Model
from app.core.signals import decay_factor

Values: TypeAlias = NDArray[np.float64]

# A similarity that rests on few users says little, whatever the items' frequencies.
_LASTING_SEED: Final = 1.0
_LASTING_CANDIDATE: Final = 10.0
_FOLLOWING_EVIDENCE: Final = 1.0


class Neighbours(Struct, frozen=True):
    """The items that go best with one item, in two lists.

    The neighbours: `numbers` (int32, of `ItemIndex`), `similarities` and `lasting` (float32), best first. `lasting` is
    the similarity by users that met both, which does not age. The followers, what users went on to: `followers`
    (int32) and `following` (float32, the decayed share of the item's events that they followed).

    All are bytes: an answer joins some twenty lists out of thousands, and bytes are joined fastest, with one look into
    memory a list.
    """

    numbers: bytes = b""
    similarities: bytes = b""
    lasting: bytes = b""
    followers: bytes = b""
    following: bytes = b""


NO_NEIGHBOURS: Final = Neighbours()


class ItemSums(Struct, frozen=True):
    """The sums of the item itself; frequency and events are forward-decayed."""

    frequency: float
    events: float
    users: float


class PairSums(Struct, frozen=True):
    """The sums of an item's pairs, one column each, and of the other items; all but `users` are forward-decayed."""

    numbers: NDArray[np.int32]
    weights: Values
    met: Values
    """Users who met both."""
    follows: Values
    """How often the other followed the item."""
    frequencies: Values
    events: Values
    users: Values


def evidence(now_ms: int, model: Model = MODEL) -> float:
    """The candidate's number of events, as it is stored (forward-decayed), at which a similarity is halved."""
    return model.shrinkage / decay_factor(now_ms, model.covisitation_half_life_ms)


def similarity(pairs: PairSums, seed: ItemSums, now_ms: int, model: Model = MODEL) -> Values:
    """How much each candidate goes with an item; 0 and above."""
    factor = decay_factor(now_ms, model.covisitation_half_life_ms)
    events = pairs.events * factor
    shared = (seed.frequency * factor) ** model.seed_power * (pairs.frequencies * factor) ** model.candidate_power
    # The other item's sums may be a second older than the pair: then there is no such item yet.
    found: Values = np.divide(pairs.weights * factor, shared, out=np.zeros_like(shared), where=shared > 0.0)
    found *= events / (events + model.shrinkage)
    return found


def neighbours_of(seed: ItemSums, pairs: PairSums, *, now_ms: int, model: Model = MODEL) -> Neighbours:
    """`pairs`: at least the best of the item, all with a frequency above 0."""
    factor = decay_factor(now_ms, model.covisitation_half_life_ms)
    if seed.frequency <= 0.0 or factor == 0.0:
        return NO_NEIGHBOURS
    similarities = similarity(pairs, seed, now_ms, model)
    best = _best(similarities, model.neighbours)
    lasting = pairs.met[best] / np.sqrt((seed.users + _LASTING_SEED) * (pairs.users[best] + _LASTING_CANDIDATE))
    events = seed.events * factor
    following = pairs.follows / seed.frequency * (events / (events + _FOLLOWING_EVIDENCE))
    then = _best(following, model.followers)
    return Neighbours(
        pairs.numbers[best].tobytes(),
        similarities[best].astype(np.float32).tobytes(),
        lasting.astype(np.float32).tobytes(),
        pairs.numbers[then].tobytes(),
        following[then].astype(np.float32).tobytes(),
    )


def _best(values: Values, count: int) -> NDArray[np.intp]:
    """The places of the `count` highest values above 0, highest first."""
    found = np.argpartition(values, -count)[-count:] if len(values) > count else np.arange(len(values))
    found = found[values[found] > 0.0]
    return found[np.argsort(-values[found], kind="stable")]
