"""The steps without a fault of a server: traffic, poison, and what operators do about it."""

import socket
import time
from typing import Final

import httpx
import psycopg

from app.core.events import TOPIC_INTERACTIONS
from app.core.persons import MAX_LINKS
from app.http.protocol import MAX_HEAD_BYTES, MAX_URL_BYTES
from tests.acceptance.every_metric.run import BROWSER_TOKEN, READ_TOKEN, WRITE_TOKEN, Run
from tests.support.pipeline import message

_DAY_MS: Final = 86_400_000


def traffic(run: Run) -> None:
    items = [{"item_id": f"new-{number}", "title": "New", "categories": ["films"]} for number in range(5)]
    assert run.client.post("/items", json={"items": items}).status_code == 200
    assert run.client.put("/rules/pinned", json={"action": "pin", "item_id": "new-1", "position": 1}).is_success
    for user in ("ann", "bob"):
        for item in ("tent", "stove"):
            run.send(user_id=user, item_id=item)
    watch = {"user_id": "ann", "session_id": "s1", "item_id": "tent", "watch_time_sec": 60}
    assert run.client.post("/log/watch", json=watch).status_code == 202
    view = {"user_id": "ann", "session_id": "s1", "item_id": "tent", "event_type": "view", "event_id": "the-same"}
    assert [run.client.post("/event", json=view).status_code for _ in range(2)] == [202, 200]
    assert run.client.post("/event", json={**view, "item_id": "stove"}).status_code == 409
    assert run.client.post("/event", json={}).status_code == 422
    late, early = (int(time.time() * 1000) + days * _DAY_MS for days in (-9, 9))
    for times in ({"ts_ms": late}, {"ts_ms": early}, {"ts_ms": early, "sent_at": early}):
        assert run.client.post(
            "/event", json={**view, "event_id": f"of-{sorted(times.items())}"[:64], **times}
        ).is_success
    for number in range(MAX_LINKS + 1):
        merged = run.client.post("/users/of-many-devices/merge", json={"anonymous_id": f"device-{number}"})
    assert merged.status_code == 409
    viewed = {"userId": "ann", "event": "Product Viewed"}
    for track in ({**viewed, "properties": {"sku": "tent"}}, viewed, {**viewed, "event": "Signed Up"}):
        assert run.client.post("/v1/track", json=track).status_code == 200
    run.until(lambda: run.metric("reco_watch_event_to_feature_latency_ms_count") > 0)
    reco = run.client.get("/reco?user_id=cleo&k=5", headers={"X-Autolog-Impressions": "true"}).json()
    click = {"event_type": "click", "request_id": reco["request_id"], "item_id": reco["items"][0]["item_id"]}
    run.send(user_id="cleo", **click)
    for path in ("/similar/tent", "/popular", "/reco?user_id=ann", "/reco?user_id=nobody&session_id=s1"):
        for _ in range(2):
            assert run.client.get(path).status_code == 200
    run.until(lambda: run.client.get("/popular").is_success and run.read("popular", "stale") > 0)
    assert run.client.get("/nothing").status_code == 404
    assert run.client.get("/").status_code // 100 == 3
    assert run.client.delete("/users/bob").status_code == 200


def refusals(run: Run) -> None:
    with httpx.Client(base_url=run.service.url) as client:
        assert client.get("/contract").status_code == 401
        assert client.get("/contract", headers={"x-api-key": "shop.guess"}).status_code == 401
        assert client.get("/contract", headers={"x-api-key": WRITE_TOKEN}).status_code == 403
        statuses = [client.get("/contract", headers={"x-api-key": READ_TOKEN}).status_code for _ in range(850)]
        assert statuses[-1] == 429
    _visitors(run)
    _unfinished(run)


def _visitors(run: Run) -> None:
    with httpx.Client(base_url=run.service.url, headers={"x-api-key": BROWSER_TOKEN}) as client:
        assert client.get("/reco").status_code == 401
        assert client.get("/reco", headers={"x-user-token": "forged"}).status_code == 401
        one = {"x-visitor-id": "one" * 8}
        assert client.get("/reco?user_id=another", headers=one).status_code == 403
        assert 429 in [client.get("/reco", headers=one).status_code for _ in range(20)]
        # The minute may end between two of them.
        several = [client.get("/reco", headers={"x-visitor-id": f"{number:030}"}).status_code for number in range(8)]
        assert 429 in several


def _unfinished(run: Run) -> None:
    """What is refused before it is a request, and more connections than may be open."""
    address = "127.0.0.1", int(run.environment["HTTP_PORT"])
    for sent in (
        b"nonsense\r\n\r\n",
        b"GET /" + b"x" * MAX_URL_BYTES,
        b"GET / HTTP/1.1\r\nX: " + b"x" * MAX_HEAD_BYTES,
    ):
        with socket.create_connection(address, timeout=20) as connection:
            connection.sendall(sent)
            assert connection.recv(100).startswith(b"HTTP/1.1 4")
    opened = [socket.create_connection(address, timeout=20) for _ in range(70)]
    for connection in opened[-10:]:
        connection.sendall(b"G")
    run.until(lambda: run.metric("reco_api_refused_total", reason="connections") > 0)
    for connection in opened[:-10]:
        connection.close()
    run.late_heads = [run.connections.enter_context(connection) for connection in opened[-10:]]


