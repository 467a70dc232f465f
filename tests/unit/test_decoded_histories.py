"""What is computed from a history is computed once, and forgotten with the user."""

import msgspec
import pytest

from app.core.history import CANCELS, NO_HISTORY, Entry, History, encode_history
from app.core.model import MODEL, Model
from app.core.profile import Profile
from app.core.signals import Kind
from app.serving.decoded_histories import DecodedHistories

TENT = encode_history(History((Entry("tent", 1_000, Kind.VIEW, 0.3),)))
TENT_AND_LAMP = encode_history(
    History((Entry("lamp", 2_000, Kind.PURCHASE, 1.0), Entry("tent", 1_000, Kind.VIEW, 0.3)))
)


def test_same_bytes_give_the_same_history_and_others_another_one() -> None:
    decoded = DecodedHistories()
    first = decoded.of("ann", TENT, keep=True)
    assert decoded.of("ann", bytes(bytearray(TENT)), keep=True) is first
    assert [entry.item_id for entry in decoded.of("ann", TENT_AND_LAMP, keep=True).entries] == ["lamp", "tent"]
    assert decoded.of("bob", b"", keep=True) is NO_HISTORY


def test_what_was_taken_back_is_left_out() -> None:
    taken_back = Entry("lamp", 2_000, Kind.PURCHASE, -1.0, 1.0, CANCELS)
    history = History((taken_back, Entry("tent", 1_000, Kind.VIEW, 0.3)))
    found = DecodedHistories().of("ann", encode_history(history), keep=True)
    assert [entry.item_id for entry in found.entries] == ["tent"]


def test_forgotten_user_leaves_nothing_and_is_kept_only_if_asked() -> None:
    decoded = DecodedHistories()
    first = decoded.of("ann", TENT, keep=True)
    decoded.forget("ann")
    second = decoded.of("ann", TENT, keep=False)
    assert second is not first
    assert decoded.of("ann", TENT, keep=False) is not second
    assert second == first


def test_no_more_users_are_kept_than_the_bound() -> None:
    decoded = DecodedHistories(most_users=2)
    kept = {user: decoded.of(user, TENT, keep=True) for user in ("ann", "bob", "cid")}
    assert decoded.of("cid", TENT, keep=True) is kept["cid"]
    assert decoded.of("ann", TENT, keep=True) is not kept["ann"]


def test_damaged_bytes_are_an_error_each_time() -> None:
    decoded = DecodedHistories()
    for _ in range(2):
        with pytest.raises(msgspec.DecodeError):
            decoded.of("ann", b"\xff", keep=True)


def test_a_profile_is_made_once_for_each_model() -> None:
    history = DecodedHistories().of("ann", TENT_AND_LAMP, keep=True)
    profile = Profile(history)
    assert Profile(history).latest is profile.latest
    fewer = Model(seeds=1)
    assert [seed.item_id for seed in Profile(history, fewer).seeds] == ["lamp"]
    assert [seed.item_id for seed in Profile(history, MODEL).seeds] == ["lamp", "tent"]
    assert history == History(history.entries), "what is kept with a history is no part of it"
