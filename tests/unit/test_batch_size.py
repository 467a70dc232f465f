"""How the size of a batch follows what Postgres takes."""

from hypothesis import given
from hypothesis import strategies as st

from app.core.batch_size import BatchSize

STEPS = st.lists(st.tuples(st.booleans(), st.integers(1, 5000), st.floats(0.0, 10.0)), max_size=60)


@given(largest=st.integers(1, 5000), steps=STEPS)
def test_limit_stays_between_one_and_the_largest(largest: int, steps: list[tuple[bool, int, float]]) -> None:
    size = BatchSize(largest, budget_sec=5.0)
    for fits, rows, took_sec in steps:
        count = min(rows, size.limit)
        if fits:
            size.fitted(count, took_sec)
        else:
            size.too_large(count)
        assert 1 <= size.limit <= largest


@given(largest=st.integers(1, 5000), fitting=st.integers(1, 5000))
def test_failing_batch_is_halved_until_it_fits_and_full_size_returns_afterwards(largest: int, fitting: int) -> None:
    size = BatchSize(largest, budget_sec=5.0)
    tries = 0
    while size.limit > fitting:
        before = size.limit
        size.too_large(before)
        assert size.limit == max(1, before // 2)
        tries += 1
    assert tries <= 13
    for _ in range(13):
        size.fitted(size.limit, took_sec=0.01)
    assert size.limit == largest


def test_limit_stays_where_twice_as_many_rows_would_not_fit() -> None:
    size = BatchSize(1000, budget_sec=5.0)
    size.too_large(1000)
    size.fitted(500, took_sec=3.0)
    assert size.limit == 500
    size.fitted(500, took_sec=1.0)
    assert size.limit == 1000


def test_small_batch_says_nothing_about_a_larger_one() -> None:
    size = BatchSize(1000, budget_sec=5.0)
    size.too_large(1000)
    size.fitted(10, took_sec=0.01)
    assert size.limit == 500
    size.too_large(40)
    assert size.limit == 20


def test_what_others_wait_for_is_halved_when_it_takes_longer_than_it_may() -> None:
    size = BatchSize(200, budget_sec=0.4)
    size.kept_pace(200, took_sec=3.0)
    assert size.limit == 100
    size.kept_pace(100, took_sec=0.3)
    assert size.limit == 100
    size.kept_pace(100, took_sec=0.05)
    assert size.limit == 200
