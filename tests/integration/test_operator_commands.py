"""What an operator runs, against a real service: reco smoke, check, status, doctor, migrate --check."""

import subprocess
import sys
from collections.abc import Iterator
from urllib.parse import quote, urlsplit

import msgspec
import psycopg
import pytest
from click.testing import CliRunner, Result
from psycopg.sql import SQL

from app.checks import doctor
from app.cli import main
from app.core import keys
from app.devstack import Stack
from app.devstack.ports import choose
from app.errors import DependencyDown
from tests.faults.proxy import METADATA_REQUEST, proxied
from tests.integration.test_topics import make
from tests.support.service import Service, eventually, running

_URLS = ("DATABASE_URL", "ONLINE_CACHE_REDIS_URL", "KAFKA_BOOTSTRAP_SERVERS", "KAFKA_TOPIC_PREFIX", "ROLE", "API_KEYS")


def reco(*arguments: str, environment: dict[str, str] | None = None) -> Result:
    """On a busy machine Redis may answer late."""
    given = {name: (environment or {}).get(name) for name in _URLS}
    return CliRunner(env={**given, "ONLINE_CACHE_REDIS_TIMEOUT_SEC": "5"}).invoke(main, arguments)


@pytest.mark.slow
@pytest.mark.shows("reco smoke")
def test_smoke_walks_every_kind_of_event_and_leaves_no_user_behind(environment: dict[str, str]) -> None:
    with running(environment) as service:
        result = reco("smoke", service.url)
        assert result.exit_code == 0, result.output
        assert "An event of each kind gets through." in result.output
        again = reco("smoke", service.url, "--json")
        assert again.exit_code == 0, again.output
        report = msgspec.json.decode(again.stdout)
        assert report["failed"] == 0
        assert {step["ok"] for step in report["steps"]} == {True}
        event = {"user_id": "ann", "session_id": "s", "event_type": "view", "item_id": "tent"}
        assert service.client.post("/event", json=event).status_code == 202
        eventually(lambda: listed(service, "/popular?k=10") == ["tent"], describe=service.describe)
        eventually(lambda: listed(service, "/trending?window=hour&k=10") == ["tent"], describe=service.describe)
        eventually(lambda: listed(service, "/reco?user_id=bob&k=10") == ["tent"], 30.0, service.describe)
        eventually(lambda: listed(service, "/similar/reco-smoke-1?k=10") == [], describe=service.describe)
    with psycopg.connect(environment["DATABASE_URL"]) as connection:
        assert connection.execute("SELECT DISTINCT user_id FROM events").fetchall() == [("ann",)]


def listed(service: Service, path: str) -> list[str]:
    return [item["item_id"] for item in service.client.get(path).json()["items"]]


def test_smoke_says_where_an_event_is_stuck(environment: dict[str, str]) -> None:
    with running({**environment, "ROLE": "api"}) as service:
        result = reco("smoke", service.url, "--patience", "0.5")
        assert result.exit_code == 1
        assert "still queued: look at outbox-relay" in result.output


@pytest.mark.shows("reco check", "reco status")
def test_check_and_status_read_what_the_service_says_of_itself(environment: dict[str, str]) -> None:
    with running(environment) as service:
        checked = reco("check", service.url)
        assert "ingest_p99_ms: no figure yet (at most 100)" in checked.output
        assert checked.exit_code == 0, checked.output
        shown = reco("status", service.url, "--metrics", "reco_task_running")
        assert shown.exit_code == 0
        assert "task outbox-relay: running" in shown.output
        assert 'reco_task_running{task="maintenance"} 1.0' in shown.output
        checked = msgspec.json.decode(reco("check", service.url, "--json").stdout)
        assert checked["missed"] == []
        assert {"name": "ingest_p99_ms", "ok": None, "figure": None, "target": 100.0} in checked["sla"]
        shown = msgspec.json.decode(reco("status", service.url, "--metrics", "reco_task_running", "--json").stdout)
        assert shown["tasks"]["outbox-relay"]["state"] == "running"
        assert 'reco_task_running{task="maintenance"} 1.0' in shown["metrics"]


