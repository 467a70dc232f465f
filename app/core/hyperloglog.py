"""How many different users there were, from a little number for each of many groups: HyperLogLog.

P. Flajolet, É. Fusy, O. Gandouet, F. Meunier, "HyperLogLog: the analysis of a near-optimal cardinality estimation
algorithm", AofA 2007. A user's hash gives the group and a rank, 1 and the number of zero bits that the rest of the hash
starts with; a group keeps the greatest rank of its users. Days add up by the greatest rank, and nobody is named.
"""

from collections.abc import Collection
from math import log


def estimate(ranks: Collection[int], groups: int) -> int:
    """Of the groups that had anybody, their greatest ranks; `groups` is how many there are, at least 128.

    The standard error is 1.04 / sqrt(groups): 3 % with 1,024. Small numbers are nearly exact.
    """
    empty = groups - len(ranks)
    raw = 0.7213 / (1.0 + 1.079 / groups) * groups**2 / (empty + sum(2.0**-rank for rank in ranks))
    if raw <= 2.5 * groups and empty:
        return round(groups * log(groups / empty))
    return round(raw)
