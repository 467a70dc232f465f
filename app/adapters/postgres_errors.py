"""What an error of Postgres means: an outage, a batch that is too large, or values that it refuses.

Only an error that the values themselves cause may cost a request, and one that they, a rule of the schema or a damaged
row may cause a message. What is neither an outage nor of these is unclear: it is told, and the same values are tried
again.
"""

from typing import Final

import asyncpg

from app.errors import describe

DRIVER_ERRORS: Final = (asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError, OSError)
"""What asyncpg raises: of the server, of itself, and of the line between both."""

READ_ONLY: Final = "read-only: a standby, or default_transaction_read_only is on"

# What a server that is down, starting, stopping, failing over, out of room or overloaded answers, and what our schema
# or our session causes, by SQLSTATE class or code (PostgreSQL documentation, appendix A). The same statement may pass
# later as it is.
_OUTAGE_STATES: Final = (
    "08",  # connection exception
    "0A",  # a cached plan is invalid after a migration
    "2200H",  # a sequence has reached its maximum
    "23502",  # a column takes no NULL: the schema is not the one that this code writes
    "23505",  # a key is taken: its sequence is behind; keys that clients choose are written with ON CONFLICT
    "25",  # the transaction is read-only (a standby), timed out or aborted
    "26",  # the prepared statement is gone: a pooler, or DEALLOCATE
    "28",  # authorization: credentials in rotation
    "40",  # serialization failure, deadlock detected
    "42",  # a table, column or privilege is missing: a migration or a grant has yet to come
    "53",  # out of disk, memory or connections
    "55",  # lock_timeout, or an object that is in use
    "57",  # shutdown, crash, statement_timeout
    "58",  # I/O error
    "3D000",  # the database does not exist (yet)
)
# What a smaller batch may avoid.
_SIZE_STATES: Final = (
    "25P04",  # transaction_timeout
    "53200",  # out of memory
    "57014",  # statement_timeout
)
# What others did to this statement.
_INTERRUPTED_STATES: Final = ("40",)
# A prepared statement is gone, or another one has its name: statements of one session went to several.
_STATEMENT_STATES: Final = ("26000", "42P05")
_POOLER: Final = "Behind a pooler in transaction mode, set DATABASE_POOLER=transaction"
# What a statement's own values cause: data exceptions.
_VALUE_STATES: Final = ("22",)
# What the schema's own rules say of a row, and what a damaged row says. It may be a fault of the message, of this
# release, or of the schema, such as a partition that is missing.
_RULE_STATES: Final = (
    "09",  # a trigger failed
    "23",  # a constraint: CHECK, EXCLUDE, a foreign key
    "27",  # a trigger changed the row that was being changed
    "38",  # a function in another language failed
    "39",
    "44",  # a view takes no such row
    "P0",  # RAISE in PL/pgSQL
    "XX001",  # the row is damaged on the disk
)


def is_outage(error: BaseException) -> bool:
    """True when the error comes from Postgres' state and not from the statement's values: wait and retry."""
    if isinstance(error, asyncpg.PostgresError):
        return _sqlstate(error).startswith(_OUTAGE_STATES)
    # asyncpg's complaint about an argument is an InterfaceError as well, but a ValueError too. An InternalClientError
    # is what a statement meets on a connection whose server has just said that it is dying.
    return isinstance(error, OSError | asyncpg.InterfaceError | asyncpg.InternalClientError) and not isinstance(
        error, ValueError
    )


def is_too_large(error: BaseException) -> bool:
    """True for an outage that may be of this batch's size alone."""
    return isinstance(error, asyncpg.PostgresError) and _sqlstate(error).startswith(_SIZE_STATES)


def is_interrupted(error: BaseException) -> bool:
    """True for an outage that others cause, and of this statement alone: a conflict with what is replayed on a standby,
    a deadlock, a serialization failure.
    """
    return isinstance(error, asyncpg.PostgresError) and _sqlstate(error).startswith(_INTERRUPTED_STATES)


def is_bad_value(error: asyncpg.PostgresError) -> bool:
    """True when the values of the statement cannot be stored, whatever the schema says: it may cost a request, whose
    client does not send it again.
    """
    return _sqlstate(error).startswith(_VALUE_STATES) and not is_outage(error)


def may_cost_a_message(error: asyncpg.PostgresError) -> bool:
    """True when the values of the statement, or the rows that it touches, may be why it fails: after retries it makes a
    dead letter, which is kept.

    What the schema's rules refuse is among them, so that no partition waits behind one user's message. When the schema
    itself is at fault, the brake stops the consumer.
    """
    return is_bad_value(error) or (_sqlstate(error).startswith(_RULE_STATES) and not is_outage(error))


def reason_of(error: BaseException) -> str:
    """What to tell of it: without Postgres' DETAIL, which may quote a row."""
    if isinstance(error, asyncpg.PostgresError):
        told = f"{type(error).__name__} ({_sqlstate(error)}): {error.args[0]}"
        return f"{told}. {_POOLER}" if _sqlstate(error) in _STATEMENT_STATES else told
    return describe(error)


def error_kind(error: BaseException) -> str:
    """The label of `reco_database_errors_total`."""
    if isinstance(error, asyncpg.LockNotAvailableError | asyncpg.DeadlockDetectedError):
        return "lock"
    if isinstance(error, asyncpg.QueryCanceledError | TimeoutError):
        return "timeout"
    if isinstance(error, asyncpg.ReadOnlySQLTransactionError):
        return "read_only"
    if isinstance(error, asyncpg.UniqueViolationError):
        return "duplicate_key"
    return "connection" if is_outage(error) else "statement"


def _sqlstate(error: asyncpg.PostgresError) -> str:
    return str(error.sqlstate or "")