@pytest.mark.parametrize("command", ["smoke", "check", "status"])
def test_a_service_that_does_not_answer_is_reported(command: str) -> None:
    result = reco(command, f"http://127.0.0.1:{choose()}")
    assert result.exit_code in (1, 2)
    assert "no answer from" in result.output


@pytest.mark.shows("reco doctor")
def test_doctor_finds_nothing_where_all_is_well(environment: dict[str, str]) -> None:
    with running(environment) as service:
        eventually(service.reads_all, describe=service.describe)
        result = reco("doctor", environment=environment)
        report = msgspec.json.decode(reco("doctor", "--json", environment=environment).stdout)
    assert report["failed"] == 0
    assert report["settings"]["DATABASE_URL"] == "(set, hidden)"
    assert {finding["level"] for finding in report["findings"]["Kafka"]} == {"ok"}
    assert result.exit_code == 0, result.output
    for said in ("schema: matches the migrations", "redis: may write and delete", "recsys.watches.v1: 2 partitions"):
        assert said in result.output
    assert "DATABASE_URL=(set, hidden)" in result.output


@pytest.mark.parametrize(("kept", "is_told"), [("2419200000", False), ("2419200001", True), ("-1", True)])
def test_doctor_warns_of_a_topic_that_outlives_what_is_known_to_be_counted(
    environment: dict[str, str], kafka: str, topic_prefix: str, kept: str, is_told: bool
) -> None:
    """The dedupe rows are there for 35 days, and an event may be a week late: that leaves 28 days."""
    topic = f"{topic_prefix}recsys.watches.v1"
    make(kafka, topic, retention_ms=kept)
    result = reco("doctor", environment=environment)
    warned = f"warn kafka: topic {topic}: retention.ms={kept} is longer than RETENTION_DEDUPE_DAYS"
    assert (warned in result.output) == is_told
    assert result.exit_code == 0, result.output


def test_doctor_warns_of_a_rebuild_that_nobody_has_finished(environment: dict[str, str]) -> None:
    with psycopg.connect(environment["DATABASE_URL"], autocommit=True) as connection:
        connection.execute(
            "INSERT INTO feature_generations (generation, state, parameters) VALUES (7, 'building', '{}')"
        )
    result = reco("doctor", environment=environment)
    assert "warn sums: the rebuild of generation 7 is unfinished" in result.output
    assert "`reco rebuild --drop`" in result.output


@pytest.mark.parametrize("schema", ["reco_building", "reco_retired"])
def test_doctor_warns_of_tables_that_a_rebuild_has_left(environment: dict[str, str], schema: str) -> None:
    with psycopg.connect(environment["DATABASE_URL"], autocommit=True) as connection:
        connection.execute(f"CREATE SCHEMA {schema}")
    result = reco("doctor", environment=environment)
    assert f"warn sums: a rebuild that has ended left tables on the disk, in the schema {schema}" in result.output
    assert "drop them with `reco rebuild --drop`" in result.output


def test_doctor_says_what_cannot_be_reached_and_what_to_do(environment: dict[str, str]) -> None:
    nowhere = f"127.0.0.1:{choose()}"
    broken = {"KAFKA_BOOTSTRAP_SERVERS": nowhere, "ONLINE_CACHE_REDIS_URL": f"redis://{nowhere}/0"}
    result = reco("doctor", environment=environment | broken)
    assert result.exit_code == 1
    kafka = result.output.partition("\nKafka\n")[2].partition("\nRedis\n")[0].splitlines()
    assert kafka[0].startswith(f"  FAIL kafka: does not answer at {nowhere} (")
    assert kafka[1:] == ["       → start Kafka, or correct KAFKA_BOOTSTRAP_SERVERS"]
    assert "FAIL redis" in result.output
    assert "ONLINE_CACHE_BACKEND=memory" in result.output


@pytest.mark.slow
def test_frozen_kafka_accepts_connections_but_returns_no_metadata(
    environment: dict[str, str], breakable_stack: Stack
) -> None:
    breakable_stack.kafka.pause()
    result = reco("doctor", environment=environment)
    assert result.exit_code == 1
    kafka = result.output.partition("\nKafka\n")[2].partition("\nRedis\n")[0].splitlines()
    assert kafka[0].startswith("  FAIL kafka: accepts connections but returns no cluster metadata: ")
    assert "AddressFamily" not in result.output
    assert len(kafka) == 2


