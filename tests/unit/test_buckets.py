"""Which users move when shares change."""

from hypothesis import given
from hypothesis import strategies as st

from app.core.buckets import BUCKETS, CONTROL_BUCKET, moved, shares_of
from app.core.model import MODEL
from app.core.variants import Variant, Variants

NAMES = "abc"
shares = st.lists(st.integers(0, 333), min_size=3, max_size=3).map(
    lambda drawn: {name: each / BUCKETS for name, each in zip(NAMES, drawn, strict=True)}
)


@given(st.lists(shares, min_size=1, max_size=4))
def test_changed_shares_move_as_few_users_as_can_be(changes: list[dict[str, float]]) -> None:
    buckets, before = [CONTROL_BUCKET] * BUCKETS, dict.fromkeys(NAMES, 0.0)
    for after in changes:
        now = moved(buckets, after)
        assert {name: share for name, share in shares_of(now).items() if name} == {
            name: share for name, share in after.items() if share
        }
        full = [{**each, CONTROL_BUCKET: 1.0 - sum(each.values())} for each in (before, after)]
        fewest = sum(abs(full[1][name] - full[0][name]) for name in full[0]) / 2 * BUCKETS
        assert sum(old != new for old, new in zip(buckets, now, strict=True)) == round(fewest)
        buckets, before = now, after


@given(shares, st.text(max_size=20))
def test_a_user_is_in_the_variant_of_the_bucket(given_shares: dict[str, float], user_id: str) -> None:
    variants = [Variant(name, share, MODEL) for name, share in given_shares.items()]
    buckets = moved([CONTROL_BUCKET] * BUCKETS, given_shares)
    found = Variants("one", variants, buckets)
    assert found.of(user_id).name in ({name for name, share in given_shares.items() if share} | {"control"})
    assert found.of(user_id) == Variants("one", variants, buckets).of(user_id)


def test_each_variant_gets_its_share_of_the_users() -> None:
    buckets = moved([CONTROL_BUCKET] * BUCKETS, {"a": 0.3, "b": 0.001})
    found = Variants("one", [Variant("a", 0.3, MODEL), Variant("b", 0.001, MODEL)], buckets)
    names = [found.of(f"user-{number}").name for number in range(20_000)]
    assert abs(names.count("a") - 6_000) < 300
    assert 5 <= names.count("b") <= 40
