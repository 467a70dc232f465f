"""A service while it is recorded, and what the steps of the script do to it."""

import json
import secrets
import socket
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final

import httpx
import psycopg
from click.testing import CliRunner
from confluent_kafka import Producer
from confluent_kafka.admin import AlterConfigOpType, ConfigEntry, ConfigResource

from app.cli import main
from app.core import keys
from app.core.events import TOPIC_INTERACTIONS
from app.devstack import Stack
from tests.acceptance.every_metric.recording import Recording
from tests.support.service import Service, eventually
from tests.support.topics import admin_client

ADMIN, ADMIN_TOKEN = keys.make("ops", ["admin"], "a" * 43)
WRITE, WRITE_TOKEN = keys.make("shop", ["write"], "w" * 43)
BROWSER, BROWSER_TOKEN = keys.make("pages", ["browser"], "b" * 43)
READ, READ_TOKEN = keys.make("front", ["read"], "r" * 43)

# Whatever the database has by default.
_WRITABLE: Final = "-c default_transaction_read_only=off"


class Run:
    """`client` has a key with the scope admin; `connections` are closed at the end of the run."""

    def __init__(
        self, service: Service, stack: Stack, environment: dict[str, str], key_file: Path, connections: ExitStack
    ) -> None:
        self.service = service
        self.recording = Recording(service)
        self.stack = stack
        self.environment = environment
        self.key_file = key_file
        self.client = service.client
        self.client.headers["authorization"] = f"Bearer {ADMIN_TOKEN}"
        self.connections = connections
        self.late_heads: list[socket.socket] = []
        self.kafka = Producer({"bootstrap.servers": stack.kafka_bootstrap_servers, "log_level": 0})

    def send(self, **changes: Any) -> None:
        assert self.post(**changes).status_code == 202

    def post(self, **changes: Any) -> httpx.Response:
        event = {"user_id": "ann", "session_id": "s1", "item_id": "tent", "event_type": "view", **changes}
        return self.client.post("/event", json=event)

    def topic(self, name: str) -> str:
        return self.environment["KAFKA_TOPIC_PREFIX"] + name

    def set_retention(self, topic: str, hours: int) -> None:
        entry = ConfigEntry("retention.ms", str(hours * 3_600_000), incremental_operation=AlterConfigOpType.SET)
        resource = ConfigResource(ConfigResource.Type.TOPIC, self.topic(topic), incremental_configs=[entry])
        with admin_client(self.stack.kafka_bootstrap_servers) as admin:
            for done in admin.incremental_alter_configs([resource]).values():
                done.result(20.0)

    def produce(self, topic: str, value: str) -> None:
        self.kafka.produce(self.topic(topic), value, key=b"ann", partition=0)
        assert self.kafka.flush(20.0) == 0

    def queue(self, *, topic: str, created: str = "now()", available: str = "now()") -> None:
        event_id = f"row-{secrets.token_hex(6)}"
        self.execute(
            "INSERT INTO event_outbox (event_id, topic, message_key, payload, created_at, available_at) "
            f"VALUES ('{event_id}', '{topic}', 'ann', '{json.dumps({'event_id': event_id})}', {created}, {available})"
        )

    def execute(self, *statements: str) -> None:
        with psycopg.connect(self.environment["DATABASE_URL"], autocommit=True, options=_WRITABLE) as connection:
            for statement in statements:
                connection.execute(statement.encode())

    def ask(self, query: str) -> Any:
        with psycopg.connect(self.environment["DATABASE_URL"]) as connection:
            row = connection.execute(query.encode()).fetchone()
        assert row is not None, query
        return row[0]

    def reco(self, *arguments: str) -> None:
        done = CliRunner(env=self.environment).invoke(main, arguments)
        assert done.exit_code == 0, done.output

    def metric(self, name: str, **labels: str) -> float:
        return self.service.metric(name, **labels)

    def labels(self, name: str) -> set[tuple[str, str]]:
        return {pair for (series, labels) in self.recording.scrape() if series == name for pair in labels}

    def read(self, cache: str, result: str) -> float:
        return self.metric("reco_online_cache_reads_total", cache=cache, result=result)

    def lag_of_first_partition(self) -> float:
        return self.metric("reco_feature_consumer_partition_lag", topic=self.topic(TOPIC_INTERACTIONS), partition="0")

    def processed(self, status: str) -> float:
        return self.metric("reco_feature_consumer_processed_total", status=status)

    def keys_readable(self) -> float:
        return self.metric("reco_api_check_status", scope="keys")

    def breaker_is_open(self) -> bool:
        return self.metric("reco_online_cache_breaker_open") == 1

    def until_ready(self) -> None:
        self.until(lambda: self.service.status("/readyz") == 200, 60.0)

    def until(self, check: Callable[[], object], within_sec: float = 40.0) -> None:
        eventually(check, within_sec, self.service.describe)
