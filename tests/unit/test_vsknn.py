"""VS-kNN, as its paper says it in words."""

from collections.abc import Sequence
from math import log1p

from hypothesis import given
from hypothesis import strategies as st

from app.core.vsknn import VsKnn

EVENTS = st.lists(st.tuples(st.sampled_from("abcdef"), st.integers(0, 12).map(str)), max_size=60)


def by_definition(events: Sequence[tuple[str, str]], user_id: str) -> dict[str, float]:
    """Item → score, for fewer users and items than any limit."""
    sessions: dict[str, list[str]] = {}
    for user, item in events:
        items = sessions.setdefault(user, [])
        if item in items:
            items.remove(item)
        items.insert(0, item)
    latest = sessions.get(user_id, [])[:9]
    scores: dict[str, float] = {}
    for other, items in sessions.items():
        shared = [place for place, item in enumerate(latest) if item in items]
        if other == user_id or not shared:
            continue
        similarity = sum(1.0 - place / len(latest) for place in shared)
        for item in items:
            users = sum(item in theirs for theirs in sessions.values())
            vote = similarity / (1.0 + shared[0]) * log1p(len(sessions) / users)
            scores[item] = scores.get(item, 0.0) + vote
    return scores


@given(EVENTS, st.sampled_from("abcdefg"), st.integers(1, 15))
def test_items_of_similar_sessions_stand_by_the_sum_of_their_votes(
    events: list[tuple[str, str]], user_id: str, k: int
) -> None:
    vsknn = VsKnn()
    for user, item in events:
        vsknn.learn(user, item)
    found, scores = vsknn.recommend(user_id, k), by_definition(events, user_id)
    assert len(found) == min(k, len(scores))
    rounded = [round(scores[item], 6) for item in found]
    assert rounded == sorted((round(score, 6) for score in scores.values()), reverse=True)[:k]


def test_of_equally_similar_sessions_the_latest_vote() -> None:
    vsknn = VsKnn()
    for number in range(2_000):
        vsknn.learn(f"u{number}", "common")
        vsknn.learn(f"u{number}", "old" if number < 1_850 else "new")
    vsknn.learn("ann", "common")
    assert vsknn.recommend("ann", 5) == ["new", "common"]
    assert vsknn.recommend("nobody", 5) == []


def test_items_that_a_session_has_left_behind_do_not_count() -> None:
    vsknn = VsKnn()
    for number in range(50):
        vsknn.learn("bob", f"item-{number}")
    vsknn.learn("ann", "item-0")
    assert vsknn.recommend("ann", 5) == []
