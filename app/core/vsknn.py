"""VS-kNN, the baseline that sessions are measured by: the items of the sessions most like the current one.

M. Ludewig, N. Mauro, S. Latifi, D. Jannach, "Empirical Analysis of Session-Based Recommendation Algorithms", User
Modeling and User-Adapted Interaction 31, 2021; as it is computed live in B. Kersbergen, O. Sprangers, S. Schelter,
"Serenade", SIGMOD 2022.
"""

from array import array
from typing import Final

import numpy as np
from numpy.typing import NDArray

from app.core.compiled import compiled
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
        self._likeness = np.zeros(_FIRST_ROOM)
        """By user: room for one answer; 0 before and after."""
        self._users_with: list[array[int]] = []
        """By item: the users who took it, the last one last."""
        self._counts = np.zeros(_FIRST_ROOM)
        """By item: how many users took it."""
        self._votes = np.zeros(_FIRST_ROOM)
        """By item: room for one answer; 0 before and after."""

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
        sessions = [self._users_with[item][-_SESSIONS:] for item in latest.tolist()]
        voted, votes = _voted(
            user,
            latest,
            np.frombuffer(bytearray().join(sessions), np.int32),
            np.array([len(one) for one in sessions]),
            self._learned_at,
            _RECENCY / self._learned,
            self._latest_items,
            self._likeness,
            self._votes,
        )
        scores = votes * np.log1p(len(self._users.ids) / self._counts[voted])
        ids = self._items.ids
        return [ids[number] for number in voted[np.argsort(-scores, kind="stable")[:k]].tolist()]

    def _user(self, user_id: str) -> int:
        user = int(self._users.number([user_id])[0])
        if user == len(self._latest_items):
            self._latest_items = np.concatenate([self._latest_items, np.full_like(self._latest_items, _NOTHING)])
            self._learned_at = _doubled(self._learned_at)
            self._likeness = _doubled(self._likeness)
        return user

    def _item(self, item_id: str) -> int:
        item = int(self._items.number([item_id])[0])
        if item == len(self._users_with):
            self._users_with.append(array("i"))
            if item == len(self._counts):
                self._counts = _doubled(self._counts)
                self._votes = _doubled(self._votes)
        return item


def _doubled(values: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.concatenate([values, np.zeros_like(values)])


@compiled("(i8, i4[::1], i4[::1], i8[::1], f8[::1], f8, i4[:, ::1], f8[::1], f8[::1])")
def _voted(
    user: int,
    latest: NDArray[np.int32],
    users: NDArray[np.int32],
    lengths: NDArray[np.int64],
    learned_at: NDArray[np.float64],
    recency: float,
    latest_items: NDArray[np.int32],
    likeness: NDArray[np.float64],
    votes: NDArray[np.float64],
) -> tuple[NDArray[np.int32], NDArray[np.float64]]:
    """The items that the neighbours vote for, in ascending order, and their votes.

    `users` are those who took each of the `latest` items, so many as `lengths` say. `likeness`, by user, and `votes`,
    by item, are all 0, and are so afterwards.
    """
    found = np.empty(len(users), np.int32)
    count = at = 0
    for place in range(len(latest)):
        for _ in range(lengths[place]):
            other = users[at]
            at += 1
            if other != user:
                if likeness[other] == 0.0:
                    found[count] = other
                    count += 1
                likeness[other] += 1.0 - place / len(latest)
    near = found[:count]
    order = likeness[near] + learned_at[near] * recency
    least = np.partition(order, count - _NEIGHBOURS)[count - _NEIGHBOURS] if count > _NEIGHBOURS else 0.0
    voted = np.empty(_REMEMBERED * min(count, _NEIGHBOURS + 1), np.int32)
    size = 0
    for row in range(count):
        theirs = latest_items[near[row]]
        # The later in the current session the last item that both share, the more the neighbour's items count.
        shared = len(latest)
        for item in theirs:
            for place in range(shared):
                if latest[place] == item:
                    shared = place
                    break
        if order[row] >= least and shared < len(latest):
            vote = likeness[near[row]] / (1.0 + shared)
            for item in theirs:
                if item == _NOTHING:
                    break
                if votes[item] == 0.0:
                    voted[size] = item
                    size += 1
                votes[item] += vote
        likeness[near[row]] = 0.0
    voted = np.sort(voted[:size])
    sums = votes[voted]
    votes[voted] = 0.0
    return voted, sums
