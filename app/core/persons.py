"""The ids of one person: a link joins the history of an anonymous id into an account.

Histories stay stored by the id that they came with, and are joined when they are read. The result is a function of the
set of links, so neither their order nor a repetition matters. It goes one way: an account's lists are made of the
anonymous history too, and lists of the anonymous id of nothing but its own.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from typing import Final, NamedTuple

from app.core.history import NO_HISTORY, History, HistoryBuilder
from app.core.model import Model

MAX_LINKS: Final = 32
"""How many anonymous ids an account may have, and how many accounts an anonymous id."""
MAX_IDS: Final = 64
"""How many histories are read for a list. Links of links may reach more."""


class Link(NamedTuple):
    anonymous_id: str
    user_id: str


def erased_together(user_id: str, links: Collection[Link]) -> frozenset[str]:
    """The ids that the erasure of this one erases: those of the account that it belongs to.

    An id that is joined into two accounts, as that of a shared device, belongs to neither: its erasure erases it and
    what was joined into it.
    """
    accounts, anonymous = defaultdict(set), defaultdict(set)
    for link in links:
        accounts[link.anonymous_id].add(link.user_id)
        anonymous[link.user_id].add(link.anonymous_id)
    account, passed = user_id, {user_id}
    while len(accounts[account]) == 1:
        (account,) = accounts[account]
        if account in passed:
            break
        passed.add(account)
    found, left = {account}, [account]
    while left:
        fresh = anonymous[left.pop()] - found
        found |= fresh
        left += fresh
    return frozenset(found)


def to_read(linked: Iterable[str], found: Collection[str]) -> list[str]:
    """Of the ids linked to those that were read last, the ones to read next: in their order, up to the bound."""
    return sorted(set(linked).difference(found))[: MAX_IDS - len(found)]


def join(histories: Sequence[History], model: Model) -> History:
    """One history of several, as if all their events had come with one id. In any order of `histories`."""
    one, *others = histories or [NO_HISTORY]
    builder = HistoryBuilder(one, model)
    for other in others:
        builder.add_all(other)
    return builder.finish()
