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
Moments: TypeAlias = NDArray[np.float64]

NEIGHBOUR_BYTES: Final = NEIGHBOUR.itemsize
FOLLOWER_BYTES: Final = FOLLOWER.itemsize

# A word is a number or a value.
_WORD_BYTES: Final = 4
_NEIGHBOUR_WORDS: Final = NEIGHBOUR_BYTES // _WORD_BYTES
_FOLLOWER_WORDS: Final = FOLLOWER_BYTES // _WORD_BYTES
_LISTS_FROM: Final = FROM_NEIGHBOURS.start
_OWN_FROM: Final = FROM_OWN.start
BY_ITEM, BY_LISTS, BY_OWN = range(3)
_SIMILAR, _LAST, _LASTING, _FOLLOWING = range(4)
# The sums are of shares and cosines: so scaled, their logarithms reach from 0 to about 4.
_SCALE: Final = np.float32(20.0)
_FOLLOWING_SCALE: Final = np.float32(50.0)


@compiled("i8(i4[::1], i8, i8[::1], i8, i4[::1], f4[::1], i4[::1], i4[::1], f4[:, ::1])")
def accumulate(
    words: Numbers,
    alone: int,
    lengths: Times,
    seeds: int,
    limits: Numbers,
    weights: Values,
    rows: Numbers,
    numbers: Numbers,
    sums: Values,
) -> int:
    """Fills `numbers` with the distinct numbers in `words` in their order, and a row of `sums` for each: the
    similarities to the user's latest items by their `weights`; to the last item alone; the mean of those that do not
    age; how often users went on to it. Returns how many there are.

    `words` has `alone` numbers, then the lists, whose `lengths` are given in bytes: one with entries of `NEIGHBOUR` for
    each of so many `seeds`, of which no more than its limit are read; then those with entries of `FOLLOWER`. `rows` is
    room by item number: afterwards it has the row of each of the numbers. `sums` are zeros.
    """
    values = words.view(np.float32)
    count = at = 0
    share = _SCALE / np.float32(max(seeds, 1))
    for place in range(-1, len(lengths)):
        size, entries, weight = 1, alone, np.float32(0.0)
        if 0 <= place < seeds:
            size, weight = _NEIGHBOUR_WORDS, _SCALE * weights[place]
            entries = min(lengths[place] // NEIGHBOUR_BYTES, limits[place])
        elif place >= seeds:
            size, weight = _FOLLOWER_WORDS, _FOLLOWING_SCALE * weights[place - seeds]
            entries = lengths[place] // FOLLOWER_BYTES
        begin = at
        for _ in range(entries):
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
                if place == 0:
                    sums[row, _LAST] = _SCALE * values[at + 1]
            elif size == _FOLLOWER_WORDS:
                sums[row, _FOLLOWING] += weight * values[at + 1]
            at += size
        if place >= 0:
            at = begin + lengths[place] // _WORD_BYTES
    return count


@compiled("void(f8[::1], i4[::1], f4[::1], i8, f4[:, ::1])")
def own_features(own: Moments, numbers: Numbers, repeats: Values, now_ms: int, found: Values) -> None:
    """Fills a row of `OWN_FEATURES` for each of the user's own items. `own`: when the user did something with each, in
    milliseconds; then how often, log-scaled. `numbers` begin with theirs; `repeats` are by item number.
    """
    count = len(found)
    for row in range(count):
        found[row, 0] = 1.0
        found[row, 1] = own[count + row]
        found[row, 2] = np.log1p(max(0.0, now_ms - own[row]) / HOUR_MS)
        found[row, 3] = repeats[numbers[row]]


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
