"""What `reco rebuild --engine spark` runs in the tasks of Spark, on batches as Spark gives them."""

import json
import subprocess
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa
import pytest

from app.core.features import ItemDelta, decode_history, fold
from app.core.messages import decode_message
from app.core.model import MODEL
from app.importing.mapping import ImportOptions
from app.importing.reader import detect
from app.rebuilding.spark import folding
from app.rebuilding.spark.folding import (
    EVENT,
    EVENTS,
    HISTORY,
    ITEM,
    PAIR,
    PAIR_SUMS,
    REJECTED,
    STORED,
    TAKEN,
    added_up_items,
    folded,
)
from app.rebuilding.spark.reading import BLOCK, FILE, messages_of
from tests.support.rebuilding import log
from tests.support.service import ROOT

LATEST_MS = 4_000_000_000_000
COLUMNS = ("user_id", "mark", "ts_ms", "event_id", "message", "row")


def rows_of(events: Sequence[dict[str, Any]]) -> list[tuple[Any, ...]]:
    rows = [(e["user_id"], EVENT, e["ts_ms"], e["event_id"], json.dumps(e).encode(), 0) for e in events]
    return sorted(rows, key=lambda row: row[:3])


def batches(rows: Sequence[tuple[Any, ...]], size: int = 50) -> list[pa.RecordBatch]:
    return [
        pa.RecordBatch.from_pydict(dict(zip(COLUMNS, map(list, zip(*rows[at : at + size], strict=True)), strict=True)))
        for at in range(0, len(rows), size)
    ]


def made_of(rows: Sequence[tuple[Any, ...]]) -> dict[str, list[dict[str, Any]]]:
    found: dict[str, list[dict[str, Any]]] = {HISTORY: [], ITEM: [], PAIR: [], EVENTS: [], TAKEN: [], REJECTED: []}
    for batch in folded(batches(rows), model=MODEL):
        for row in batch.to_pylist():
            found[row["kind"]].append(row)
    return found


def test_users_folded_in_chunks_have_the_sums_of_all_events_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(folding, "_CHUNK", 37)
    rows = rows_of(log(600))
    made, whole = made_of(rows), fold([decode_message(row[4]) for row in rows], {})
    assert {row["id"]: decode_history(row["value"]) for row in made[HISTORY]} == whole.histories
    assert sum(row["weight"] for row in made[EVENTS]) == len(rows)

    parts = sorted(made[ITEM], key=lambda row: row["id"])
    assert len(parts) > len(whole.items)
    summed = added_up_items([pa.RecordBatch.from_pylist(parts, folding.FOLDED)], model=MODEL)
    for row in [row for batch in summed for row in batch.to_pylist()]:
        delta = msgspec.msgpack.decode(row["value"], type=ItemDelta)
        assert msgspec.structs.astuple(delta) == pytest.approx(msgspec.structs.astuple(whole.items[row["id"]]))

    sums: Counter[tuple[str, str, str]] = Counter()
    for row in made[PAIR]:
        sums.update({(row["id"], row["other"], name): row[name] for name in PAIR_SUMS})
    pairs = whole.pairs.sums()
    expected = {
        (pairs.ids[one], pairs.ids[other], name): value
        for one, other, values in zip(pairs.one, pairs.other, pairs.sums, strict=True)
        for name, value in zip(PAIR_SUMS, values, strict=True)
    }
    assert sums == pytest.approx(expected)


