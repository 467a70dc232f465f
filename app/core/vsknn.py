"""VS-kNN, the baseline that sessions are measured by: the items of the sessions most like the current one.

M. Ludewig, N. Mauro, S. Latifi, D. Jannach, "Empirical Analysis of Session-Based Recommendation Algorithms", User
Modeling and User-Adapted Interaction 31, 2021; as it is computed live in B. Kersbergen, O. Sprangers, S. Schelter,
"Serenade", SIGMOD 2022.
"""

from collections import deque
from collections.abc import Sequence
from heapq import nlargest
from math import log
from typing import Final

_LATEST: Final = 9
"""So many of the latest items make up the current session."""
_SESSIONS: Final = 500
"""Of the sessions that share an item with the current one, so many of the most recent are compared with it …"""
_NEIGHBOURS: Final = 100
"""… and so many of the most similar vote."""


class VsKnn:
    """`learn` adds an event; `recommend` answers for a user whose events all belong to one session."""

    def __init__(self) -> None:
        self._items_of: dict[str, list[str]] = {}
        self._users_with: dict[str, deque[str]] = {}

    def learn(self, user_id: str, item_id: str) -> None:
        items = self._items_of.setdefault(user_id, [])
        if item_id not in items:
            users = self._users_with.setdefault(item_id, deque(maxlen=_SESSIONS))
            users.append(user_id)
        items.append(item_id)

    def recommend(self, user_id: str, k: int) -> list[str]:
        latest = self._latest(user_id)
        if not latest:
            return []
        weights = {item_id: place / len(latest) for place, item_id in enumerate(reversed(latest), 1)}
        likeness: dict[str, float] = {}
        for item_id, weight in weights.items():
            for other in self._users_with.get(item_id, ()):
                if other != user_id:
                    likeness[other] = likeness.get(other, 0.0) + weight
        scores: dict[str, float] = {}
        for other, similarity in nlargest(_NEIGHBOURS, likeness.items(), key=lambda pair: pair[1]):
            theirs = dict.fromkeys(self._items_of[other][-4 * _LATEST :])
            # The later in the current session the last item that both share, the more the neighbour's items count.
            shared = next((place for place, item_id in enumerate(latest, 1) if item_id in theirs), _LATEST)
            vote = similarity / shared
            for item_id in theirs:
                scores[item_id] = scores.get(item_id, 0.0) + vote
        users = len(self._items_of)
        return nlargest(k, scores, key=lambda item_id: scores[item_id] * self._rarity(item_id, users))

    def _latest(self, user_id: str) -> Sequence[str]:
        """The latest items, each once, the last one first."""
        return list(dict.fromkeys(reversed(self._items_of.get(user_id, []))))[:_LATEST]

    def _rarity(self, item_id: str, users: int) -> float:
        return log(1.0 + users / len(self._users_with[item_id]))
