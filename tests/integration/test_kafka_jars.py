"""Where Kafka comes from: fetched once, kept, fetched again when damaged, and stood in for where it cannot be had."""

from pathlib import Path

import pytest
from confluent_kafka import Consumer, Producer

from app.devstack import Stack, jars
from app.errors import UserError


@pytest.mark.slow
def test_without_the_jars_a_mock_of_kafka_takes_its_place_and_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jars, "class_path", _no_jars)
    said: list[str] = []
    with Stack(tmp_path / "data", _kafka_alone(), report=said.append) as stack:
        assert stack.kafka_is_mock
        assert "no network" in said[0]
        assert "gone after a restart" in said[0]
        client = {"bootstrap.servers": stack.kafka_bootstrap_servers, "log_level": 0}
        producer = Producer(client)
        producer.produce("mocked", b"one")
        assert producer.flush(10) == 0
        consumer = Consumer({**client, "group.id": "mocked", "auto.offset.reset": "earliest"})
        consumer.subscribe(["mocked"])
        message = consumer.poll(20)
        consumer.close()
        assert message is not None
        assert message.value() == b"one"


def test_without_the_jars_the_tests_refuse(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jars, "class_path", _no_jars)
    stack = Stack.throwaway(_kafka_alone(), parent=tmp_path)
    with pytest.raises(UserError, match="real Kafka is needed, but no network"):
        stack.start()
    assert not list(tmp_path.iterdir())


def test_jars_that_a_cleaner_has_cut_short_are_fetched_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fetched: list[Path] = []

    def fetch(work: Path) -> list[Path]:
        jar = work / "kafka.jar"
        jar.write_text("whole")
        fetched.append(jar)
        return [jar]

    monkeypatch.setattr(jars, "_resolve", fetch)
    path = Path(jars.class_path(tmp_path))
    assert jars.class_path(tmp_path) == str(path)
    assert len(fetched) == 1
    path.write_text("cut")
    assert jars.class_path(tmp_path) == str(path)
    assert path.read_text() == "whole"
    assert len(fetched) == 2
    assert sorted(found.name for found in tmp_path.iterdir()) == ["fetch.lock", path.parent.name]


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({"XDG_CACHE_HOME": "{0}/xdg", "HOME": "{0}/home"}, "xdg/reco"),
        ({"HOME": "{0}/home"}, "home/.cache/reco"),
        ({"HOME": "/proc/nobody"}, "fallback"),
        ({"HOME": ""}, "fallback"),
        ({}, "fallback"),
    ],
)
def test_the_cache_is_where_the_account_keeps_caches_or_in_the_checkout(
    tmp_path: Path, environ: dict[str, str], expected: str
) -> None:
    environ = {name: value.format(tmp_path) for name, value in environ.items()}
    assert jars.cache_folder(environ, tmp_path / "fallback") == tmp_path / expected


def _no_jars(cache: Path) -> str:
    raise jars.Unavailable("no network")


def _kafka_alone() -> dict[str, str]:
    return {"DATABASE_URL": "postgresql://example.net/reco", "ONLINE_CACHE_REDIS_URL": "redis://example.net"}
