from hypothesis import given
from hypothesis import strategies as st

from app.core.reload_throttle import ReloadThrottle

seconds = st.floats(0.0, 100.0)


@given(st.lists(st.tuples(seconds, seconds), min_size=1, max_size=30), st.floats(0.0, 10.0))
def test_reloads_take_a_bounded_share_of_the_time(waits_and_loads: list[tuple[float, float]], factor: float) -> None:
    throttle = ReloadThrottle(factor)
    now = loading = 0.0
    for wait, load in waits_and_loads:
        now += max(wait, throttle.wait_sec(now))
        throttle.ended(started=now, ended=now + load)
        now, loading = now + load, loading + load
    now += throttle.wait_sec(now)
    assert loading * (1.0 + factor) <= now * (1.0 + 1e-9) + 1e-9


def test_a_factor_of_zero_never_waits() -> None:
    throttle = ReloadThrottle(0.0)
    throttle.ended(started=1.0, ended=9.0)
    assert throttle.wait_sec(9.0) == 0.0
