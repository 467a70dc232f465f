from app.core.breaker import Breaker


def test_a_breaker_opens_only_after_failures_in_a_row() -> None:
    breaker = Breaker(failures_to_open=3, open_sec=1.0)
    breaker.failed(0.0)
    breaker.failed(0.1)
    breaker.succeeded()
    breaker.failed(0.2)
    breaker.failed(0.3)
    assert breaker.allows(0.4)
    assert not breaker.is_open
    breaker.failed(0.4)
    assert breaker.is_open
    assert not breaker.allows(0.5)


def test_after_its_time_one_call_may_try_and_decides() -> None:
    breaker = Breaker(failures_to_open=1, open_sec=1.0)
    breaker.failed(0.0)
    assert breaker.allows(1.0)
    assert not breaker.allows(1.0)
    breaker.failed(1.1)
    assert not breaker.allows(2.0)
    assert breaker.allows(2.1)
    breaker.succeeded()
    assert breaker.allows(2.1)
    assert not breaker.is_open
