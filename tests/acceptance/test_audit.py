"""Who changed what, and whose key was refused, is told by the database, the log and `reco audit`."""

import json
from collections.abc import Iterator
from typing import Any, Final

import psycopg
import pytest
from click.testing import CliRunner

from app.cli import main
from app.core import keys
from tests.support.database import ask
from tests.support.service import Service, eventually, running

CATALOGUE, CATALOGUE_TOKEN = keys.make("editor", ["catalogue"], "c" * 43)
USERS, USERS_TOKEN = keys.make("privacy", ["users"], "u" * 43)
WRITE, WRITE_TOKEN = keys.make("shop", ["write"], "w" * 43)
ENTRIES: Final = ",".join(key.entry() for key in (CATALOGUE, USERS, WRITE))


@pytest.fixture
def service(environment: dict[str, str]) -> Iterator[Service]:
    with running({**environment, "API_KEYS": ENTRIES}) as started:
        yield started


def call(service: Service, token: str, method: str, path: str, body: Any = None) -> int:
    headers = {"authorization": f"Bearer {token}", "x-request-id": f"{method}-{path.rpartition('/')[2]}"}
    return service.client.request(method, path, headers=headers, json=body).status_code


def audit(database_url: str, *options: str) -> list[dict[str, Any]]:
    """What `reco audit --json` prints, oldest first."""
    done = CliRunner().invoke(main, ["audit", "--json", *options], env={"DATABASE_URL": database_url})
    assert done.exit_code == 0, done.output
    return [json.loads(line) for line in reversed(done.stdout.splitlines())]


def told(row: dict[str, Any]) -> tuple[Any, ...]:
    return row["actor"], row["action"], row["targets"], row["outcome"], row["request_id"]


@pytest.mark.shows("reco audit")
def test_each_change_is_recorded_with_who_made_it(service: Service, database_url: str) -> None:
    pin = {"action": "pin", "item_id": "hit", "position": 1}
    items = {"items": [{"item_id": "a", "title": "A"}, {"item_id": "b", "title": "B"}]}
    for _ in range(2):  # the second time nothing changes, except for the rule, which has a new time of change
        assert call(service, CATALOGUE_TOKEN, "PUT", "/items/a", {"title": "A"}) in (200, 201)
    assert call(service, CATALOGUE_TOKEN, "POST", "/items", items) == 200
    assert call(service, CATALOGUE_TOKEN, "PUT", "/rules/top", pin) == 201
    assert call(service, CATALOGUE_TOKEN, "DELETE", "/rules/top") == 204
    assert call(service, CATALOGUE_TOKEN, "DELETE", "/rules/top") == 404
    assert call(service, CATALOGUE_TOKEN, "DELETE", "/items/b") == 204
    for _ in range(2):
        assert call(service, CATALOGUE_TOKEN, "PUT", "/attributes/price", {"type": "number"}) in (200, 201)
    assert call(service, CATALOGUE_TOKEN, "PATCH", "/items/a", {"attributes": {"price": 5}}) == 200
    assert call(service, CATALOGUE_TOKEN, "PATCH", "/items/a", {"attributes": {"price": 5}}) == 200
    assert call(service, CATALOGUE_TOKEN, "DELETE", "/attributes/price") == 204
    for _ in range(2):
        assert call(service, CATALOGUE_TOKEN, "POST", "/items:delete", {"item_ids": ["none", "a"]}) == 200
    assert call(service, USERS_TOKEN, "DELETE", "/users/zebra") == 200
    rows = audit(database_url)
    assert [told(row) for row in rows] == [
        ("editor", "store_items", ["a"], "1 created, 0 replaced", "PUT-a"),
        ("editor", "store_items", ["b"], "1 created, 0 replaced", "POST-items"),
        ("editor", "store_rule", ["top"], "created", "PUT-top"),
        ("editor", "delete_rule", ["top"], "deleted", "DELETE-top"),
        ("editor", "delete_item", ["b"], "deleted", "DELETE-b"),
        ("editor", "declare_attribute", ["price"], "number", "PUT-price"),
        ("editor", "store_items", ["a"], "0 created, 1 replaced", "PATCH-a"),
        ("editor", "delete_attribute", ["price"], "deleted", "DELETE-price"),
        ("editor", "delete_item", ["a"], "1 deleted", "POST-items:delete"),
        ("privacy", "erase_user", ["erasure 1"], "erased", "DELETE-zebra"),
    ]
    assert audit(database_url, "--key", "privacy") == rows[-1:]
    assert audit(database_url, "--action", "delete_item") == [rows[4], rows[8]]
    assert audit(database_url, "--target", "b") == [rows[1], rows[4]]
    assert audit(database_url, "--since", "1h", "--limit", "1") == rows[-1:]
    shown = CliRunner().invoke(main, ["audit", "--key", "privacy"], env={"DATABASE_URL": database_url})
    assert "  privacy  erase_user  erasure 1  erased  DELETE-zebra" in shown.stdout
    lines = [json.loads(line) for line in service.log().splitlines() if '"audit"' in line]
    assert [(line["actor"], line["action"], line["outcome"]) for line in lines] == [
        (row["actor"], row["action"], row["outcome"]) for row in rows
    ]


