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


NEIGHBOUR: Final = np.dtype([("number", np.int32), ("similarity", np.float32), ("lasting", np.float32)])
"""`number`: of `ItemIndex`. `lasting`: the similarity by users that met both, which does not age."""

FOLLOWER: Final = np.dtype([("number", np.int32), ("following", np.float32)])
"""What users went on to. `following`: the decayed share of the item's events that it followed."""


_COUNT: Final = np.dtype(np.int32)
_NO_ENTRIES: Final = bytes(_COUNT.itemsize)


class Neighbours(Struct, frozen=True):
    """The items that go best with one item: its `neighbours` and its `followers`, best first.

    They are bytes: how many there are (int32), and an array of `NEIGHBOUR` or `FOLLOWER`. An answer joins some twenty
    lists out of thousands, and bytes are joined fastest, with one look into memory a list.
    """

    neighbours: bytes = _NO_ENTRIES
    followers: bytes = _NO_ENTRIES

    @staticmethod
    def of(
        numbers: NDArray[np.int32],
        similarities: NDArray[np.floating],
        lasting: NDArray[np.floating],
        followers: NDArray[np.int32],
        following: NDArray[np.floating],
    ) -> "Neighbours":
        """From columns: the first three are of the neighbours."""
        near = np.empty(len(numbers), NEIGHBOUR)
        near["number"], near["similarity"], near["lasting"] = numbers, similarities, lasting
        then = np.empty(len(followers), FOLLOWER)
        then["number"], then["following"] = followers, following
        return Neighbours(_counted(near), _counted(then))

    def neighbour_entries(self) -> NDArray[np.void]:
        """An array of `NEIGHBOUR`."""
        return np.frombuffer(self.neighbours, NEIGHBOUR, offset=_COUNT.itemsize)

    def follower_entries(self) -> NDArray[np.void]:
        """An array of `FOLLOWER`."""
        return np.frombuffer(self.followers, FOLLOWER, offset=_COUNT.itemsize)


def _counted(entries: NDArray[np.void]) -> bytes:
    return _COUNT.type(len(entries)).tobytes() + entries.tobytes()


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
    # What was taken back may have met fewer others than it did when it was counted.
    met = np.maximum(pairs.met[best], 0.0)
    lasting = met / np.sqrt((seed.users + _LASTING_SEED) * (pairs.users[best] + _LASTING_CANDIDATE))
    events = seed.events * factor
    following = pairs.follows / seed.frequency * (events / (events + _FOLLOWING_EVIDENCE))
    then = _best(following, model.followers)
    return Neighbours.of(pairs.numbers[best], similarities[best], lasting, pairs.numbers[then], following[then])


def _best(values: Values, count: int) -> NDArray[np.intp]:
    """The places of the `count` highest values above 0, highest first."""
    found = np.argpartition(values, -count)[-count:] if len(values) > count else np.arange(len(values))
    found = found[values[found] > 0.0]
    return found[np.argsort(-values[found], kind="stable")]
