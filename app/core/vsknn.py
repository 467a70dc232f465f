"""VS-kNN, the baseline that sessions are measured by: the items of the sessions most like the current one.

M. Ludewig, N. Mauro, S. Latifi, D. Jannach, "Empirical Analysis of Session-Based Recommendation Algorithms", User
Modeling and User-Adapted Interaction 31, 2021; as it is computed live in B. Kersbergen, O. Sprangers, S. Schelter,
"Serenade", SIGMOD 2022.
"""

from array import array
from typing import Final

import numpy as np
from numpy.typing import NDArray

from app.core.item_index import ItemIndex

_LATEST: Final = 9
"""So many of the latest items make up the current session."""
_SESSIONS: Final = 500
"""Of the sessions that have an item of the current one, so many of the most recent are compared with it …"""
_NEIGHBOURS: Final = 100
"""… and so many of the most similar vote, the most recent first …"""
_REMEMBERED: Final = 36
"""… for their latest items, so many of them."""

_NOTHING: Final = -1
_FIRST_ROOM: Final = 1024
# Similarities are sums of ninths and the like: two that differ do so by more than this.
_RECENCY: Final = 1e-6


class VsKnn:
    """`learn` adds an event; `recommend` answers for a user whose events all belong to one session."""

    def __init__(self) -> None:
        self._users = ItemIndex()
        self._items = ItemIndex()
        self._learned = 0
        self._latest_items = np.full((_FIRST_ROOM, _REMEMBERED), _NOTHING, np.int32)
        """By user: the latest items, each once, the last one first."""
        self._learned_at = np.zeros(_FIRST_ROOM)
        """By user: how many events had been learned at the latest event."""
        self._users_with: list[array[int]] = []
        """By item: the users who took it, the last one last."""
        self._counts: array[float] = array("d")
        """By item: how many users took it."""

    def learn(self, user_id: str, item_id: str) -> None:
        user, item = self._user(user_id), self._item(item_id)
        self._learned += 1
        self._learned_at[user] = self._learned
        items = self._latest_items[user]
        places = (items == item).nonzero()[0]
        if not len(places):
            self._counts[item] += 1.0
            users = self._users_with[item]
            users.append(user)
            if len(users) == 2 * _SESSIONS:
                del users[:_SESSIONS]
        end = places[0] if len(places) else _REMEMBERED - 1
        items[1 : end + 1] = items[:end]
        items[0] = item

    def recommend(self, user_id: str, k: int) -> list[str]:
        user = self._users.find(user_id)
        if user is None:
            return []
        latest = self._latest_items[user, :_LATEST]
        latest = latest[latest != _NOTHING]
        likeness = np.zeros(len(self._users.ids))
        for place, item in enumerate(latest.tolist()):
            likeness[self._users_with[item][-_SESSIONS:]] += 1.0 - place / len(latest)
        likeness[user] = 0.0
        near = likeness.nonzero()[0]
        order = likeness[near] + self._learned_at[near] * (_RECENCY / self._learned)
        if len(near) > _NEIGHBOURS:
            near = near[np.argpartition(order, -_NEIGHBOURS)[-_NEIGHBOURS:]]
        theirs = self._latest_items[near]
        shares = (theirs[:, :, None] == latest).any(axis=1)
        # The later in the current session the last item that both share, the more the neighbour's items count.
        votes: NDArray[np.float64] = np.where(shares.any(axis=1), likeness[near] / (1.0 + shares.argmax(axis=1)), 0.0)
        is_item = theirs != _NOTHING
        return self._best(theirs[is_item], np.repeat(votes, is_item.sum(axis=1)), k)

    def _best(self, items: NDArray[np.int32], votes: NDArray[np.float64], k: int) -> list[str]:
        sums = np.bincount(items, votes, len(self._items.ids))
        voted = sums.nonzero()[0]
        counts = np.frombuffer(self._counts)[voted]
        scores = sums[voted] * np.log1p(len(self._users.ids) / counts)
        ids = self._items.ids
        return [ids[number] for number in voted[np.argsort(-scores, kind="stable")[:k]].tolist()]

    def _user(self, user_id: str) -> int:
        user = int(self._users.number([user_id])[0])
        if user == len(self._latest_items):
            self._latest_items = np.concatenate([self._latest_items, np.full_like(self._latest_items, _NOTHING)])
            self._learned_at = np.concatenate([self._learned_at, np.zeros_like(self._learned_at)])
        return user

    def _item(self, item_id: str) -> int:
        item = int(self._items.number([item_id])[0])
        if item == len(self._users_with):
            self._users_with.append(array("i"))
            self._counts.append(0.0)
        return item
