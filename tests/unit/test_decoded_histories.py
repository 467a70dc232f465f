"""What is computed from a history is computed once, and forgotten with the user."""

import sys

import msgspec
import pytest

from app.core.history import Entry, History, decode_history, encode_history
from app.core.model import MODEL, Model
from app.core.profile import profile_of
from app.core.signals import Kind
from app.serving.decoded_histories import DecodedHistories

TENT = encode_history(History((Entry("tent", 1_000, Kind.VIEW, 0.3),)))
TENT_AND_LAMP = encode_history(
    History((Entry("lamp", 2_000, Kind.PURCHASE, 1.0), Entry("tent", 1_000, Kind.VIEW, 0.3)))
)


def made(decoded: DecodedHistories, user_id: str, stored: bytes, *, own: bytes = b"", keep: bool = True) -> History:
    return decoded.of(user_id, (stored, own), lambda: decode_history(stored), keep=keep)


def test_what_was_read_again_gives_the_same_history_and_anything_else_another_one() -> None:
    decoded = DecodedHistories()
    first = made(decoded, "ann", TENT)
    assert made(decoded, "ann", bytes(bytearray(TENT))) is first
    assert made(decoded, "bob", TENT) is not first
    with_own = made(decoded, "ann", TENT, own=b"one more")
    assert with_own is not first
    assert made(decoded, "ann", TENT, own=b"one more") is with_own
    assert [entry.item_id for entry in made(decoded, "ann", TENT_AND_LAMP).entries] == ["lamp", "tent"]


def test_forgotten_user_leaves_nothing_and_is_kept_only_if_asked() -> None:
    decoded = DecodedHistories()
    first = made(decoded, "ann", TENT)
    decoded.forget("ann")
    second = made(decoded, "ann", TENT, keep=False)
    assert second is not first
    assert made(decoded, "ann", TENT, keep=False) is not second
    assert second == first


def test_no_more_users_are_kept_than_the_bound() -> None:
    decoded = DecodedHistories(most_users=2)
    kept = {user: made(decoded, user, TENT) for user in ("ann", "bob", "cid")}
    assert made(decoded, "cid", TENT) is kept["cid"]
    assert made(decoded, "ann", TENT) is not kept["ann"]


def test_damaged_bytes_are_an_error_each_time() -> None:
    decoded = DecodedHistories()
    for _ in range(2):
        with pytest.raises(msgspec.DecodeError):
            made(decoded, "ann", b"\xff")


def test_a_profile_is_made_once_for_each_model() -> None:
    history = made(DecodedHistories(), "ann", TENT_AND_LAMP)
    profile = profile_of(history)
    assert profile_of(history) is profile
    fewer = Model(seeds=1)
    assert [seed.item_id for seed in profile_of(history, fewer).seeds] == ["lamp"]
    assert [seed.item_id for seed in profile_of(history, MODEL).seeds] == ["lamp", "tent"]
    assert history == History(history.entries), "what is kept with a history is no part of it"


def test_a_profile_does_not_hold_its_history_so_that_both_go_without_the_garbage_collector() -> None:
    history = made(DecodedHistories(), "ann", TENT_AND_LAMP)
    before = sys.getrefcount(history)
    profile_of(history)
    assert sys.getrefcount(history) == before
