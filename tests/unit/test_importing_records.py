import random
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.core.messages import decode_message
from app.errors import UserError
from app.importing.batches import take
from app.importing.records import RowIds, to_record
from app.importing.rejects import RejectFile
from app.importing.rows import BadRow, Row, clean_title

NOW = 1_800_000_000_000


def row(number: int = 0, **changed: object) -> Row:
    said = {
        "user_id": f"u{number}",
        "session_id": "s",
        "item_id": "i",
        "event_type": "view",
        "ts_ms": 1_700_000_000_000,
    }
    return msgspec.convert(said | {"line": number + 1, "pos": number} | changed, Row)


def made(rows: list[Row], **options: int) -> list[str]:
    ids = RowIds(**options)
    return [ids.event_id(row) for row in rows]


def test_the_same_row_has_the_same_id_in_another_place_and_file() -> None:
    assert made([row(1), row(2)])[1] == made([row(2, line=77, pos=5, title="now it has one")])[0]


def test_ids_stay_the_same_from_release_to_release() -> None:
    """Another id for a row would import every history a second time."""
    watch = {"event_type": "watch", "watch_time_sec": 12.5, "percent_watched": 80.0, "ended": True}
    assert made([row(1), row(1), row(1, **watch)]) == [
        "018bcfe5-6800-73d6-90a8-bae2c49e282d",
        "018bcfe5-6800-715e-8b7f-be6c7f665589",
        "018bcfe5-6800-727c-9958-0c8eee41825e",
    ]


@pytest.mark.parametrize(
    "changed",
    [
        {"user_id": "v"},
        {"session_id": "t"},
        {"item_id": "j"},
        {"event_type": "click"},
        {"ts_ms": 1_700_000_000_001},
        {"watch_time_sec": 1.0},
        {"percent_watched": 1.0},
        {"ended": False},
        {"position": 1},
    ],
)
def test_a_row_that_says_something_else_has_another_id(changed: dict[str, object]) -> None:
    assert made([row(1)]) != made([row(1, **changed)])


def test_an_id_of_the_file_is_kept() -> None:
    assert made([row(1, event_id="order-4711")] * 2) == ["order-4711"] * 2


@given(st.lists(st.integers(0, 5), max_size=60))
def test_equal_rows_are_numbered_and_each_run_numbers_them_alike(numbers: list[int]) -> None:
    rows = [row(number) for number in numbers]
    ids = made(rows)
    assert len(set(ids)) == len(rows)
    assert made(rows) == ids
    # Which of two equal rows comes first does not matter, so a file in another order has the same ids.
    shuffled = list(rows)
    random.Random(len(rows)).shuffle(shuffled)
    assert sorted(made(shuffled)) == sorted(ids)


def test_equal_rows_are_remembered_for_a_while_and_memory_is_bounded() -> None:
    between = [row(number) for number in range(10)]
    first, *_, second = made([row(99), *between, row(99)], remembered=11)
    assert first != second
    first, *_, second = made([row(99), *between, *between[:2], row(99)], remembered=5)
    assert first == second
    ids = RowIds(remembered=100)
    for number in range(1_000):
        ids.event_id(row(number))
    assert len(ids._recent) + len(ids._older) <= 200


@pytest.mark.parametrize(
    "changed",
    [
        {"event_type": "view"},
        {"event_type": "click"},
        {"event_type": "purchase"},
        {"event_type": "impression", "position": 3},
        {"event_type": "watch", "watch_time_sec": 30.0, "percent_watched": 50.0, "ended": True},
    ],
)
def test_a_record_is_what_the_consumer_reads(changed: dict[str, object]) -> None:
    source = row(1, **changed)
    record = to_record(source, "an-event-id", now_ms=NOW, shift_ms=86_400_000)
    message = decode_message(record.payload.encode())
    said = msgspec.to_builtins(message)
    assert said["event_type"] == record.event_type == changed["event_type"]
    assert (message.event_id, message.user_id, message.session_id) == ("an-event-id", "u1", "s")
    assert message.ts_ms == record.ts_ms == source.ts_ms + 86_400_000
    assert said.get("item_id") or said["items"] == [{"item_id": "i", "position": 3}]
    if record.event_type == "watch":
        assert (said["watch_time_sec"], said["percent_watched"], said["ended"]) == (30.0, 50.0, True)


def test_portions_hold_every_row_once_and_in_order() -> None:
    bad = BadRow(line=4, pos=4, reason="why", text="x")
    rows: Iterator[Row | BadRow] = iter([row(0), row(1), bad, row(2), row(3)])
    ids = RowIds()
    portions = [take(rows, ids.event_id, 2) for _ in range(3)]
    assert [[row.user_id for _, row in portion.rows] for portion in portions] == [["u0", "u1"], ["u2"], ["u3"]]
    assert [portion.bad for portion in portions] == [[], [bad], []]
    assert [portion.last for portion in portions] == [False, False, True]


def test_a_portion_keeps_what_was_read_before_the_file_failed() -> None:
    def rows() -> Iterator[Row | BadRow]:
        yield row(0)
        raise UserError("damaged")

    portion = take(rows(), RowIds().event_id, 10)
    assert [row.user_id for _, row in portion.rows] == ["u0"]
    assert portion.last
    assert str(portion.read_error) == "damaged"


@pytest.mark.parametrize(
    ("title", "clean"),
    [
        ("RED  RETROSPOT\n", "RED RETROSPOT"),
        ("\x00a\x00b\x85", "a b"),
        ("  ", ""),
        ("café ☕", "café ☕"),
        ("t" * 600, "t" * 500),
    ],
)
def test_titles_are_one_printable_line(title: str, clean: str) -> None:
    assert clean_title(title) == clean


def test_rejects_are_written_with_line_and_reason_and_replaced_by_the_next_run(tmp_path: Path) -> None:
    path = tmp_path / "log.csv.rejected.jsonl"
    with RejectFile(path) as rejects:
        rejects.add([BadRow(line=3, pos=9, reason="why", text="é")])
        rejects.add([BadRow(line=4, pos=9, reason="why not", text="")])
    assert [msgspec.json.decode(line) for line in path.read_bytes().splitlines()] == [
        {"line": 3, "reason": "why", "text": "é"},
        {"line": 4, "reason": "why not", "text": ""},
    ]
    with RejectFile(path) as rejects:
        rejects.add([])
    assert not path.exists()


def test_rejects_may_go_to_a_device() -> None:
    with RejectFile(Path("/dev/null")) as rejects:
        rejects.add([BadRow(line=3, pos=9, reason="why", text="x")])
    assert Path("/dev/null").is_char_device()


def test_rejects_need_a_place(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="--rejected FILE"), RejectFile(tmp_path / "nowhere" / "rejects"):
        pass
