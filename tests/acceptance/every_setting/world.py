"""A process with other settings than the defaults, and what its tests ask and do."""

import secrets
from pathlib import Path
from typing import Any, Final

import psycopg

from app.core import keys
from app.devstack import Stack
from app.settings import Settings
from tests.faults.proxy import Proxy
from tests.support.database import ask
from tests.support.pipeline import message
from tests.support.service import Service, eventually

ADMIN, ADMIN_TOKEN = keys.make("ops", ["admin"], "a" * 43)
WRITE, WRITE_TOKEN = keys.make("shop", ["write"], "w" * 43)
READ, READ_TOKEN = keys.make("front", ["read"], "r" * 43)
BROWSER, BROWSER_TOKEN = keys.make("pages", ["browser"], "b" * 43)
USER_SECRET: Final = "u" * 32
NEXT_USER_SECRET: Final = "n" * 32

# For a second API in the test's own process.
ENDS_AT_ONCE: Final[dict[str, Any]] = {"shutdown_grace_sec": 0.0}


class World:
    """The process with changed settings, and what is around it."""

    def __init__(
        self, service: Service, settings: Settings, redis_proxy: Proxy, stack: Stack, secret_file: Path
    ) -> None:
        self.service = service
        self.settings = settings
        self.redis_proxy = redis_proxy
        self.stack = stack
        self.secret_file = secret_file
        self.client = service.client
        self.client.headers["authorization"] = f"Bearer {ADMIN_TOKEN}"
        self.metric = service.metric
        self.describe = service.describe
        self.database_url = settings.database_url

    def execute(self, statement: str, *values: Any) -> None:
        with psycopg.connect(self.database_url, autocommit=True) as connection:
            connection.execute(statement.encode(), values)

    def send(self, **changes: Any) -> str:
        """Sends a view, which also wakes the relay; returns its id."""
        event_id = changes.setdefault("event_id", f"event-{secrets.token_hex(8)}")
        event = {"event_type": "view", "user_id": "ann", "session_id": "s1", "item_id": "alien", **changes}
        assert self.client.post("/event", json=event).status_code == 202
        return str(event_id)

    def await_counted(self, event_id: str) -> None:
        query = f"SELECT count(*) FROM feature_event_consumed WHERE event_id = '{event_id}'"
        eventually(lambda: ask(self.database_url, query) == 1, 30.0, self.describe)

    def await_probes(self, count: int = 4) -> None:
        """Waits for so many health probes, each half a second after the one before."""
        until = self.metric("reco_database_latency_ms_count") + count
        eventually(lambda: self.metric("reco_database_latency_ms_count") >= until, 30.0, self.describe)

    def queue(self, topic: str, count: int = 1, attempts: int = 0) -> str:
        """Puts rows into the outbox without waking the relay; returns how their event ids begin."""
        start = f"row-{secrets.token_hex(6)}"
        for number in range(count):
            event_id = f"{start}-{number}"
            self.execute(
                "INSERT INTO event_outbox (event_id, topic, message_key, payload, attempts) "
                "VALUES (%s, %s, 'ann', %s, %s)",
                event_id,
                topic,
                message(event_id),
                attempts,
            )
        return start
