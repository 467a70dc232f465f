"""Which errors pause work, and which are the data's own."""

import asyncpg
import pytest

from app.adapters.postgres import error_kind, is_data_error, is_outage

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
def test_a_data_error_is_not_an_outage(error: Exception) -> None:
    assert not is_outage(error)
    assert error_kind(error) == "statement"


@pytest.mark.parametrize(
    ("error", "of_the_data"),
    [
        (asyncpg.NumericValueOutOfRangeError("too large"), True),
        (asyncpg.UntranslatableCharacterError("\\u0000"), True),
        (asyncpg.NotNullViolationError("null"), True),
        (asyncpg.CheckViolationError("cursed"), True),
        (asyncpg.InternalServerError("missing chunk number 0"), False),
        (asyncpg.RaiseError("by a trigger"), False),
        (asyncpg.ProgramLimitExceededError("index row too large"), False),
        (asyncpg.DiskFullError("no space left"), False),
    ],
    ids=lambda value: type(value).__name__,
)
def test_values_that_postgres_refuses_are_told_from_its_other_errors(
    error: asyncpg.PostgresError, of_the_data: bool
) -> None:
    assert is_data_error(error) is of_the_data
