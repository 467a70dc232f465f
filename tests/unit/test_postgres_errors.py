"""Which errors pause work, and which are the data's own."""

import asyncpg
import pytest

from app.adapters.postgres_errors import error_kind, is_bad_value, is_outage, is_too_large, may_cost_a_message

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
    (asyncpg.SerializationError("could not serialize access"), "connection"),
    (asyncpg.InvalidSQLStatementNameError("prepared statement does not exist"), "connection"),
    (asyncpg.InvalidCachedStatementError("cached plan must not change result type"), "connection"),
    (asyncpg.SequenceGeneratorLimitExceededError("nextval: reached maximum"), "connection"),
    (asyncpg.NotNullViolationError("null"), "connection"),
    (asyncpg.UniqueViolationError("event_outbox_pkey"), "duplicate_key"),
    (asyncpg.InterfaceError("connection is closed"), "connection"),
    (asyncpg.InternalClientError("cannot switch to state 15"), "connection"),
    (TimeoutError(), "timeout"),
    (ConnectionResetError(), "connection"),
]
FAULTS = [
    asyncpg.NumericValueOutOfRangeError("too large"),
    asyncpg.UntranslatableCharacterError("\\u0000"),
    asyncpg.CheckViolationError("cursed"),
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
        (asyncpg.CheckViolationError("cursed"), True),
        (asyncpg.NotNullViolationError("null"), False),
        (asyncpg.UniqueViolationError("event_outbox_pkey"), False),
        (asyncpg.SequenceGeneratorLimitExceededError("nextval: reached maximum"), False),
        (asyncpg.InternalServerError("cache lookup failed"), False),
        (asyncpg.IndexCorruptedError("by an index"), False),
        (asyncpg.ProgramLimitExceededError("index row too large"), False),
        (asyncpg.DiskFullError("no space left"), False),
    ],
    ids=lambda value: type(value).__name__,
)
def test_refused_values_are_distinguished_from_other_errors(error: asyncpg.PostgresError, of_the_data: bool) -> None:
    assert may_cost_a_message(error) is of_the_data
    assert is_bad_value(error) is (of_the_data and not isinstance(error, asyncpg.CheckViolationError))


@pytest.mark.parametrize(
    "error",
    [
        asyncpg.RaiseError("by a trigger"),
        asyncpg.AssertError("by a trigger"),
        asyncpg.ForeignKeyViolationError("of the operator"),
        asyncpg.ExclusionViolationError("of the operator"),
        asyncpg.DataCorruptedError("missing chunk number 0 for toast value"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_rules_of_the_schema_and_damaged_rows_may_cost_a_message_and_no_request(error: asyncpg.PostgresError) -> None:
    assert may_cost_a_message(error)
    assert not is_bad_value(error)
    assert not is_outage(error)


@pytest.mark.parametrize(
    ("error", "of_the_size"),
    [
        (asyncpg.QueryCanceledError("statement timeout"), True),
        (asyncpg.OutOfMemoryError("out of memory"), True),
        (asyncpg.PostgresError.new({"C": "25P04", "M": "transaction timeout"}), True),
        (asyncpg.LockNotAvailableError("lock timeout"), False),
        (asyncpg.DiskFullError("no space left"), False),
        (TimeoutError(), False),
    ],
    ids=lambda value: type(value).__name__,
)
def test_outage_that_a_smaller_batch_may_avoid_is_told_from_others(error: Exception, of_the_size: bool) -> None:
    assert is_too_large(error) is of_the_size
    assert is_outage(error)


SQLSTATES = {
    cls.sqlstate: cls
    for cls in vars(asyncpg.exceptions).values()
    if isinstance(cls, type) and issubclass(cls, asyncpg.PostgresError) and isinstance(cls.sqlstate, str)
}


@pytest.mark.parametrize("sqlstate", sorted(SQLSTATES))
def test_only_data_exceptions_rules_and_damaged_rows_may_cost_a_message(sqlstate: str) -> None:
    error = SQLSTATES[sqlstate]("said the server")
    of_the_values = sqlstate.startswith("22") and sqlstate != "2200H"
    of_a_rule = sqlstate[:2] in ("09", "23", "27", "38", "39", "44", "P0") and sqlstate not in ("23502", "23505")
    assert may_cost_a_message(error) is (of_the_values or of_a_rule or sqlstate == "XX001")
    assert is_bad_value(error) is of_the_values
    assert not (may_cost_a_message(error) and is_outage(error))
