"""Which of the user's own items a list leaves out, whatever the ranking makes of them."""

from collections.abc import Collection
from collections.abc import Set as AbstractSet

from app.core.history import History
from app.core.ranked import Exclusions
from app.core.ranking import Repeats


def met(history: History, kinds: Collection[int]) -> AbstractSet[str]:
    """The items that the user did one of these things with (of `signals.Kind`)."""
    return {entry.item_id for entry in history.entries if entry.kind in kinds}


def own_exclusions(
    history: History, own: Collection[str], repeats: Repeats, seen: Collection[int] | None, hashes: frozenset[int]
) -> Exclusions:
    """`own`: the items of the history's entries. `seen`: only what the user did one of these things with is left out;
    None: `repeats` alone decides. `hashes`: of items that are left out in any case.
    """
    if repeats == "avoid" or (seen is None and repeats != "allow"):
        return Exclusions(own, hashes.union(history.seen_hashes))
    return Exclusions(frozenset() if seen is None else met(history, seen), hashes)
