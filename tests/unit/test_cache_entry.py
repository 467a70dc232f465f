"""Cached histories as bytes: only those of the present epoch are read."""

from hypothesis import given
from hypothesis import strategies as st

from app.core import cache_entry

epochs = st.binary(min_size=cache_entry.EPOCH_BYTES, max_size=cache_entry.EPOCH_BYTES)
versions = st.integers(0, 2**63 - 1)


@given(epochs, versions, st.binary())
def test_an_entry_of_the_present_epoch_is_read_as_it_was_written(epoch: bytes, version: int, history: bytes) -> None:
    assert cache_entry.decode(cache_entry.encode(epoch, version, history), epoch) == (version, history)


@given(epochs, epochs, versions, st.binary())
def test_an_entry_of_another_epoch_counts_as_missing(one: bytes, other: bytes, version: int, history: bytes) -> None:
    found = cache_entry.decode(cache_entry.encode(one, version, history), other)
    assert (found is None) == (one != other)


@given(epochs, versions, st.integers(0, cache_entry.EPOCH_BYTES + 7))
def test_an_entry_that_was_cut_off_counts_as_missing(epoch: bytes, version: int, length: int) -> None:
    assert cache_entry.decode(cache_entry.encode(epoch, version, b"")[:length], epoch) is None
    assert cache_entry.decode(None, epoch) is None


@given(epochs, versions, versions)
def test_versions_compare_as_their_bytes_do(epoch: bytes, one: int, other: int) -> None:
    first, second = cache_entry.encode(epoch, one, b""), cache_entry.encode(epoch, other, b"")
    assert (first < second) == (one < other)
