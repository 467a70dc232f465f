import pytest

from app.adapters import sql


def test_statements_are_read_by_name() -> None:
    text = "-- Reads and writes.\n-- name: read\nSELECT 1;\n\n-- name: write\n-- a comment stays\nDELETE FROM x;\n"
    assert sql.parse(text) == {"read": "SELECT 1;", "write": "-- a comment stays\nDELETE FROM x;"}


def test_a_statement_without_a_name_is_refused() -> None:
    with pytest.raises(ValueError, match="before the first"):
        sql.parse("SELECT 1;\n-- name: read\nSELECT 2;")


def test_a_name_that_stands_twice_is_refused() -> None:
    with pytest.raises(ValueError, match="same name"):
        sql.parse("-- name: read\nSELECT 1;\n-- name: read\nSELECT 2;")
