"""The clock of the process, which the database's puts right."""

import pytest

from app.clock import Clock
from app.errors import DependencyDown


@pytest.mark.parametrize(
    ("ahead_ms", "put_right"), [(0, False), (29_999, False), (-29_999, False), (30_000, True), (-86_400_000, True)]
)
async def test_a_difference_of_half_a_minute_counts(ahead_ms: int, put_right: bool) -> None:
    clock = Clock()
    now_ms = clock.host_ms()
    clock.compare(now_ms + ahead_ms, before_ms=now_ms - 3, after_ms=now_ms + 3)
    assert clock.is_wrong() == put_right
    assert abs(clock.now_ms() - clock.host_ms() - (ahead_ms if put_right else 0)) < 1_000
    if not put_right:
        await clock.check()
        return
    told = f"{abs(ahead_ms) // 1000:,} s {'behind' if ahead_ms > 0 else 'ahead of'} the database's"
    with pytest.raises(DependencyDown, match=told):
        await clock.check()


def test_the_last_difference_goes() -> None:
    clock = Clock()
    clock.compare(3_600_000, before_ms=0, after_ms=2)
    clock.compare(3_600_001, before_ms=3_600_000, after_ms=3_600_002)
    assert not clock.is_wrong()


@pytest.mark.parametrize(("before_ms", "after_ms"), [(0, 1_001), (0, -1)], ids=["stopped meanwhile", "set meanwhile"])
def test_what_says_too_little_is_left_out(before_ms: int, after_ms: int) -> None:
    clock = Clock()
    clock.compare(3_600_000, before_ms=before_ms, after_ms=after_ms)
    assert not clock.is_wrong()
