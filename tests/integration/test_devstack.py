"""The embedded servers: they keep data and ports, come back after every kind of end, and never share a folder."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest
import redis
from confluent_kafka import Consumer, Producer, TopicPartition
from redis.backoff import NoBackoff
from redis.retry import Retry

from app.devstack import Stack, processes, server
from app.devstack.folder import Folder, throwaway
from app.errors import UserError

_OWNER = """
import sys
from pathlib import Path
from app.devstack import Stack
stack = Stack(Path(sys.argv[1]), {"KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:1"})
stack.start()
print(*(server.pid for server in stack.servers.values()), flush=True)
sys.stdin.read()
stack.stop()
"""


@pytest.fixture
def small_stack(tmp_path: Path) -> Iterator[Stack]:
    """Without Kafka, which costs two seconds: what it would show the others show too."""
    stack = Stack(tmp_path / "data", _without_kafka(), durable=False)
    yield stack
    stack.stop()
    stack.folder.remove()


def test_postgres_keeps_its_port_and_what_was_committed_through_a_kill(breakable_stack: Stack) -> None:
    url = breakable_stack.database_url
    with psycopg.connect(url) as connection:
        connection.execute("CREATE TABLE kept AS SELECT 1 AS one")
    breakable_stack.postgres.kill()
    assert not breakable_stack.postgres.running
    breakable_stack.postgres.start()
    assert breakable_stack.database_url == url
    with psycopg.connect(url) as connection:
        assert connection.execute("SELECT one FROM kept").fetchone() == (1,)
        connection.execute("DROP TABLE kept")


def test_redis_keeps_its_port_and_its_keys_through_a_kill(breakable_stack: Stack) -> None:
    url = breakable_stack.redis_url
    with redis.Redis.from_url(url) as client:
        client.set("kept", "one")
    breakable_stack.redis.kill()
    breakable_stack.redis.start()
    assert breakable_stack.redis_url == url
    with redis.Redis.from_url(url) as client:
        assert client.getdel("kept") == b"one"


@pytest.mark.slow
def test_kafka_keeps_its_port_and_its_messages_through_a_kill(breakable_stack: Stack, topic_prefix: str) -> None:
    servers, topic = breakable_stack.kafka_bootstrap_servers, f"{topic_prefix}kept"
    producer = Producer({"bootstrap.servers": servers, "acks": "all", "log_level": 0})
    producer.produce(topic, b"one", partition=0)
    assert producer.flush(10) == 0
    breakable_stack.kafka.kill()
    breakable_stack.kafka.start()
    assert breakable_stack.kafka_bootstrap_servers == servers
    consumer = Consumer({"bootstrap.servers": servers, "group.id": topic, "log_level": 0})
    consumer.assign([TopicPartition(topic, 0, 0)])
    message = consumer.poll(20)
    consumer.close()
    assert message is not None
    assert message.value() == b"one"


@pytest.mark.parametrize("name", ["postgres", "redis", "kafka"])
def test_a_pause_stops_the_server_with_its_children_until_it_is_resumed(breakable_stack: Stack, name: str) -> None:
    server = next(server for server in breakable_stack.servers.values() if server.name == name)
    assert server.pid is not None
    server.pause()
    # The state changes when the process next meets its signals, a moment after kill(2) has returned.
    _await(lambda: all(processes.is_stopped(member) for member in processes.family(server.pid or 0)))
    server.resume()
    _await(lambda: not any(processes.is_stopped(member) for member in processes.family(server.pid or 0)))
    server.restore()


def test_a_restart_ends_the_old_process_and_answers_from_a_new_one(breakable_stack: Stack) -> None:
    before = breakable_stack.redis.pid
    breakable_stack.redis.restart()
    assert breakable_stack.redis.pid not in (None, before)
    with redis.Redis.from_url(breakable_stack.redis_url) as client:
        assert client.ping()


def test_data_and_ports_outlive_the_stack(small_stack: Stack) -> None:
    small_stack.start()
    url = small_stack.database_url
    with psycopg.connect(url) as connection:
        connection.execute("CREATE TABLE kept ()")
    small_stack.stop()
    small_stack.start()
    assert small_stack.database_url == url
    with psycopg.connect(url) as connection:
        assert connection.execute("SELECT to_regclass('kept')").fetchone() == ("kept",)


@pytest.mark.slow
def test_a_fresh_start_forgets_everything(small_stack: Stack) -> None:
    small_stack.start()
    with psycopg.connect(small_stack.database_url) as connection:
        connection.execute("CREATE TABLE gone ()")
    small_stack.stop()
    small_stack.start(fresh=True)
    with psycopg.connect(small_stack.database_url) as connection:
        assert connection.execute("SELECT to_regclass('gone')").fetchone() == (None,)


def test_a_fresh_start_leaves_alone_what_is_not_ours(tmp_path: Path) -> None:
    (tmp_path / "letter.txt").write_text("mine")
    folder = Folder(tmp_path)
    folder.open()
    folder.empty()
    folder.close()
    assert (tmp_path / "letter.txt").read_text() == "mine"


def test_a_second_stack_on_the_same_folder_is_refused_by_name_of_the_first(small_stack: Stack) -> None:
    small_stack.start()
    with pytest.raises(UserError, match=rf"process {os.getpid()}.*RECO_DATA_DIR"):
        Stack(small_stack.folder.root, _without_kafka()).start()
    with psycopg.connect(small_stack.database_url) as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)


@pytest.mark.slow
def test_servers_die_with_an_owner_that_is_killed_and_the_next_start_recovers(small_stack: Stack) -> None:
    with _owner(small_stack.folder.root) as (owner, servers):
        owner.kill()
    assert processes.await_end(servers)
    small_stack.start()
    with psycopg.connect(small_stack.database_url) as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)


def test_servers_left_behind_are_ended_before_the_next_start(small_stack: Stack) -> None:
    with _owner(small_stack.folder.root) as (owner, servers):
        families = [member for server in servers for member in processes.family(server.pid)]
        (guard,) = set(processes.family(owner.pid)[1:]) - set(families)
        os.kill(guard.pid, signal.SIGKILL)
        owner.kill()
    assert all(processes.runs(server) for server in servers)
    small_stack.start()
    assert not any(processes.runs(server) for server in servers)


def test_a_remembered_process_id_that_now_means_another_process_is_left_alone(tmp_path: Path) -> None:
    bystander = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "redis").write_text(json.dumps([bystander.pid, 1.0]))
    folder = Folder(tmp_path)
    folder.open()
    folder.close()
    assert bystander.poll() is None
    bystander.communicate(b"\n")


def test_a_long_log_makes_room_for_a_new_one(tmp_path: Path) -> None:
    folder = Folder(tmp_path)
    folder.open()
    folder.log_file("kafka").write_bytes(b"x" * 10_000_001)
    folder.log_file("redis").write_bytes(b"short")
    folder.close()
    folder.open()
    folder.close()
    assert sorted(path.name for path in (tmp_path / "logs").iterdir()) == ["kafka.log.old", "redis.log"]


def test_a_damaged_state_file_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "state.json").write_text("{")
    folder = Folder(tmp_path)
    folder.open()
    assert folder.password
    folder.close()


def test_an_interrupted_initdb_is_done_again(small_stack: Stack) -> None:
    half = small_stack.folder.root / "postgres"
    half.mkdir(parents=True)
    (half / "base").mkdir()
    small_stack.start()
    with psycopg.connect(small_stack.database_url) as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)


def test_a_server_that_fails_to_start_shows_the_end_of_its_log(small_stack: Stack) -> None:
    small_stack.start()
    small_stack.redis.stop()
    (small_stack.folder.root / "redis" / "appendonly.aof").write_bytes(b"not an append-only file")
    with pytest.raises(UserError, match=r"redis ended with exit code 1 .*redis\.log(.|\n)*Bad file format"):
        small_stack.redis.start()


def test_a_helper_that_does_not_end_is_told_without_its_whole_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "_START_TIMEOUT_SEC", 0.05)
    with pytest.raises(UserError, match=r"^initdb did not end in 0\.05 s\. If the machine is busy, try again") as told:
        server.run_to_end(["sleep", "60"], tmp_path / "log", "initdb")
    assert "sleep" not in str(told.value)


def test_a_port_that_somebody_took_meanwhile_is_replaced(tmp_path: Path) -> None:
    folder = Folder(tmp_path)
    folder.open()
    first = folder.port("redis")
    folder.close()
    with socket.create_server(("127.0.0.1", first)):
        folder.open()
        assert folder.port("redis") != first
        folder.close()


def test_servers_given_by_url_are_used_and_not_commanded(tmp_path: Path) -> None:
    given = {
        "DATABASE_URL": "postgresql://example.net/reco",
        "ONLINE_CACHE_REDIS_URL": "redis://example.net",
        "KAFKA_BOOTSTRAP_SERVERS": "example.net:9092",
    }
    with Stack(tmp_path, given) as stack:
        assert stack.urls == given
        assert not stack.servers
        with pytest.raises(UserError, match="DATABASE_URL"):
            stack.postgres.kill()


def test_only_a_password_opens_postgres_and_redis(stack: Stack) -> None:
    assert stack.folder.password in stack.database_url
    with pytest.raises(psycopg.OperationalError, match="password"):
        psycopg.connect(stack.database_url.replace(stack.folder.password, "wrong"))
    assert stack.folder.password in stack.redis_url
    wrong = stack.redis_url.replace(stack.folder.password, "wrong")
    with redis.Redis.from_url(wrong, retry=Retry(NoBackoff(), 0)) as client, pytest.raises(redis.AuthenticationError):
        client.ping()


def test_a_throwaway_folder_is_removed_by_the_next_one_when_its_owner_died(tmp_path: Path) -> None:
    left = throwaway(tmp_path)
    left.open()
    used = throwaway(tmp_path)
    used.open()
    left.close()  # as death does
    throwaway(tmp_path)
    assert not left.root.exists()
    assert used.root.exists()
    used.remove()


def _without_kafka() -> dict[str, str]:
    return {"KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:1"}


@contextmanager
def _owner(root: Path) -> Iterator[tuple["subprocess.Popen[str]", list[processes.Identity]]]:
    """Another process that runs a stack in the folder, and its servers."""
    command = [sys.executable, "-c", _OWNER, str(root)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as owner:
        assert owner.stdout is not None
        pids = [int(pid) for pid in owner.stdout.readline().split()]
        yield owner, [identity for pid in pids if (identity := processes.identify(pid)) is not None]


def _await(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline, "did not come true within 10 s"
        time.sleep(0.01)
