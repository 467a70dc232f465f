"""The inner loops of ranking, compiled: what the user's lists say of each item, the scores, and the best of them.

Indices that cannot be below 0 are unsigned in the longest loops: of a signed one numba asks each time whether it counts
from the end, which takes three times as long.
"""

from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from app.core.compiled import compiled
from app.core.neighbours import FOLLOWER, NEIGHBOUR
from app.core.signals import HOUR_MS
from app.core.weights import FROM_NEIGHBOURS, FROM_OWN

Values: TypeAlias = NDArray[np.float32]
Numbers: TypeAlias = NDArray[np.int32]
Times: TypeAlias = NDArray[np.int64]
Facts: TypeAlias = NDArray[np.float64]

WORD_BYTES: Final = 4
"""A word is a number or a value."""
LEAST_WORDS: Final = FOLLOWER.itemsize // WORD_BYTES
"""No entry of a list has fewer."""

_NEIGHBOUR_WORDS: Final = NEIGHBOUR.itemsize // WORD_BYTES
_FOLLOWER_WORDS: Final = FOLLOWER.itemsize // WORD_BYTES
_LISTS_FROM: Final = FROM_NEIGHBOURS.start
_OWN_FROM: Final = FROM_OWN.start
BY_ITEM, BY_LISTS, BY_OWN = range(3)
_SIMILAR, _LAST, _LASTING, _FOLLOWING = range(4)
# The sums are of shares and cosines: so scaled, their logarithms reach from 0 to about 4.
_SCALE: Final = np.float32(20.0)
_FOLLOWING_SCALE: Final = np.float32(50.0)


@compiled("i8(i4[::1], i8, i8, i8, f8[::1], i4[::1], f4[::1], i8, i4[::1], i8, i4[::1], f4[:, ::1], f4[:, ::1])")
def gather(
    words: Numbers,
    alone: int,
    seeds: int,
    followed: int,
    facts: Facts,
    limits: Numbers,
    repeats: Values,
    now_ms: int,
    rows: Numbers,
    first: int,
    numbers: Numbers,
    sums: Values,
    own: Values,
) -> int:
    """Fills `numbers` with the distinct numbers in `words` in their order, and a row of `sums` for each: the
    similarities to the user's latest items by their weights; to the last item alone; the mean of those that do not
    age; how often users went on to it. Fills `own`, a row of `OWN_FEATURES` for each of the user's own items, whose
    numbers come first. Returns how many numbers there are.

    `words` has `alone` numbers, then the lists, each behind its number of entries: one of `NEIGHBOUR` for each of so
    many `seeds`, of which no more than its limit are read; then one of `FOLLOWER` for each of the first `followed`.
    `facts` has the weights of the seeds, when the user did something with each own item, in milliseconds, and how
    often, log-scaled. `repeats` are by item number. `rows` is room by item number, in which all is below `first`:
    afterwards it has `first` + the row of each of the numbers. What `sums` holds before does not matter.
    """
    values = words.view(np.float32)
    count = at = cleared = 0
    share = _SCALE / np.float32(max(seeds, 1))
    for place in range(-1, seeds + followed):
        size, held, entries, weight, last = 1, alone, alone, np.float32(0.0), np.float32(0.0)
        if place >= 0:
            held = entries = words[at]
            at += 1
        if 0 <= place < seeds:
            size, weight = _NEIGHBOUR_WORDS, _SCALE * np.float32(facts[place])
            last = _SCALE if place == 0 else last
            entries = min(held, limits[place])
        elif place >= seeds:
            size, weight = _FOLLOWER_WORDS, _FOLLOWING_SCALE * np.float32(facts[place - seeds])
        for row in range(cleared, count + entries):
            sums[row] = 0.0
        cleared = max(cleared, count + entries)
        begin = at
        for _ in range(entries):
            number = words[at]
            if not 0 <= number < len(rows):
                raise IndexError("an item number of another table")
            # Without a branch, which no processor would predict.
            row = rows[np.uint64(number)] - first
            is_new = row < 0
            row = count if is_new else row
            rows[np.uint64(number)] = first + row
            numbers[np.uint64(row)] = number
            count += is_new
            if size == _NEIGHBOUR_WORDS:
                sums[np.uint64(row), _SIMILAR] += weight * values[at + 1]
                sums[np.uint64(row), _LAST] += last * values[at + 1]
                sums[np.uint64(row), _LASTING] += share * values[at + 2]
            elif size == _FOLLOWER_WORDS:
                sums[np.uint64(row), _FOLLOWING] += weight * values[at + 1]
            at += size
        at = begin + held * size
    for row in range(len(own)):
        own[row, 0] = 1.0
        own[row, 1] = facts[seeds + len(own) + row]
        own[row, 2] = np.log1p(max(0.0, now_ms - facts[seeds + row]) / HOUR_MS)
        own[row, 3] = repeats[words[row]]
    return count