def test_each_command_that_changes_something_is_recorded_with_who_ran_it(database_url: str) -> None:
    environment = {"DATABASE_URL": database_url, "USER": "op", "LOGNAME": "op"}
    with psycopg.connect(database_url, autocommit=True) as database:
        database.execute(
            "INSERT INTO event_outbox (id, event_id, topic, message_key, payload, status, attempts) "
            "OVERRIDING SYSTEM VALUE SELECT n, 'dead-' || n, 't', 'ann', '{}', 'dead', 25 "
            "FROM generate_series(101, 102) AS n"
        )
        database.execute(
            "INSERT INTO feature_consumer_dlq (id, topic, partition, record_offset, record_ts_ms, value, error_kind, "
            "error, attempts) OVERRIDING SYSTEM VALUE SELECT n, 't', 0, n, 1, 'x', 'decode', 'bad', 1 "
            "FROM generate_series(201, 202) AS n"
        )
        database.execute(
            "INSERT INTO events (event_id, event_type, user_id, session_id, ts_ms, content_hash, payload, received_at) "
            "VALUES ('uncounted', 'watch', 'ann', 's', 1, '', '{}', now() - interval '1 hour')"
        )
    did = [
        ("outbox discard 101 --reason old", "reco outbox discard", "discard_messages", ["outbox 101"], "1 discarded"),
        ("replay outbox --dry-run", None, None, None, None),
        ("replay outbox", "reco replay outbox", "replay_messages", ["outbox 102"], "1 replayed"),
        ("dlq discard 201 --reason old", "reco dlq discard", "discard_messages", ["dlq 201"], "1 discarded"),
        ("replay dlq", "reco replay dlq", "replay_messages", ["dlq 202"], "1 replayed"),
        ("replay events --dry-run", None, None, None, None),
        ("replay events", "reco replay events", "replay_messages", ["events"], "1 replayed"),
        ("replay events", None, None, None, None),
        ("cache use memory", "reco cache", "choose_cache", ["cache"], "memory"),
        ("cache use settings", "reco cache", "choose_cache", ["cache"], "settings"),
        ("model pin", "reco model", "change_model", ["1"], "pinned"),
    ]
    for command, *_ in did:
        done = CliRunner().invoke(main, command.split(), env=environment)
        assert done.exit_code == 0, done.output
    assert [told(row)[:4] for row in audit(database_url)] == [
        (f"{actor}, op", action, targets, outcome) for _, actor, action, targets, outcome in did if actor is not None
    ]


def test_an_erased_user_leaves_no_id_in_the_audit_log(service: Service, database_url: str) -> None:
    assert service.client.delete("/users/zebra-1", headers={"authorization": f"Bearer {USERS_TOKEN}"}).is_success
    assert ask(database_url, "SELECT count(*) FROM audit_log AS a WHERE a::text LIKE '%zebra%'") == 0
    assert ask(database_url, "SELECT count(*) FROM audit_log") == 1


def test_a_change_that_cannot_be_recorded_is_not_made(service: Service, database_url: str) -> None:
    with psycopg.connect(database_url, autocommit=True) as database:
        database.execute("ALTER TABLE audit_log RENAME TO audit_log_away")
        assert call(service, CATALOGUE_TOKEN, "PUT", "/items/a", {"title": "A"}) == 503
        assert call(service, USERS_TOKEN, "DELETE", "/users/zebra") == 503
        database.execute("ALTER TABLE audit_log_away RENAME TO audit_log")
    assert ask(database_url, "SELECT count(*) FROM items") == 0
    assert ask(database_url, "SELECT count(*) FROM user_erasures") == 0
    assert audit(database_url) == []


@pytest.mark.slow
def test_refused_keys_are_recorded_in_few_rows_however_many_come(service: Service, database_url: str) -> None:
    event = {"event_type": "view", "user_id": "ann", "session_id": "s", "item_id": "a"}
    for number in range(15):
        assert call(service, f"nobody-{number}.guess", "POST", "/event", event) == 401
        assert call(service, "shop.guess", "POST", "/event", event) == 401
        assert call(service, WRITE_TOKEN, "DELETE", "/items/a") == 403
    assert service.client.post("/event", json=event).status_code == 401  # without a key: nothing was refused
    eventually(lambda: sum(row["count"] for row in audit(database_url)) == 45, 30.0, service.describe)
    rows = audit(database_url)
    assert len(rows) <= 6
    assert {told(row)[:4] for row in ({**row, "targets": tuple(row["targets"])} for row in rows)} == {
        (None, "refuse_key", ("POST /event",), "unknown key"),
        (None, "refuse_key", ("POST /event",), "wrong secret for shop"),
        ("shop", "refuse_key", ("DELETE /items/{item_id}",), "lacks the scope catalogue"),
    }


@pytest.mark.slow
def test_what_was_refused_last_is_recorded_at_the_end(service: Service, database_url: str) -> None:
    assert call(service, "shop.guess", "GET", "/popular") == 401
    assert service.terminate() == 0
    assert [row["outcome"] for row in audit(database_url)] == ["wrong secret for shop"]