def test_broker_that_cannot_be_reached_where_it_says_it_is_ends_no_report(
    environment: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Metadata come from the address in KAFKA_BOOTSTRAP_SERVERS, and settings from the one that the broker names."""

    async def not_ready(*_: object, **__: object) -> None:
        raise DependencyDown("kafka", "NodeNotReadyError: 1")

    monkeypatch.setattr(doctor, "read_topic_settings", not_ready)
    result = reco("doctor", environment=environment)
    assert result.exit_code == 1
    kafka = result.output.partition("\nKafka\n")[2].partition("\nRedis\n")[0].splitlines()
    assert kafka[0] == "  FAIL kafka: accepts connections but returns no settings of topics: NodeNotReadyError: 1"
    assert "advertised address can be reached from here" in kafka[1]
    assert "ok   redis" in result.output


@pytest.mark.slow
def test_kafka_that_tells_no_metadata_leaves_no_report_of_a_library_on_the_screen(environment: dict[str, str]) -> None:
    host, _, port = environment["KAFKA_BOOTSTRAP_SERVERS"].partition(":")
    with proxied(host, int(port)) as proxy:
        proxy.trap(METADATA_REQUEST)
        behind = {**environment, "KAFKA_BOOTSTRAP_SERVERS": f"{host}:{proxy.port}"}
        command = [sys.executable, "-c", "from app.cli import main; main()", "doctor"]
        done = subprocess.run(command, env=behind, capture_output=True, text=True, check=False)
    assert proxy.caught.is_set()
    assert (done.returncode, done.stderr) == (1, "")
    assert "returns no cluster metadata" in done.stdout


def test_migrate_check_sees_drift_and_changes_nothing(environment: dict[str, str]) -> None:
    clean = reco("migrate", "--check", "--json", environment=environment)
    assert (clean.exit_code, clean.stdout) == (0, '{"errors":[],"pending":[],"newer":[]}\n')
    assert reco("migrate", "--json", environment=environment).stdout == '{"applied":[]}\n'
    with psycopg.connect(environment["DATABASE_URL"], autocommit=True) as connection:
        connection.execute("DROP INDEX event_outbox_pending")
        connection.execute("ALTER TABLE items ADD COLUMN mine text")
        connection.execute("ALTER TABLE events ALTER COLUMN session_id DROP NOT NULL")
    for _ in range(2):
        result = reco("migrate", "--check", environment=environment)
        assert result.exit_code == 1
        assert "index event_outbox_pending of event_outbox: missing" in result.output
        assert "column mine of items: not made by any migration" in result.output
        assert "column session_id of events: is text; it should be text NOT NULL" in result.output


def test_migrate_check_sees_a_changed_file_and_lets_a_newer_release_be(environment: dict[str, str]) -> None:
    with psycopg.connect(environment["DATABASE_URL"], autocommit=True) as connection:
        connection.execute("INSERT INTO migration_checksum (migration_id, sha256) VALUES ('9999.newer', 'x')")
        connection.execute("ALTER TABLE items ADD COLUMN newer text")
        result = reco("migrate", "--check", environment=environment)
        assert result.exit_code == 0, result.output
        assert "newer    9999.newer" in result.output
        connection.execute("UPDATE migration_checksum SET sha256 = 'x' WHERE migration_id = '0001.event-store'")
    result = reco("migrate", "--check", environment=environment)
    assert result.exit_code == 1
    assert "0001.event-store: the file changed after it was applied" in result.output


@pytest.fixture(params=["GRANT SELECT ON ALL TABLES IN SCHEMA public TO reco_reader", "SELECT 'no grant'"])
def reader_url(request: pytest.FixtureRequest, stack: Stack, environment: dict[str, str]) -> Iterator[str]:
    """The test's database for a user that may read its tables and no more, or not even that."""
    owner = urlsplit(environment["DATABASE_URL"])
    with psycopg.connect(stack.postgres.admin_url, autocommit=True) as admin:
        admin.execute("CREATE ROLE reco_reader LOGIN PASSWORD 'reader'")
        with psycopg.connect(environment["DATABASE_URL"], autocommit=True) as connection:
            connection.execute(request.param)
        yield owner._replace(netloc=f"reco_reader:reader@{owner.hostname}:{owner.port}").geturl()
        with psycopg.connect(environment["DATABASE_URL"], autocommit=True) as connection:
            connection.execute("REVOKE SELECT ON ALL TABLES IN SCHEMA public FROM reco_reader")
        admin.execute("DROP ROLE reco_reader")


def test_a_database_user_that_may_only_read_is_reported(environment: dict[str, str], reader_url: str) -> None:
    environment = environment | {"DATABASE_URL": reader_url}
    of_tables = "FAIL postgres: no full access to events, event_outbox, "
    of_sequences = "FAIL postgres: no full access to event_outbox_id_seq, feature_consumer_dlq_id_seq, "
    doctor = reco("doctor", environment=environment)
    for told in (of_tables, "grant SELECT, INSERT, UPDATE and DELETE", of_sequences, "ok   kafka: "):
        assert told in doctor.output
    checked = reco("migrate", "--check", environment=environment)
    assert doctor.exit_code == checked.exit_code == 1
    assert "The live schema was not compared" in checked.output
    migrated = reco("migrate", environment=environment)
    assert (migrated.exit_code, "may not migrate: InsufficientPrivilege" in migrated.output) == (2, True)


@pytest.mark.slow
def test_smoke_with_a_key_that_is_not_good_enough_says_what_it_needs(environment: dict[str, str]) -> None:
    key, token = keys.make("web", ["write"], "s" * 40)
    with running({**environment, "API_KEYS": key.entry()}) as service:
        nobody = reco("smoke", service.url)
        assert nobody.exit_code == 1
        assert "Here: --key or RECO_API_KEY." in nobody.output
        writer = reco("smoke", service.url, "--key", token)
        assert writer.exit_code == 1
        assert "in the recommendations  403 The API key web lacks the scope users." in writer.output


@pytest.mark.slow
def test_smoke_tells_what_is_down(breakable_stack: Stack, environment: dict[str, str]) -> None:
    with running(environment) as service:
        breakable_stack.postgres.kill()
        eventually(lambda: service.status("/readyz") == 503)
        result = reco("smoke", service.url)
        breakable_stack.postgres.start()
        eventually(lambda: service.status("/readyz") == 200, 40.0)
    assert result.exit_code == 1
    assert "503 unavailable, down: postgres" in result.output


def test_check_without_kpis_does_not_call_them_met(environment: dict[str, str]) -> None:
    with psycopg.connect(environment["DATABASE_URL"], autocommit=True) as connection:
        connection.execute("INSERT INTO items (item_id) VALUES ('never-shown')")
    with running(environment) as service:
        result = reco("check", service.url, "--no-kpi")
    assert result.exit_code == 0, result.output
    assert "KPI, the last 7 days, which do not count here" in result.output
    assert "All SLA targets with figures are met." in result.output


def test_a_password_of_any_characters_works_when_it_is_encoded(stack: Stack, environment: dict[str, str]) -> None:
    password = "p/a#s?s@w:o%r[d] é"
    owner = urlsplit(environment["DATABASE_URL"])
    url = owner._replace(netloc=f"reco_odd:{quote(password, safe='')}@{owner.hostname}:{owner.port}").geturl()
    with psycopg.connect(stack.postgres.admin_url, autocommit=True) as admin:
        admin.execute(SQL("CREATE ROLE reco_odd LOGIN SUPERUSER PASSWORD {}").format(password))
    try:
        odd = environment | {"DATABASE_URL": url}
        with running(odd) as service:
            eventually(service.reads_all, describe=service.describe)
            result = reco("doctor", environment=odd)
            assert result.exit_code == 0, result.output
            assert reco("migrate", environment=odd).exit_code == 0
            assert not [part for part in (password, quote(password, safe="")) if part in result.output + service.log()]
    finally:
        with psycopg.connect(stack.postgres.admin_url, autocommit=True) as admin:
            admin.execute("DROP ROLE reco_odd")