@compiled("void(i4[::1], f4[::1], f4[::1], f4[:, ::1], i8[::1], f4[:, ::1], f4[::1], f4, f4, f4[::1])")
def score(
    numbers: Numbers,
    item_scores: Values,
    prior: Values,
    lists: Values,
    own_rows: Times,
    own: Values,
    weights: Values,
    absence: float,
    least_own: float,
    scores: Values,
) -> None:
    """Fills `scores` with the weighted sum of each candidate's features. `item_scores` and `prior` are by item number;
    `lists` has a row for each candidate, `own` one for each of `own_rows`. Minus infinity where the part of `own` is
    below `least_own`.
    """
    of_lists = weights[_LISTS_FROM:]
    similar, last, lasting, following = of_lists[_SIMILAR], of_lists[_LAST], of_lists[_LASTING], of_lists[_FOLLOWING]
    for row in range(len(numbers)):
        number = np.uint64(numbers[row])
        scores[row] = (
            (item_scores[number] + absence * prior[number])
            + lists[row, _SIMILAR] * similar
            + lists[row, _LAST] * last
            + lists[row, _LASTING] * lasting
            + lists[row, _FOLLOWING] * following
        )
    for place in range(len(own_rows)):
        part = np.float32(0.0)
        for column in range(own.shape[1]):
            part += own[place, column] * weights[_OWN_FROM + column]
        scores[own_rows[place]] += part if part >= least_own else -np.inf


@compiled("void(i8[::1], f4[:, ::1], i8[::1], f4[::1], f4[::1], i8[::1])")
def carried_by(rows: Times, lists: Values, own_rows: Times, weights: Values, scores: Values, found: Times) -> None:
    """Fills what carried the candidates in these rows to their `scores`: `BY_OWN` for one of `own_rows`; `BY_LISTS`
    where the lists are more than half of what is above 0; else `BY_ITEM`, as for a row below 0.
    """
    for place in range(len(rows)):
        row = rows[place]
        if row < 0:
            found[place] = BY_ITEM
            continue
        part = np.float32(0.0)
        for column in range(lists.shape[1]):
            part += lists[row, column] * weights[_LISTS_FROM + column]
        found[place] = BY_LISTS if part > max(scores[row] - part, np.float32(0.0)) else BY_ITEM
        for own_row in own_rows:
            if own_row == row:
                found[place] = BY_OWN


@compiled("i8[::1](f4[::1], i8)")
def places_of_best(scores: Values, count: int) -> NDArray[np.int64]:
    """The places of the `count` highest scores above 0, highest first, and of all that equal the last of them."""
    most = min(count, len(scores))
    places = np.empty(most, np.int64)
    held = 0
    least = passed = np.float32(0.0)  # of those that are held, once they are `most`; the highest that is not held
    for place in range(len(scores) if most else 0):
        score = scores[place]
        if score > least:
            if held == most:
                passed = least
            else:
                held += 1
            at = held - 1
            while at > 0 and scores[places[at - 1]] < score:
                places[at] = places[at - 1]
                at -= 1
            places[at] = place
            least = scores[places[most - 1]] if held == most else least
        elif score == least:
            passed = score
    if held < most or passed < least or held == 0:
        return places[:held]
    equal = np.nonzero(scores == least)[0]
    above = 0
    while scores[places[above]] > least:
        above += 1
    return np.concatenate((places[:above], equal))
