"""The steps with a fault: of a server, of the database's content, or of ours."""

import time
from concurrent.futures import ThreadPoolExecutor
from typing import Final

import psycopg

from app.core.events import TOPIC_INTERACTIONS, TOPIC_WATCHES
from tests.acceptance.every_metric.run import Run
from tests.support.pipeline import message

# Above the threshold of the alert for the lag.
_MANY: Final = 10_100


def lag(run: Run) -> None:
    """The consumer cannot write while more messages arrive than an alert allows."""
    late = message("late-watch", event_type="watch", watch_time_sec=60, received_ms=_ago_ms(60), ts_ms=_ago_ms(60))
    copy = message("many-times")
    with psycopg.connect(run.environment["DATABASE_URL"]) as holder:
        holder.execute("LOCK TABLE feature_event_consumed IN ACCESS EXCLUSIVE MODE")
        for _ in range(_MANY):
            run.kafka.produce(run.topic(TOPIC_INTERACTIONS), copy, key=b"ann", partition=0)
            run.kafka.poll(0)
        run.produce(TOPIC_WATCHES, late)
        run.until(lambda: run.lag_of_first_partition() > 10_000)
        run.until(lambda: run.metric("reco_feature_consumer_errors_total", kind="postgres") > 0)
        run.until(lambda: any(run.metric("reco_feature_consumer_thins_pairs", member=member) for member in "12"))
        run.recording.steps["behind"] = run.recording.scrape(), run.recording.scrape()
    before = run.metric("reco_watch_event_to_feature_latency_ms_count")
    run.until(lambda: run.metric("reco_watch_event_to_feature_latency_ms_count") > before, 60.0)
    run.until(lambda: run.lag_of_first_partition() == 0, 60.0)


def lock(run: Run) -> None:
    """Nothing can be stored: the buffer fills, and an impression finds no place."""
    errors = run.metric("reco_database_errors_total", kind="lock")
    with ThreadPoolExecutor(4) as pool, psycopg.connect(run.environment["DATABASE_URL"]) as holder:
        holder.execute("LOCK TABLE events IN ACCESS EXCLUSIVE MODE")

        def dropped() -> bool:
            batch = [{"event_type": "view", "user_id": "ann", "session_id": "s", "item_id": "tent"}] * 10
            sent = [pool.submit(run.client.post, "/log/batch", json=batch) for _ in range(3)]
            run.until(lambda: run.metric("reco_ingest_pending_events") > 0)
            run.recording.scrape()
            run.client.get("/reco?user_id=ann", headers={"X-Autolog-Impressions": "true"})
            assert all(future.result().status_code in (503, 200) for future in sent)
            return run.metric("reco_ingest_events_total", outcome="impression_dropped") > 0

        run.until(dropped, 60.0)
        run.until(lambda: run.metric("reco_database_errors_total", kind="lock") > errors)


def slow_statement(run: Run) -> None:
    """A statement that takes too long, and one that fails for what it holds."""
    run.execute(
        "CREATE FUNCTION linger() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN IF NEW.item_id = 'slow' THEN "
        "PERFORM pg_sleep(60); END IF; IF NEW.item_id = 'bad' THEN RAISE EXCEPTION 'bad' USING ERRCODE = '22003'; "
        "END IF; IF NEW.item_id = 'taken' THEN RAISE EXCEPTION 'taken' USING ERRCODE = '23505'; "
        "END IF; RETURN NEW; END $$",
        "CREATE TRIGGER linger BEFORE INSERT ON items FOR EACH ROW EXECUTE FUNCTION linger()",
    )
    for item in ("slow", "bad", "taken"):
        assert run.client.put(f"/items/{item}", json={}).is_error
    for kind in ("timeout", "statement", "duplicate_key"):
        run.until(lambda kind=kind: run.metric("reco_database_errors_total", kind=kind) > 0)
    run.execute("DROP TRIGGER linger ON items")


def lost_event(run: Run) -> None:
    """An event that was accepted, and is nowhere on its way."""
    run.execute(
        "INSERT INTO events (event_id, event_type, user_id, session_id, ts_ms, content_hash, payload, received_at) "
        "VALUES ('lost-event', 'view', 'u', 's', 1, '', '{}', now())"
    )
    run.until(lambda: run.metric("reco_events_uncounted") > 0, 60.0)
    run.recording.steps["uncounted"] = run.recording.scrape(), run.recording.scrape()
    run.execute("DELETE FROM events WHERE event_id = 'lost-event'")


