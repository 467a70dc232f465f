"""The process as an orchestrator sees it: how it starts, what it refuses, how it ends."""

import json
import signal
import subprocess
from pathlib import Path

import pytest
from click.testing import CliRunner

from app import build
from app.cli import main
from app.core import keys
from app.devstack import Stack
from app.devstack.ports import choose
from tests.support.database import ask, cloned_database
from tests.support.service import ROOT, Service, command, eventually, running


@pytest.mark.shows("ROLE")
def test_every_role_serves_health_and_only_the_api_takes_events(environment: dict[str, str]) -> None:
    api = {"ingest-buffer", "ingest-notifier", "change-feed", "sla-window", "refused-keys", "warm-up", "histories"}
    consumer = {"feature-consumer", "learner", "change-feed"}
    wanted = {"api": api, "relay": {"outbox-relay"}, "consumer": consumer}
    itself = {"PYTHONPATH": str(ROOT)}  # not forked from a process that has imported everything
    for role, tasks in wanted.items():
        with running({**environment, **itself, "ROLE": role, "HTTP_PORT": str(choose())}) as service:
            report = service.readiness()
            assert report["role"] == [role]
            maps = Path(f"/proc/{service.process.pid}/maps")
            if maps.exists():  # LLVM comes with the compiled loops, which a relay does not need
                assert ("llvmlite" in maps.read_text()) == (role != "relay")
            assert {"http-server", *tasks} <= set(report["tasks"])
            assert not (set().union(*wanted.values()) - tasks) & set(report["tasks"])
            assert service.client.get("/healthz").json()["status"] == "alive"
            assert "reco_task_running" in service.client.get("/metrics").text
            assert service.status("/popular") == (200 if role == "api" else 404)


@pytest.mark.slow
def test_a_process_tells_which_build_it_is_everywhere(environment: dict[str, str]) -> None:
    with running({**environment, "RECO_REVISION": "abc123"}) as service:
        told = {"pid": service.process.pid, "version": build.VERSION, "revision": "abc123"}
        assert service.readiness()["process"] == told
        assert service.metric("reco_build_info", version=build.VERSION, revision="abc123") == 1
        start_line = next(line for line in service.log().splitlines() if '"starting"' in line)
    assert told.items() <= json.loads(start_line).items()


def test_the_version_option_names_version_and_revision() -> None:
    said = CliRunner().invoke(main, ["--version"]).output
    assert f"{build.VERSION} (revision {build.current_revision()})" in said


@pytest.mark.shows("reco serve")
def test_sigterm_finishes_what_is_in_hand_and_exits_with_0(environment: dict[str, str]) -> None:
    with running(environment) as service:
        event = {"user_id": "ann", "session_id": "s1", "item_id": "alien", "event_type": "view"}
        assert service.client.post("/event", json=event).status_code == 202
        assert service.terminate() == 0
        assert '"drained": true' in service.log()


@pytest.mark.slow
def test_readyz_says_draining_while_the_server_still_answers(environment: dict[str, str]) -> None:
    with running({**environment, "SHUTDOWN_GRACE_SEC": "5"}) as service:
        service.process.send_signal(signal.SIGTERM)
        eventually(lambda: service.status("/readyz") == 503, describe=service.describe)
        assert service.readiness()["status"] == "draining"
        assert service.client.get("/popular").status_code == 200
        assert service.process.wait(timeout=30) == 0


def test_a_second_signal_ends_at_once(environment: dict[str, str]) -> None:
    with running({**environment, "SHUTDOWN_GRACE_SEC": "9"}) as service:
        service.process.send_signal(signal.SIGTERM)
        eventually(lambda: service.status("/readyz") == 503, describe=service.describe)
        service.process.send_signal(signal.SIGTERM)
        assert service.process.wait(timeout=30) == 130


def test_bad_settings_end_the_start_with_one_message() -> None:
    environment = {
        "ROLE": "api,relais",
        "DATABASE_URL": "mysql://localhost/reco",
        "HTTP_PORT": "80800",
        "OUTBOX_RELAY_BATCHSIZE": "100",
    }
    ended = start(environment)
    assert ended.returncode == 2
    assert ended.stdout == ""
    for name in ("ROLE", "DATABASE_URL", "HTTP_PORT", "did you mean OUTBOX_RELAY_BATCH_SIZE"):
        assert name in ended.stderr
    assert ended.stderr.count("- DATABASE_URL") == 1
    assert "Traceback" not in ended.stderr


@pytest.mark.shows("APP_ENV")
def test_production_without_keys_ends_the_start(environment: dict[str, str]) -> None:
    ended = start({**environment, "APP_ENV": "production"})
    assert ended.returncode == 2
    assert "API_KEYS or API_KEYS_FILE: needed when APP_ENV=production" in ended.stderr