def test_events_that_are_stored_repeated_or_of_before_an_erasure_are_left_out() -> None:
    events = [event for event in log(200) if event["user_id"] == "user-1"]
    middle = sorted(event["ts_ms"] for event in events)[len(events) // 2]
    marks = [("user-1", STORED, None, events[-1]["event_id"], None, None), ("user-1", STORED, middle, None, None, None)]
    rejected = [(None, EVENT, None, "a: not JSON", None, 2), (None, EVENT, None, "b: no user", None, 1)]
    made = made_of([*rejected, *marks, *rows_of([*events, *events])])
    left = [event for event in events[:-1] if event["ts_ms"] > middle]
    assert sum(row["weight"] for row in made[EVENTS]) == len(left) > 0
    assert [row["weight"] for row in made[TAKEN]] == [2.0 * len(events)]
    assert [(row["id"], row["weight"]) for row in made[REJECTED]] == [("a: not JSON", 2.0), ("b: no user", 1.0)]


def test_rows_of_lines_are_messages_or_rejected_and_identical_ones_in_a_block_are_two(tmp_path: Path) -> None:
    line = b'{"user_id": "u", "item_id": "i", "ts_ms": 1700000000000, "event": "view"}'
    (tmp_path / "a.jsonl").write_bytes(line)
    layout = detect(tmp_path / "a.jsonl", ImportOptions())
    raw = [line, line, b"{", b"", b"\xff", line, line]
    read = pa.RecordBatch.from_pydict({"value": raw, FILE: ["a"] * 5 + ["b", "b"], BLOCK: [0] * 5 + [0, 7]})
    found = [
        row
        for batch in messages_of([read], names=["value"], lines=True, layout=layout, latest_ms=LATEST_MS, data_set=3)
        for row in batch.to_pylist()
    ]
    rejected = [(row["row"], row["event_id"]) for row in found if row["user_id"] is None]
    assert rejected == [(2, "a: not JSON: Input data was truncated")]
    found = [row for row in found if row["user_id"] is not None]
    assert [(row["file"], row["block"], row["data_set"]) for row in found] == [
        ("a", 0, 3), ("a", 0, 3), ("b", 0, 3), ("b", 7, 3)
    ]  # fmt: skip
    ids = [row["event_id"] for row in found]
    assert ids[0] != ids[1]
    assert ids[0] == ids[2] == ids[3]
    assert decode_message(found[0]["message"]).event_id == ids[0]


@pytest.mark.parametrize("lines", [True, False])
def test_folders_of_a_lake_are_columns(tmp_path: Path, lines: bool) -> None:
    sample = tmp_path / "event_type=click" / "dt=2024-05-02" / "sample.jsonl"
    sample.parent.mkdir(parents=True)
    sample.write_text('{"user_id": "u", "item_id": "i"}')
    layout = detect(sample, ImportOptions())
    row = {"user_id": "u", "item_id": "i"}
    columns: dict[str, list[Any]] = {name: [value] * 2 for name, value in row.items()}
    rows = {"value": [json.dumps(row).encode()] * 2} if lines else columns
    files = ["file:///lake/event_type=view/dt=2024-05-01/a", "file:///lake/event_type=cart%2520x/dt=2024-05-01/b"]
    read = pa.RecordBatch.from_pydict({**rows, FILE: files, BLOCK: [0, 0]})
    (found,) = messages_of([read], names=list(rows), lines=lines, layout=layout, latest_ms=LATEST_MS, data_set=0)
    first, bad = found.to_pylist()
    assert (first["ts_ms"], json.loads(first["message"])["event_type"]) == (1_714_521_600_000, "view")
    assert "'cart x' is not a known event type" in bad["event_id"]


def test_tasks_need_neither_numba_nor_what_the_service_needs() -> None:
    script = """
import sys
for name in ("numba", "asyncpg", "anyio", "click", "rich", "structlog", "litestar", "psycopg"):
    sys.modules[name] = None
import json
from app.core.features import fold
from app.core.messages import decode_message
import app.rebuilding.spark.folding
messages = [decode_message(line.encode()) for line in sys.stdin]
print(json.dumps(fold(messages, {}).pairs.sums().sums.tolist()))
"""
    lines = [json.dumps(event) for event in log(300)]
    ended = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, input="\n".join(lines), capture_output=True, text=True, check=True
    )
    compiled = fold([decode_message(line.encode()) for line in lines], {}).pairs.sums().sums
    assert np.allclose(json.loads(ended.stdout), compiled, rtol=1e-12)
