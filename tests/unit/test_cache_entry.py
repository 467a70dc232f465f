"""Cached histories as bytes: only those of the present epoch are read."""

from hypothesis import given
from hypothesis import strategies as st

from app.core import cache_entry

epochs = st.binary(min_size=cache_entry.EPOCH_BYTES, max_size=cache_entry.EPOCH_BYTES)
versions = st.integers(0, 2**63 - 1)


# MessagePack has no value that begins with this byte.
histories = st.binary().filter(lambda history: not history.startswith(b"\xc1"))


@given(epochs, versions, histories, st.lists(st.text(max_size=128), max_size=32))
def test_an_entry_of_the_present_epoch_is_read_as_it_was_written(
    epoch: bytes, version: int, history: bytes, joined: list[str]
) -> None:
    entry = cache_entry.encode_history(epoch, version, history, joined)
    assert cache_entry.decode_history(entry, epoch) == (version, history, tuple(joined))


@given(epochs, versions, histories)
def test_a_user_without_links_has_the_entry_of_before(epoch: bytes, version: int, history: bytes) -> None:
    assert cache_entry.encode_history(epoch, version, history).endswith(history)
    assert len(cache_entry.encode_history(epoch, version, history)) == cache_entry.EPOCH_BYTES + 12 + len(history)


@given(epochs, epochs, versions, histories)
def test_an_entry_of_another_epoch_counts_as_missing(one: bytes, other: bytes, version: int, history: bytes) -> None:
    found = cache_entry.decode_history(cache_entry.encode_history(one, version, history), other)
    assert (found is None) == (one != other)


@given(epochs, versions, st.binary(min_size=1), st.data())
def test_an_entry_whose_history_is_damaged_counts_as_missing(
    epoch: bytes, version: int, history: bytes, data: st.DataObject
) -> None:
    entry = bytearray(cache_entry.encode_history(epoch, version, history))
    damaged = data.draw(st.integers(len(entry) - len(history), len(entry) - 1))
    entry[damaged] ^= data.draw(st.integers(1, 255))
    assert cache_entry.decode_history(bytes(entry), epoch) is None


@given(epochs, versions, st.integers(0, cache_entry.EPOCH_BYTES + 11))
def test_an_entry_that_was_cut_off_counts_as_missing(epoch: bytes, version: int, length: int) -> None:
    assert cache_entry.decode_history(cache_entry.encode_history(epoch, version, b"")[:length], epoch) is None
    assert cache_entry.decode_history(None, epoch) is None


@given(epochs, versions, versions)
def test_versions_compare_as_their_bytes_do(epoch: bytes, one: int, other: int) -> None:
    first, second = cache_entry.encode_history(epoch, one, b""), cache_entry.encode_history(epoch, other, b"")
    assert (first < second) == (one < other)
