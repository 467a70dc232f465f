"""Values of Parquet and Arrow files that Python has no form for, or another one than text has."""

from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any, Final
from uuid import UUID

import pyarrow as pa
import pytest
from pyarrow import feather, parquet

from app.importing.arrow_values import tuples_of
from app.importing.mapping import ImportOptions
from app.importing.reader import BadRow, Row, detect, read_rows

NOW_MS: Final = 1_800_000_000_000
AT: Final = 1_700_000_000
USER: Final = UUID("0198c0de-0000-7000-8000-00000000beef")


def read(path: Path, given: dict[str, Any], **options: Any) -> list[Row | BadRow]:
    others = {"user": ["u"], "item": ["i"], "ts": [AT], "type": ["view"]}
    parquet.write_table(pa.table({**others, **given}), path)
    return list(read_rows(path, detect(path, ImportOptions(**options)), latest_ms=NOW_MS))


@pytest.mark.parametrize(
    ("users", "meant"),
    [
        (pa.array([Decimal(17850)], pa.decimal128(38, 0)), "17850"),
        (pa.array([Decimal("17850.00")], pa.decimal128(12, 2)), "17850"),
        (pa.array([Decimal(10**30)], pa.decimal256(60, 0)), str(10**30)),
        (pa.array([USER.bytes], pa.uuid()), str(USER)),
        (pa.array([USER.bytes], pa.binary(16)), str(USER)),
        (pa.array([b"u-1"], pa.large_binary()), "u-1"),
        (pa.array([b"u-1"], pa.binary()).dictionary_encode(), "u-1"),
        (pa.array(["u-1"]).dictionary_encode(), "u-1"),
        (pa.array(["u-1"], pa.string_view()), "u-1"),
    ],
)
def test_id_of_any_type_is_the_id_that_it_is_elsewhere(tmp_path: Path, users: pa.Array, meant: str) -> None:
    (row,) = read(tmp_path / "log", {"user": users})
    assert isinstance(row, Row), row
    assert row.user_id == meant


def test_map_is_an_object(tmp_path: Path) -> None:
    properties = pa.array([[("product_id", "tent"), ("n", "1")]], pa.map_(pa.string(), pa.string()))
    (row,) = read(tmp_path / "log", {"properties": properties}, columns={"item_id": "properties.product_id"})
    assert isinstance(row, Row), row
    assert row.item_id == "tent"


def test_values_within_objects_and_lists_are_plain() -> None:
    kind = pa.struct([("at", pa.timestamp("ns")), ("price", pa.decimal128(9, 2)), ("ids", pa.list_(pa.binary()))])
    value = {"at": 1_700_000_000_000_000_001, "price": Decimal("2.50"), "ids": [b"a", None]}
    (row,) = tuples_of(pa.record_batch({"one": pa.array([value], kind)}))
    assert row == ({"at": datetime(2023, 11, 14, 22, 13, 20), "price": 2.5, "ids": ["a", None]},)  # noqa: DTZ001


def test_time_that_python_does_not_know_costs_its_own_row(tmp_path: Path) -> None:
    never = pa.array([AT * 10**6, 2**62], pa.timestamp("us"))
    columns = {"user": ["u", "v"], "item": ["i", "i"], "type": ["view", "view"]}
    first, second = read(tmp_path / "log", {**columns, "ts": never})
    assert isinstance(first, Row)
    assert first.ts_ms == AT * 1000
    assert isinstance(second, BadRow)
    assert "outside the years 1 to 9999" in second.reason
    rows = read(tmp_path / "log", {**columns, "ts": [AT, AT], "valid_until": never})
    assert all(isinstance(row, Row) for row in rows)


def test_table_without_rows_has_none(tmp_path: Path) -> None:
    columns = {name: pa.array([], pa.string()) for name in ("user", "item", "ts", "type")}
    feather.write_feather(pa.table(columns), tmp_path / "log")
    assert list(read_rows(tmp_path / "log", detect(tmp_path / "log", ImportOptions()), latest_ms=NOW_MS)) == []
