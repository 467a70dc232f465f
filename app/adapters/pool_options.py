"""How the pool connects to Postgres, and for how long the server lets it work."""

from msgspec import Struct


class PoolOptions(Struct, frozen=True, kw_only=True):
    min_size: int
    max_size: int
    connect_timeout_sec: float
    statement_timeout_ms: int
    lock_timeout_ms: int
    application_name: str
    transaction_timeout_sec: float = 20.0
    """The server ends a transaction that takes longer. More than the longest may take."""
    has_sessions: bool = True
    """False behind a pooler in transaction mode."""

    def limits(self) -> dict[str, str]:
        """The limits of time, as settings of the server.

        A process that is stopped in the middle of a transaction must not keep its locks. A server that waits for the
        rest of a statement (between parse and bind) does not count as idle: only the transaction timeout ends that
        (Postgres 17), or keepalives when the peer is unreachable.
        """
        return {
            "statement_timeout": str(self.statement_timeout_ms),
            "lock_timeout": str(self.lock_timeout_ms),
            "idle_in_transaction_session_timeout": "15000",
            "transaction_timeout": str(round(self.transaction_timeout_sec * 1000)),
            "jit": "off",  # JIT compilation costs more than any of our short statements
        }
