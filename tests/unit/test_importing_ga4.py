"""Sessions of GA4's export: a number that counts together with the visitor's id, in any form of the export."""

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import pyarrow
import pytest
from pyarrow import parquet

from app.importing.mapping import ImportOptions
from app.importing.reader import Row, detect, read_rows

NOW_MS: Final = 1_800_000_000_000
DAY: Final = "2021-01-31"


def event(visitor: str, session: int | None) -> dict[str, Any]:
    named: dict[str, int | None] = {"engaged": 1, "ga_session_id": session}
    return {
        "event_timestamp": 1_612_069_510_766_593,
        "event_name": "view_item",
        "event_params": [
            {"key": key, "value": {"string_value": None, "int_value": value}}
            for key, value in named.items()
            if value is not None
        ],
        "user_id": None,
        "user_pseudo_id": visitor,
        "items": [{"item_id": "tent"}],
    }


EVENTS: Final = [event("1.2", 661), event("1.2", 662), event("3.4", 661), event("5.6", None)]


def json_lines(path: Path, events: list[dict[str, Any]]) -> None:
    # BigQuery writes whole numbers as text.
    texts = [json.dumps(each).replace("661", '"661"').replace("662", '"662"') for each in events]
    path.write_text("\n".join(texts))


def table(path: Path, events: list[dict[str, Any]]) -> None:
    parquet.write_table(pyarrow.Table.from_pylist(events), path)


def warehouse_csv(path: Path, events: list[dict[str, Any]]) -> None:
    """As Snowflake unloads it: names in capital letters, lists as JSON text."""
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(name.upper() for name in events[0])
        for each in events:
            writer.writerow(json.dumps(value) if isinstance(value, list) else value for value in each.values())


def flat(path: Path, events: list[dict[str, Any]]) -> None:
    rows = [
        f"{each['event_timestamp']},view_item,{each['user_pseudo_id']},{each['event_params'][-1]['value']['int_value']},tent"
        for each in events[:3]
    ]
    rows.append(f"{events[3]['event_timestamp']},view_item,5.6,,tent")
    path.write_text("\n".join(["event_timestamp,event_name,user_pseudo_id,ga_session_id,item_id", *rows]))


@pytest.mark.parametrize("written", [json_lines, table, warehouse_csv, flat])
def test_session_of_ga4_is_the_visitors(tmp_path: Path, written: Callable[[Path, list[dict[str, Any]]], None]) -> None:
    path = tmp_path / "log"
    written(path, EVENTS)
    source = detect(path, ImportOptions())
    assert source.preset is not None
    assert source.preset.name == "ga4"
    rows = [row for row in read_rows(path, source, latest_ms=NOW_MS) if isinstance(row, Row)]
    assert [(row.user_id, row.session_id) for row in rows] == [
        ("1.2", "1.2 661"),
        ("1.2", "1.2 662"),
        ("3.4", "3.4 661"),
        ("5.6", f"5.6:{DAY}"),
    ]
