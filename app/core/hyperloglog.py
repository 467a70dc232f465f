"""HyperLogLog: estimates the number of distinct users from one small number per group.

P. Flajolet, É. Fusy, O. Gandouet, F. Meunier, "HyperLogLog: the analysis of a near-optimal cardinality estimation
algorithm", AofA 2007. A user's hash gives a group and a rank: one plus the number of leading zero bits of the
remaining hash. A group keeps the greatest rank of its users. Days merge by the greatest rank; no user id is stored.
"""

from collections.abc import Collection
from math import log


def estimate(ranks: Collection[int], groups: int) -> int:
    """`ranks`: the greatest rank of each non-empty group. `groups`: the number of all groups, at least 128.

    The standard error is 1.04 / sqrt(groups): 3 % with 1,024. Small numbers are nearly exact.
    """
    empty = groups - len(ranks)
    raw = 0.7213 / (1.0 + 1.079 / groups) * groups**2 / (empty + sum(2.0**-rank for rank in ranks))
    if raw <= 2.5 * groups and empty:
        return round(groups * log(groups / empty))
    return round(raw)