def late_heads(run: Run) -> None:
    """The heads that were begun in the step "refusals" are cut off when their time is over."""
    for connection in run.late_heads:
        assert connection.recv(100).startswith(b"HTTP/1.1 408 ")


def key_file_breaks(run: Run) -> None:
    kept = run.key_file.read_text()
    run.key_file.write_text("not a key\n")
    run.until(lambda: run.client.get("/contract").is_success and run.keys_readable() == 0)
    run.recording.scrape()
    run.key_file.write_text(kept)
    run.until(lambda: run.client.get("/contract").is_success and run.keys_readable() == 1)


def messages(run: Run) -> None:
    """Second copies, messages that cannot be read, and one that Postgres refuses. The damaged batch was first."""
    run.execute(
        "CREATE FUNCTION refuse_one() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
        "IF NEW.event_id = 'refused-event' THEN RAISE EXCEPTION 'refused' USING ERRCODE = '22003'; END IF; "
        "RETURN NEW; END $$",
        "CREATE TRIGGER refuse_one BEFORE INSERT ON feature_event_consumed FOR EACH ROW EXECUTE FUNCTION refuse_one()",
    )
    for value in (message("twice-sent"), message("twice-sent"), "not JSON", message("refused-event")):
        run.produce(TOPIC_INTERACTIONS, value)
    run.until(lambda: run.processed("duplicate") > 0 and run.processed("dlq") >= 3)
    run.until(lambda: run.metric("reco_feature_consumer_dlq_backlog", status="pending") >= 3)
    run.execute("DROP TRIGGER refuse_one ON feature_event_consumed")


def operators(run: Run) -> None:
    refused, unreadable = (
        str(run.ask(f"SELECT id FROM feature_consumer_dlq WHERE {which} LIMIT 1"))
        for which in ("event_id = 'refused-event'", "error_kind = 'decode'")
    )
    run.reco("dlq", "discard", unreadable, "--reason", "a test")
    run.reco("replay", "dlq", "--id", refused)
    for outcome in ("discarded", "replayed", "recovered"):
        run.until(lambda outcome=outcome: run.metric("reco_feature_consumer_dlq_events_total", outcome=outcome) > 0)
    for status in ("discarded", "replayed"):
        run.until(lambda status=status: run.metric("reco_feature_consumer_dlq_backlog", status=status) > 0)


def dead_rows(run: Run) -> None:
    run.queue(topic="nowhere")
    run.until(lambda: run.metric("reco_outbox_relay_retried_total") > 0)
    run.until(lambda: run.metric("reco_outbox_relay_failed_total") > 0)
    run.until(lambda: run.metric("reco_outbox_backlog_events", status="dead") > 0)


def old_rows(run: Run) -> None:
    """Rows that have waited long, and rows whose time is over."""
    run.queue(topic="nowhere", created="now() - interval '2 minutes'", available="now() + interval '1 day'")
    run.execute(
        "INSERT INTO feature_consumer_dlq (topic, partition, record_offset, record_ts_ms, error_kind, error, "
        "attempts) SELECT 't', 0, n, 1, 'decode', 'e', 1 FROM generate_series(1, 1001) AS n",
        "UPDATE feature_consumer_dlq SET created_at = now() - interval '2 days' WHERE status = 'pending'",
        "UPDATE event_outbox SET attempts = 1 WHERE status = 'pending'",  # leaves a dead version of the row
    )
    run.until(lambda: run.metric("reco_outbox_backlog_oldest_lag_ms") > 0)
    run.until(lambda: run.metric("reco_feature_consumer_dlq_oldest_pending_ms") > _DAY_MS)
    run.until(lambda: run.metric("reco_feature_consumer_dlq_backlog", status="pending") > 1000)
    run.until(lambda: run.metric("reco_database_dead_rows", table="event_outbox") > 0)
    with psycopg.connect(run.environment["DATABASE_URL"]) as old:
        old.execute("SELECT pg_current_xact_id()")
        run.until(lambda: run.metric("reco_database_oldest_transaction_seconds") > 1)
        run.recording.steps["old transaction"] = run.recording.scrape(), run.recording.scrape()
    run.until(
        lambda: (
            {value for _, value in run.labels("reco_maintenance_deleted_rows_total")}
            >= {"events", "feature_event_consumed", "feature_consumer_dlq", "event_outbox", "sessions"}
        ),
        60.0,
    )


def kpis(run: Run) -> None:
    for name in ("shown_places", "clicked_places", "items_shown", "catalogue_items"):
        run.until(lambda name=name: run.recording.scrape() and run.recording.moved(f"reco_kpi_{name}"), 60.0)
