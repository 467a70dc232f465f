"""Which errors pause work, and which are the data's own."""

import asyncpg
import pytest

from app.adapters.postgres import error_kind, is_outage

OUTAGES = [
    (asyncpg.ConnectionDoesNotExistError("gone"), "connection"),
    (asyncpg.CannotConnectNowError("starting up"), "connection"),
    (asyncpg.AdminShutdownError("terminating"), "connection"),
    (asyncpg.DiskFullError("no space left"), "connection"),
    (asyncpg.UndefinedTableError("a migration has yet to come"), "connection"),
    (asyncpg.ReadOnlySQLTransactionError("a standby now"), "read_only"),
    (asyncpg.QueryCanceledError("statement timeout"), "timeout"),
    (asyncpg.LockNotAvailableError("lock timeout"), "lock"),
    (asyncpg.DeadlockDetectedError("deadlock"), "lock"),
    (asyncpg.InterfaceError("connection is closed"), "connection"),
    (asyncpg.InternalClientError("cannot switch to state 15"), "connection"),
    (TimeoutError(), "timeout"),
    (ConnectionResetError(), "connection"),
]
FAULTS = [
    asyncpg.NumericValueOutOfRangeError("too large"),
    asyncpg.UntranslatableCharacterError("\\u0000"),
    asyncpg.NotNullViolationError("null"),
    asyncpg.exceptions._base.DataError("invalid input for query argument $1"),
    ValueError("not ours"),
]


@pytest.mark.parametrize(("error", "kind"), OUTAGES, ids=lambda value: type(value).__name__)
def test_the_state_of_the_server_is_an_outage(error: Exception, kind: str) -> None:
    assert is_outage(error)
    assert error_kind(error) == kind


@pytest.mark.parametrize("error", FAULTS, ids=lambda value: type(value).__name__)
def test_a_fault_of_the_data_is_none(error: Exception) -> None:
    assert not is_outage(error)
    assert error_kind(error) == "statement"
