"""What a rebuild that goes on can no longer count, because it expired meanwhile."""

from datetime import UTC, datetime, timedelta
from typing import Any, Final

import msgspec
import pytest
from msgspec import structs

from app.adapters.building import SliceProgress
from app.rebuilding.gaps import loss
from app.rebuilding.rebuild import Progress, decode_progress, encode_progress

BEGUN: Final = datetime(2026, 3, 1, tzinfo=UTC)
DAY: Final = timedelta(days=1)
FIRST: Final = BEGUN - 35 * DAY
PROGRESS: Final = Progress(
    slices=2, started=BEGUN, counted_until=BEGUN, erasure=0, latest_ms=0, log=(("old.csv", 7),), first=FIRST
)


def slices(*until: datetime, done: bool = False) -> list[SliceProgress]:
    return [SliceProgress(number, 0, True, at, done, 0, 0, None) for number, at in enumerate(until)]


def lost(progress: Progress = PROGRESS, parts: list[SliceProgress] | None = None, **changes: Any) -> str | None:
    """Three days later, when events of three more days have expired."""
    now = BEGUN + 3 * DAY
    found = {
        "first": now - 35 * DAY,
        "events_since": now - 35 * DAY,
        "dedupe_since": now - 35 * DAY,
        "erased": False,
        **changes,
    }
    return loss(progress, slices(FIRST, FIRST) if parts is None else parts, **found)


@pytest.mark.parametrize(
    ("parts", "first", "is_lost"),
    [
        pytest.param(slices(FIRST, FIRST), FIRST, False, id="all are still stored"),
        pytest.param(slices(FIRST, FIRST), FIRST + DAY, True, id="no slice had begun"),
        pytest.param(slices(FIRST + 9 * DAY, FIRST), FIRST + DAY, True, id="one slice was not past them"),
        pytest.param(slices(FIRST + DAY, FIRST + DAY), FIRST + DAY, False, id="all slices were past them"),
        pytest.param(slices(FIRST, FIRST), None, True, id="no event is left"),
        pytest.param(slices(BEGUN, BEGUN, done=True), None, False, id="all were folded"),
    ],
)
def test_expired_events_are_lost_unless_all_slices_were_past_them(
    parts: list[SliceProgress], first: datetime | None, is_lost: bool
) -> None:
    assert (lost(parts=parts, first=first) is not None) == is_lost


def test_message_says_which_events_are_lost_and_which_rows_with_them() -> None:
    said = lost()
    assert said is not None
    assert "received from 2026-01-25 00:00:00 UTC to 2026-01-28 00:00:00 UTC" in said
    assert "Rows of the files" in said
    without_files = lost(structs.replace(PROGRESS, log=()))
    assert without_files is not None
    assert "files" not in without_files


def test_events_that_went_with_their_user_are_not_told_unless_they_would_have_expired() -> None:
    younger = structs.replace(PROGRESS, first=BEGUN - 10 * DAY)
    parts = slices(BEGUN - 10 * DAY, BEGUN - 10 * DAY)
    assert lost(younger, parts, first=BEGUN, erased=True) is None
    assert lost(younger, parts, first=BEGUN, erased=False) is not None
    assert lost(erased=True) is not None


def test_what_was_counted_since_may_have_expired_before_it_was_folded() -> None:
    done = slices(BEGUN, BEGUN, done=True)
    assert lost(parts=done, events_since=BEGUN, dedupe_since=BEGUN) is None
    assert "counted since 2026-03-01" in str(lost(parts=done, events_since=BEGUN + DAY))
    assert "counted since 2026-03-01" in str(lost(parts=done, dedupe_since=BEGUN + DAY))


def test_rebuild_that_an_earlier_release_has_begun_goes_on() -> None:
    fields = msgspec.json.decode(encode_progress(PROGRESS))
    del fields["first"]
    assert lost(decode_progress(msgspec.json.encode(fields).decode())) is None
