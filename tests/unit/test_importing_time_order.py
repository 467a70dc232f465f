"""Whether the rows of a log come in the order of time."""

import pytest

from app.core.arrivals import MOST_BEHIND_MS
from app.importing.counts import ImportCounts
from app.importing.time_order import TimeOrder

HOUR_MS = MOST_BEHIND_MS


def order_of(*batches: list[int]) -> TimeOrder:
    order = TimeOrder()
    for times in batches:
        order.add(times)
    return order


@pytest.mark.parametrize(
    ("batches", "behind"),
    [
        ([], 0),
        ([[5 * HOUR_MS, 0]], 0),
        ([[0, HOUR_MS], [0, 2 * HOUR_MS], [HOUR_MS, HOUR_MS - 1], [HOUR_MS]], 1),
        ([[9 * HOUR_MS], [], [8 * HOUR_MS, 7 * HOUR_MS], [0]], 2),
    ],
)
def test_rows_are_behind_what_other_batches_had_before_them(batches: list[list[int]], behind: int) -> None:
    assert order_of(*batches).behind == behind


def test_log_in_the_order_of_its_users_is_told_and_some_late_rows_are_not() -> None:
    days = [day * 24 * HOUR_MS for day in range(100)]
    by_user = order_of(*([days] * 3))
    assert by_user.notice().startswith("198 of 300 rows come after rows that are more than an hour later.")
    assert order_of(*([day] for day in days), days[:3]).notice() == ""
    assert order_of().notice() == ""
    counts = ImportCounts(order=by_user)
    assert counts.notice() == by_user.notice()
