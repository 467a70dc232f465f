"""The inner loops of ranking, compiled: what the user's lists say of each item, the scores, and the best of them."""

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

# A word has four bytes, as a number and a value have.
_NEIGHBOUR_WORDS: Final = NEIGHBOUR.itemsize // 4
_FOLLOWER_WORDS: Final = FOLLOWER.itemsize // 4
_LISTS_FROM: Final = FROM_NEIGHBOURS.start
_OWN_FROM: Final = FROM_OWN.start
_SIMILAR, _LAST, _LASTING, _FOLLOWING = range(4)
# The sums are of shares and cosines: so scaled, their logarithms reach from 0 to about 4.
_SCALE: Final = np.float32(20.0)
_FOLLOWING_SCALE: Final = np.float32(50.0)


@compiled("Tuple((i4[::1], f4[:, ::1]))(i4[::1], f4[::1], i4[::1], i8, f4[::1], i4[::1])")
def accumulate(
    words: Numbers, values: Values, lengths: Numbers, seeds: int, weights: Values, rows: Numbers
) -> tuple[Numbers, Values]:
    """The distinct numbers in `words` in their order, and a row of four sums for each: the similarities to the user's
    latest items by their `weights`; to the last item alone; the mean of those that do not age; how often users went on
    to it.

    `words` has lists, whose `lengths` are given: one of numbers, one with entries of `NEIGHBOUR` for each of so many
    `seeds`, then those with entries of `FOLLOWER`. `values` are the same bytes as float32. `rows` is room by item
    number: afterwards it has the row of each of the numbers.
    """
    entries = lengths.sum()
    numbers = np.empty(entries, np.int32)
    sums = np.zeros((entries, 4), np.float32)
    count = at = 0
    share = _SCALE / np.float32(max(seeds, 1))
    for place in range(len(lengths)):
        size, weight = 1, np.float32(0.0)
        if 0 < place <= seeds:
            size, weight = _NEIGHBOUR_WORDS, _SCALE * weights[place - 1]
        elif place > seeds:
            size, weight = _FOLLOWER_WORDS, _FOLLOWING_SCALE * weights[place - 1 - seeds]
        for _ in range(lengths[place]):
            number = words[at]
            if not 0 <= number < len(rows):
                raise IndexError("an item number of another table")
            row = rows[number]
            # What is there may be of another answer. Without a branch, which no processor would predict.
            is_new = (row >= count) | (numbers[min(row, count)] != number)
            row = count if is_new else row
            rows[number] = row
            numbers[row] = number
            count += is_new
            if size == _NEIGHBOUR_WORDS:
                sums[row, _SIMILAR] += weight * values[at + 1]
                sums[row, _LASTING] += share * values[at + 2]
                if place == 1:
                    sums[row, _LAST] = _SCALE * values[at + 1]
            elif size == _FOLLOWER_WORDS:
                sums[row, _FOLLOWING] += weight * values[at + 1]
            at += size
    return numbers[:count], sums[:count]


@compiled("f4[:, ::1](i8[::1], f4[::1], i4[::1], f4[::1], i8)")
def own_features(at_ms: Times, times: Values, numbers: Numbers, repeats: Values, now_ms: int) -> Values:
    """A row of `OWN_FEATURES` for each of the user's own items, from when the user did something with it and how often
    (log-scaled). `numbers` begin with theirs; `repeats` are by item number.
    """
    found = np.empty((len(at_ms), 4), np.float32)
    for row in range(len(at_ms)):
        found[row, 0] = 1.0
        found[row, 1] = times[row]
        found[row, 2] = np.log1p(max(0, now_ms - at_ms[row]) / HOUR_MS)
        found[row, 3] = repeats[numbers[row]]
    return found


@compiled("f4[::1](i4[::1], f4[::1], f4[::1], f4[:, ::1], i8[::1], f4[:, ::1], f4[::1], f4, f4)")
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
) -> Values:
    """The weighted sum of each candidate's features. `item_scores` and `prior` are by item number; `lists` has a row
    for each candidate, `own` one for each of `own_rows`. Minus infinity where the part of `own` is below `least_own`.
    """
    scores = np.empty(len(numbers), np.float32)
    for row in range(len(numbers)):
        number = numbers[row]
        found = item_scores[number] + absence * prior[number]
        for column in range(lists.shape[1]):
            found += lists[row, column] * weights[_LISTS_FROM + column]
        scores[row] = found
    for place in range(len(own_rows)):
        part = np.float32(0.0)
        for column in range(own.shape[1]):
            part += own[place, column] * weights[_OWN_FROM + column]
        scores[own_rows[place]] += part if part >= least_own else -np.inf
    return scores


@compiled("b1[::1](i8[::1], f4[:, ::1], f4[::1], f4[::1])")
def led_by_lists(rows: Times, lists: Values, weights: Values, scores: Values) -> NDArray[np.bool_]:
    """Whether the lists are more than half of what is above 0 in these candidates' `scores`."""
    found = np.empty(len(rows), np.bool_)
    for place in range(len(rows)):
        row = rows[place]
        part = np.float32(0.0)
        for column in range(lists.shape[1]):
            part += lists[row, column] * weights[_LISTS_FROM + column]
        found[place] = part > max(scores[row] - part, np.float32(0.0))
    return found


@compiled("i8[::1](f4[::1], i8)")
def places_of_best(scores: Values, count: int) -> NDArray[np.int64]:
    """The places of the `count` highest scores above 0, highest first, and of all that equal the last of them."""
    heap = np.empty(min(count, len(scores)), np.float32)  # of the highest so far, the least of them first
    held = 0
    for place in range(len(scores)):
        score = scores[place]
        if held < len(heap) and score > 0.0:
            at = held
            held += 1
            while at > 0 and heap[(at - 1) // 2] > score:
                heap[at] = heap[(at - 1) // 2]
                at = (at - 1) // 2
            heap[at] = score
        elif held > 0 and held == len(heap) and score > heap[0]:
            at, child = 0, 1
            while child < held:
                if child + 1 < held and heap[child + 1] < heap[child]:
                    child += 1
                if heap[child] >= score:
                    break
                heap[at] = heap[child]
                at, child = child, 2 * child + 1
            heap[at] = score
    if held == 0:
        return np.empty(0, np.int64)
    least = heap[0]
    places = np.empty(np.count_nonzero(scores >= least), np.int64)
    size = 0
    for place in range(len(scores)):
        if scores[place] >= least:
            at = size
            while at > 0 and scores[places[at - 1]] < scores[place]:
                places[at] = places[at - 1]
                at -= 1
            places[at] = place
            size += 1
    return places