@pytest.mark.slow
def test_histories_in_memory_need_no_redis(environment: dict[str, str]) -> None:
    nowhere = f"redis://127.0.0.1:{choose()}/0"
    in_memory = {**environment, "ONLINE_CACHE_BACKEND": "memory", "ONLINE_CACHE_REDIS_URL": nowhere}
    with running(in_memory) as service:
        event = {"user_id": "ann", "session_id": "s1", "item_id": "alien", "event_type": "view"}
        assert service.client.post("/event", json=event).status_code == 202

        def hit() -> bool:
            assert service.client.get("/reco?user_id=ann").status_code == 200
            return service.metric("reco_online_cache_reads_total", cache="history", result="hit") > 0

        eventually(hit, describe=service.describe)
        assert "redis" not in service.readiness()["dependencies"]
        assert service.terminate() == 0


@pytest.mark.shows("KAFKA_TOPIC_REPLICATION_FACTOR")
def test_topics_that_need_more_brokers_are_named(environment: dict[str, str]) -> None:
    service = Service({**environment, "ROLE": "consumer", "KAFKA_TOPIC_REPLICATION_FACTOR": "2"})
    try:
        eventually(lambda: service.status("/readyz"), describe=service.describe)
        eventually(
            lambda: "replication factor" in (service.readiness()["tasks"]["feature-consumer"]["detail"] or "").lower(),
            describe=service.describe,
        )
    finally:
        service.close()


@pytest.mark.slow
def test_a_taken_port_ends_the_start_and_says_so(environment: dict[str, str]) -> None:
    with running(environment):
        ended = start(environment)
    assert ended.returncode == 2
    assert f"Cannot listen on 127.0.0.1:{environment['HTTP_PORT']}" in ended.stderr
    assert "HTTP_PORT" in ended.stderr


@pytest.mark.slow
def test_a_key_file_that_cannot_be_read_ends_the_start_and_is_named(environment: dict[str, str]) -> None:
    ended = start({**environment, "API_KEYS_FILE": "/no/such/keys"})
    assert ended.returncode == 2
    assert "API_KEYS and API_KEYS_FILE=/no/such/keys cannot be read: " in ended.stderr


def test_a_process_makes_the_tables_of_an_empty_database(stack: Stack, environment: dict[str, str]) -> None:
    with cloned_database(stack, "template1") as url, running({**environment, "DATABASE_URL": url}) as service:
        event = {"user_id": "ann", "session_id": "s1", "item_id": "alien", "event_type": "view"}
        assert service.client.post("/event", json=event).status_code == 202
        assert ask(url, "SELECT count(*) FROM events") == 1


def test_a_process_starts_without_dependencies_and_names_them(environment: dict[str, str]) -> None:
    nobody = choose()
    service = Service(
        {
            **environment,
            "DATABASE_URL": f"postgresql://reco@127.0.0.1:{nobody}/reco",
            "KAFKA_BOOTSTRAP_SERVERS": f"127.0.0.1:{nobody}",
            "ONLINE_CACHE_REDIS_URL": f"redis://127.0.0.1:{nobody}/0",
        }
    )
    try:
        eventually(lambda: service.status("/healthz") == 200, describe=service.describe)
        eventually(
            lambda: [entry["state"] for entry in service.readiness()["dependencies"].values()] == ["down"] * 3,
            describe=service.describe,
        )
        assert service.status("/readyz") == 503
        tasks = {name: task["state"] for name, task in service.readiness()["tasks"].items()}
        assert tasks.pop("warm-up") == "starting"
        assert set(tasks.values()) <= {"running", "failing"}  # the latter after three tries
        event = {"user_id": "ann", "session_id": "s1", "item_id": "alien", "event_type": "view"}
        refused = service.client.post("/event", json=event)
        assert refused.status_code == 503
        assert refused.headers["Retry-After"]
        assert service.terminate() == 0
    finally:
        service.close()


def start(environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    """Runs a process that is to end by itself."""
    return subprocess.run(
        command("app"),
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.slow
def test_a_public_address_without_keys_is_warned_of_at_start_and_by_doctor(environment: dict[str, str]) -> None:
    public = {name: value for name, value in environment.items() if name != "APP_ENV"} | {"HTTP_HOST": "0.0.0.0"}
    key, _ = keys.make("ops", ["admin"], "a" * 43)
    for given, warned in ((public, True), ({**public, "API_KEYS": key.entry()}, False), (environment, False)):
        with running(given) as service:
            assert ('"api_open_to_everybody"' in service.log()) == warned
            asked = CliRunner().invoke(main, ["doctor"], env=given)
        assert ("warn keys: without keys, anybody who reaches 0.0.0.0:" in asked.output) == warned
        assert asked.exit_code == 0, asked.output


def test_a_service_of_kubernetes_that_is_named_like_a_setting_stops_no_start(environment: dict[str, str]) -> None:
    links = {"OUTBOX_RELAY_PORT": "tcp://10.96.0.7:80", "OUTBOX_RELAY_SERVICE_HOST": "10.96.0.7"}
    with running({**environment, **links}) as service:
        assert service.status("/readyz") == 200
