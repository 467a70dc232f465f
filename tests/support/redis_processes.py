"""Redis processes beside the embedded one: a master with its replica and three Sentinels, or one of another kind."""

import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Final

import redis

from app.devstack.ports import choose, reserve
from app.devstack.redis import _find_binary
from tests.support.service import eventually

PASSWORD: Final = "a pass/word"
_SERVICE: Final = "reco-cache"
# A node of a cluster listens for the others 10,000 above its port; both lie below the ports of outgoing connections.
_BUS: Final = 10_000
_HIGHEST: Final = 22_700


def free_port() -> int:
    """For a redis-server, with cluster-enabled or without."""
    while (port := choose()) > _HIGHEST or not reserve(port + _BUS):
        pass
    return port


class RedisProcess:
    """A redis-server with these lines as its configuration, on a port of its own."""

    def __init__(self, folder: Path, lines: Sequence[str], arguments: Sequence[str] = (), port: int = 0) -> None:
        self.port = port or free_port()
        self._folder = Path(tempfile.mkdtemp(dir=folder))
        self._arguments = arguments
        self._configuration = self._folder / "redis.conf"
        always = [f"port {self.port}", f"dir {self._folder}", 'save ""']
        self._configuration.write_text("\n".join([*always, *lines]) + "\n")
        self._process = self._spawn()

    def client(self, **options: Any) -> "redis.Redis[bytes]":
        return redis.Redis("127.0.0.1", self.port, protocol=2, **options)

    def kill(self) -> None:
        self._process.kill()
        self._process.wait(10)

    def freeze(self) -> None:
        """It answers nobody, and keeps its connections. `kill` ends it all the same."""
        self._process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        self._process.send_signal(signal.SIGCONT)

    def restart(self) -> None:
        self._process = self._spawn()

    def log(self) -> str:
        return (self._folder / "log").read_text()

    def _spawn(self) -> "subprocess.Popen[bytes]":
        with open(self._folder / "log", "ab") as log:
            command = [str(_find_binary()), str(self._configuration), *self._arguments]
            return subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT)


@contextmanager
def redis_process(
    *lines: str, arguments: Sequence[str] = (), password: str | None = None, port: int = 0
) -> Iterator[RedisProcess]:
    folder = Path(tempfile.mkdtemp(prefix="reco-redis-"))
    process = RedisProcess(folder, ["bind 127.0.0.1", *lines], arguments, port)
    try:
        with process.client(password=password) as client:
            eventually(lambda: _answers(client), describe=process.log)
        yield process
    finally:
        process.kill()
        shutil.rmtree(folder)


@contextmanager
def watched_redis() -> Iterator[tuple[str, RedisProcess, RedisProcess]]:
    """A master and its replica under three Sentinels, with the URL of them."""
    secured = (f'requirepass "{PASSWORD}"', f'masterauth "{PASSWORD}"')
    with ExitStack() as stack:
        master = stack.enter_context(redis_process(*secured, password=PASSWORD))
        followed = f"replicaof 127.0.0.1 {master.port}"
        replica = stack.enter_context(redis_process(*secured, followed, password=PASSWORD))
        lines = [
            f"sentinel monitor {_SERVICE} 127.0.0.1 {master.port} 2",
            f'sentinel auth-pass {_SERVICE} "{PASSWORD}"',
            f"sentinel down-after-milliseconds {_SERVICE} 1000",
            f"sentinel failover-timeout {_SERVICE} 5000",
        ]
        sentinels = [stack.enter_context(redis_process(*lines, arguments=["--sentinel"])) for _ in range(3)]
        with replica.client(password=PASSWORD) as client:
            eventually(lambda: client.info("replication")["master_link_status"] == "up", describe=replica.log)
        for sentinel in sentinels:
            with sentinel.client() as client:
                eventually(lambda client=client: _knows_all(client), 30, sentinel.log)
        hosts = ",".join(f"127.0.0.1:{sentinel.port}" for sentinel in sentinels)
        yield f"redis+sentinel://:a%20pass%2Fword@{hosts}/{_SERVICE}/0", master, replica


def _knows_all(client: "redis.Redis[bytes]") -> bool:
    found: Any = client.execute_command("SENTINEL", "MASTERS")
    state = found[0] if isinstance(found[0], dict) else dict(zip(found[0][::2], found[0][1::2], strict=False))
    told = {str(k if isinstance(k, str) else k.decode()): v for k, v in state.items()}
    return int(told["num-other-sentinels"]) == 2 and int(told["num-slaves"]) == 1


def _answers(client: "redis.Redis[bytes]") -> bool:
    try:
        return bool(client.ping())
    except redis.RedisError:
        return False