def wrong_topic_setting(run: Run) -> None:
    """Kafka may drop what nobody has read. The service looks every 30 seconds, and the next steps go on meanwhile.

    Meanwhile the relay starts no producer: it has one before.
    """
    published = run.metric("reco_outbox_relay_published_total")
    run.send()
    run.until(lambda: run.metric("reco_outbox_relay_published_total") > published)
    run.set_retention(TOPIC_WATCHES, hours=1)


def topic_setting(run: Run) -> None:
    run.until(lambda: run.recording.scrape() and run.recording.moved("reco_topic_setting_wrong"), 60.0)
    run.recording.steps["topic wrong"] = run.recording.scrape(), run.recording.scrape()
    run.set_retention(TOPIC_WATCHES, hours=7 * 24)


def crash(run: Run) -> None:
    """A statement of the relay fails as only a mistake of ours would make it fail."""
    run.execute(
        "CREATE FUNCTION fail() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'a mistake' "
        "USING ERRCODE = '22012'; END $$",
        "CREATE TRIGGER fail BEFORE DELETE ON event_outbox FOR EACH STATEMENT EXECUTE FUNCTION fail()",
    )
    run.send()
    run.until(lambda: run.metric("reco_task_restarts_total", task="outbox-relay") >= 2, 30.0)
    run.execute("DROP TRIGGER fail ON event_outbox")
    run.until(lambda: run.metric("reco_task_running", task="outbox-relay") == 1, 30.0)


def redis(run: Run) -> None:
    """It answers nobody, so that each call lasts until its deadline."""
    run.stack.redis.pause()
    run.until(lambda: run.client.get("/reco?user_id=ann").is_success and run.breaker_is_open(), 30.0)
    run.recording.scrape()
    run.send()
    run.until(lambda: run.metric("reco_feature_consumer_errors_total", kind="redis") > 0)
    # A lease that was taken before is used up first.
    run.until(
        lambda: run.client.get("/contract").is_success and run.metric("reco_rate_limit_redis_errors_total") > 0,
        30.0,
    )
    run.until(lambda: run.metric("reco_api_check_status", scope="dependency", check="redis") == 0)
    run.recording.steps["redis away"] = run.recording.scrape(), run.recording.scrape()
    run.stack.redis.resume()
    run.until(lambda: run.client.get("/reco?user_id=ann").is_success and not run.breaker_is_open(), 30.0)
    run.until_ready()


def cache_chosen(run: Run) -> None:
    run.reco("cache", "use", "memory")
    run.until(lambda: run.metric("reco_online_cache_chosen") == 1)
    run.recording.steps["cache chosen"] = run.recording.scrape(), run.recording.scrape()
    run.reco("cache", "use", "settings")
    run.until(lambda: run.metric("reco_online_cache_chosen") == 0)


def kafka_away(run: Run) -> None:
    names = ("reco_outbox_relay_errors_total", "reco_feature_consumer_errors_total")
    before = {name: run.metric(name, kind="kafka") for name in names}
    run.stack.kafka.kill()
    run.send()
    for name in names:
        run.until(lambda name=name: run.metric(name, kind="kafka") > before[name], 40.0)
    run.until(lambda: run.metric("reco_api_check_status", scope="dependency", check="kafka") == 0)
    run.recording.steps["kafka away"] = run.recording.scrape(), run.recording.scrape()
    run.stack.kafka.start()
    run.until_ready()


def postgres(run: Run) -> None:
    """It goes, and is a standby when it comes back."""
    assert run.client.get("/reco?user_id=ann").is_success  # so that there is a history to be stale
    name = run.ask("SELECT current_database()")
    run.execute(f"ALTER DATABASE {name} SET default_transaction_read_only = on")
    run.stack.postgres.kill()
    # As often in this step as an alert allows in a minute, and some more.
    often = run.metric("reco_database_errors_total", kind="connection") + 15
    run.until(
        lambda: run.post().status_code == 503 and run.metric("reco_database_errors_total", kind="connection") > often
    )
    run.until(lambda: run.metric("reco_outbox_relay_errors_total", kind="postgres") > 0)
    run.until(lambda: run.metric("reco_api_check_status", scope="process", check="ready") == 0)
    run.stack.redis.kill()
    run.until(lambda: run.client.get("/reco?user_id=ann").is_success and run.read("history", "stale") > 0)
    run.recording.steps["outage"] = run.recording.scrape(), run.recording.scrape()
    run.stack.redis.start()
    run.stack.postgres.start()
    run.until(
        lambda: run.post().status_code == 503 and run.metric("reco_database_errors_total", kind="read_only") > 0,
        30.0,
    )
    run.execute("SET transaction_read_only = off", f"ALTER DATABASE {name} SET default_transaction_read_only = off")
    run.until_ready()


def _ago_ms(seconds: float) -> int:
    return int((time.time() - seconds) * 1000)
