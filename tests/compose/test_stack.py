"""compose.yaml: events get through, containers are confined, roles scale, tags roll, outages pass."""

import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import yaml

from tests.support.compose import NEW_TAG, OLD_TAG, SERVICES, Compose

pytestmark = pytest.mark.timeout(600)

_RECO = ("api", "outbox-relay", "feature-consumer")


class Load:
    """A client that sends views one after the other, each until it is answered for good."""

    def __init__(self, compose: Compose) -> None:
        self._compose = compose
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self.name = f"load-{uuid.uuid4().hex[:12]}"
        self.accepted: list[str] = []
        self.refused: list[object] = []

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stop.is_set():
            event_id = f"{self.name}-{len(self.accepted)}"
            event = {"event_id": event_id, "user_id": f"u{len(self.accepted) % 50}", "session_id": "s"}
            event |= {"event_type": "view", "item_id": f"i{len(self.accepted) % 20}"}
            while True:
                status, body = self._compose.request("POST", "/event", event)
                if status in (200, 202):
                    self.accepted.append(event_id)
                    break
                if status not in (0, 503):
                    self.refused.append(body)
                    break
                if self._stop.wait(0.1):
                    return


def _readyz(compose: Compose) -> dict[str, Any]:
    return compose.request("GET", "/readyz")[1] or {"status": "no answer", "dependencies": {}}


@contextmanager
def load_on(compose: Compose) -> Iterator[Load]:
    """Load while the block runs; afterwards every accepted event is stored and counted."""
    load = Load(compose)
    load.start()
    try:
        yield load
    finally:
        load.stop()
    assert load.refused == []
    accepted = set(load.accepted)
    assert len(accepted) > 10
    named = f"WHERE event_id LIKE '{load.name}-%'"
    assert accepted <= set(compose.sql(f"SELECT event_id FROM events {named}").split())
    counted = f"SELECT event_id FROM feature_event_consumed {named}"
    compose.wait_until("every accepted event counted", lambda: accepted <= set(compose.sql(counted).split()), 60)


def test_an_event_of_each_kind_gets_through(compose: Compose) -> None:
    assert "An event of each kind gets through." in compose.run("docker compose exec -T api reco smoke")


def test_containers_are_confined_and_given_time_to_drain(compose: Compose) -> None:
    for service in _RECO:
        (container,) = compose.containers(service)
        host, config = container["HostConfig"], container["Config"]
        assert config["User"] == "10001:10001"
        assert host["ReadonlyRootfs"]
        assert host["CapDrop"] == ["ALL"]
        assert not host["CapAdd"]
        assert "no-new-privileges:true" in host["SecurityOpt"]
        assert host["Memory"] > 0
        assert host["PidsLimit"] > 0
        assert config["StopTimeout"] > 10
    for service in SERVICES:
        (container,) = compose.containers(service)
        assert container["HostConfig"]["LogConfig"]["Config"].keys() == {"max-size", "max-file"}
        assert container["HostConfig"]["CapDrop"] == ["ALL"]


def test_images_of_others_may_be_named_by_their_digests(compose: Compose) -> None:
    pinned = "compose.yaml:ops/compose/pinned.yaml"
    shown = compose.run("docker compose --profile monitoring config", COMPOSE_FILE=pinned)
    services = yaml.safe_load(shown)["services"]
    assert all("@sha256:" in service["image"] for name, service in services.items() if name not in ("migrate", *_RECO))
    assert "@sha256:" in services["migrate"]["build"]["args"]["PYTHON_IMAGE"]
    assert services["api"]["image"] == f"reco:{OLD_TAG}"


def test_the_schema_is_what_the_migrations_made(compose: Compose) -> None:
    assert "the schema matches them" in compose.run("docker compose exec -T api reco migrate --check")


def test_a_container_compiles_nothing_when_it_starts(compose: Compose) -> None:
    command = "import app.core.accumulators as loops; print(sum(loops.score.stats.cache_misses.values()))"
    assert compose.run(f"docker compose exec -T api python -c '{command}'").strip() == "0"


def test_workers_scale_and_share_the_work(compose: Compose) -> None:
    with load_on(compose):
        _scale(compose, consumers=3, relays=2)
        describe = (
            "docker compose exec -T kafka /opt/kafka/bin/kafka-consumer-groups.sh --bootstrap-server kafka:9092"
            " --describe --members --group recsys-feature-consumer-v1"
        )
        member = "\nrecsys-feature-consumer-v1 "
        # Two of each process.
        compose.wait_until("six members in the group", lambda: compose.run(describe).count(member) == 6, 60)
    _scale(compose, consumers=1, relays=1)


def _scale(compose: Compose, *, consumers: int, relays: int) -> None:
    scales = f"--scale feature-consumer={consumers} --scale outbox-relay={relays}"
    compose.run(f"docker compose up -d --no-deps {scales} feature-consumer outbox-relay")
    compose.wait_healthy(feature_consumer=consumers, outbox_relay=relays)


def test_the_tag_rolls_forward_and_back_under_load(compose: Compose) -> None:
    with load_on(compose):
        for tag in (NEW_TAG, OLD_TAG):
            compose.run("docker compose up -d --no-deps api outbox-relay feature-consumer", RECO_TAG=tag)
            for service in _RECO:
                (container,) = compose.containers(service)
                assert container["Config"]["Image"] == f"reco:{tag}"
            compose.wait_healthy()
    assert _readyz(compose)["status"] == "ready"


def test_a_stop_drains_and_exits_cleanly(compose: Compose) -> None:
    compose.run("docker compose stop api outbox-relay feature-consumer")
    try:
        for service in _RECO:
            (container,) = compose.containers(service)
            assert container["State"]["ExitCode"] == 0
            assert '"event": "stopped"' in compose.run(f"docker compose logs --no-color --tail 5 {service}")
    finally:
        compose.run("docker compose start api outbox-relay feature-consumer")
    compose.wait_healthy()


@pytest.mark.parametrize(
    ("service", "unhealthy", "status", "taken"),
    [
        ("redis", (), "degraded", 202),
        ("kafka", ("outbox-relay", "feature-consumer"), "ready", 202),
        ("postgres", ("api", "outbox-relay", "feature-consumer"), "unavailable", 503),
    ],
)
def test_an_outage_shows_where_it_is_and_passes(
    compose: Compose, service: str, unhealthy: tuple[str, ...], status: str, taken: int
) -> None:
    before = {name: compose.containers(name)[0]["RestartCount"] for name in _RECO}
    compose.run(f"docker compose stop {service}")
    try:
        compose.wait_until(f"/readyz {status}", lambda: _readyz(compose)["status"] == status)
        entries = _readyz(compose)["dependencies"]
        assert [name for name, entry in entries.items() if entry["state"] == "down"] == [service] * (service in entries)
        for name in unhealthy:
            compose.wait_until(f"{name} unhealthy", lambda n=name: compose.health(n) == ["unhealthy"])
        for name in set(_RECO) - set(unhealthy):
            assert compose.health(name) == ["healthy"]
        event = {"user_id": "u", "session_id": "s", "event_type": "view", "item_id": "i"}
        assert compose.request("POST", "/event", event)[0] == taken
        assert compose.request("GET", "/healthz")[0] == 200
        assert "Exit" in compose.run(f"docker compose ps -a {service}")
    finally:
        compose.run(f"docker compose start {service}")
    compose.wait_healthy()
    assert {name: compose.containers(name)[0]["RestartCount"] for name in _RECO} == before
    assert "An event of each kind gets through." in compose.run("docker compose exec -T api reco smoke")
