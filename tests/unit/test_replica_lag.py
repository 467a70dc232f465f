"""How old what a replica shows is."""

from app.core.replica_lag import ReplicaLag


def lag_of(*primary_at: tuple[int, float]) -> ReplicaLag:
    lag = ReplicaLag(limit_sec=2.0)
    for position, now in primary_at:
        lag.primary_at(position, now)
    return lag


def test_replica_is_as_old_as_the_last_position_that_it_has_replayed() -> None:
    lag = lag_of((100, 1.0), (200, 1.5), (300, 2.0))
    assert lag.seconds(300, 2.1) == 2.1 - 2.0
    assert lag.seconds(299, 2.0) == 0.5
    assert lag.seconds(100, 3.0) == 2.0
    assert lag.seconds(99, 3.0) is None


def test_idle_primary_does_not_make_its_replica_old() -> None:
    lag = lag_of((100, 1.0), (100, 500.0))
    assert lag.seconds(100, 500.0) == 0.0


def test_unknown_primary_tells_nothing_of_a_replica() -> None:
    assert lag_of().seconds(100, 1.0) is None


def test_promoted_server_behind_the_old_primary_begins_anew() -> None:
    lag = lag_of((300, 1.0), (200, 2.0))
    assert lag.seconds(200, 2.5) == 0.5
    assert lag.seconds(199, 2.5) is None


def test_a_log_that_went_back_is_told_once() -> None:
    lag = ReplicaLag(limit_sec=2.0)
    told = [lag.primary_at(position, now) for now, position in enumerate((300, 300, 400, 200, 250))]
    assert told == [False, False, False, True, False]


def test_replica_that_may_be_hours_behind_is_told_from_one_that_is_further() -> None:
    lag = ReplicaLag(limit_sec=7200.0)
    for half_second in range(40_000):
        lag.primary_at(half_second, half_second / 2)
    now = 19_999.5
    for behind in (10.0, 3_600.0, 7_200.0, 14_000.0):
        told = lag.seconds(int((now - behind) * 2), now)
        assert told is not None
        assert behind <= told <= behind + 36.5


def test_replica_that_is_not_too_late_has_what_the_primary_had_before() -> None:
    lag = lag_of((100, 1.0), (200, 2.0), (300, 3.0))
    assert [lag.needed(now) for now in (1.0, 3.0, 3.1, 4.1, 9.0)] == [0, 0, 100, 200, 300]
    lag.primary_at(50, 9.0)  # of another log
    assert lag.needed(10.0) == 0
