"""Token buckets of visitors, and new visitors by address."""

import pytest

from app.core.visitor_limits import TooMany, VisitorLimits


def limits(per_minute: int = 60, new_per_minute: int = 0, max_visitors: int = 100) -> VisitorLimits:
    return VisitorLimits(per_minute=per_minute, new_per_minute=new_per_minute, max_visitors=max_visitors)


def admitted(
    of: VisitorLimits, user_id: str, now: float, network: str = "a", *, vouched: bool = False
) -> TooMany | None:
    try:
        of.admit(user_id, network, now, vouched=vouched)
    except TooMany as error:
        return error
    return None


def test_a_bucket_is_used_up_and_fills_evenly() -> None:
    of = limits(per_minute=60)
    assert [admitted(of, "ann", 0.0) for _ in range(60)] == [None] * 60
    refused = admitted(of, "ann", 0.0)
    assert refused is not None
    assert (refused.limit, refused.wait_sec, refused.new) == (60, 1.0, False)
    assert admitted(of, "bob", 0.0) is None
    assert [admitted(of, "ann", at) is None for at in (0.5, 1.0, 1.5, 2.0)] == [False, True, False, True]


def test_a_large_batch_owes_a_minute_at_most() -> None:
    of = limits(per_minute=60)
    assert admitted(of, "ann", 0.0) is None
    of.charge("ann", 999)
    refused = admitted(of, "ann", 0.0)
    assert refused is not None
    assert refused.wait_sec == 61.0
    assert admitted(of, "ann", 61.0) is None
    of.charge("nobody", 5)


def test_an_address_has_so_many_new_visitors_a_minute() -> None:
    of = limits(new_per_minute=2)
    assert [admitted(of, user_id, 10.0) for user_id in ("ann", "bob", "ann")] == [None] * 3
    refused = admitted(of, "carol", 40.0)
    assert refused is not None
    assert (refused.limit, refused.wait_sec, refused.new) == (2, 30.0, True)
    assert admitted(of, "carol", 40.0, "b") is None
    assert admitted(of, "dora", 40.0, vouched=True) is None
    assert admitted(of, "erin", 70.0) is None


def test_without_limits_everybody_is_admitted() -> None:
    of = limits(per_minute=0, new_per_minute=0)
    for _ in range(1000):
        assert admitted(of, "ann", 0.0) is None
        of.charge("ann", 100)


@pytest.mark.parametrize("most", [1, 3])
def test_who_was_away_for_the_longest_is_forgotten(most: int) -> None:
    of = limits(per_minute=1, new_per_minute=0, max_visitors=most)
    for number in range(most + 1):
        assert admitted(of, f"visitor-{number}", 0.0) is None
    assert admitted(of, f"visitor-{most}", 0.0) is not None
    assert admitted(of, "visitor-0", 0.0) is None
