"""Three brokers of one Kafka cluster, each a controller too, on loopback."""

import base64
import shutil
import uuid
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Final

import pytest
from confluent_kafka import KafkaException

from app.devstack.folder import Folder, throwaway
from app.devstack.guard import Guard
from app.devstack.jars import Unavailable
from app.devstack.kafka import Kafka
from app.devstack.server import run_to_end
from app.devstack.stack import default_folder, fetch_kafka
from app.java import find_java
from tests.support.service import eventually
from tests.support.topics import admin_client

_BROKERS: Final = 3
_IN_SYNC_SEC: Final = 90.0
_REPLICATED: Final = {
    "default.replication.factor": "3",
    "min.insync.replicas": "2",
    "offsets.topic.replication.factor": "3",
    "broker.session.timeout.ms": "6000",
}


class Broker(Kafka):
    """`voters`: all controllers, as `controller.quorum.voters` has them; they are known once all have been made."""

    def __init__(self, folder: Folder, guard: Guard, *, java: Path, class_path: str, number: int, cluster: str) -> None:
        super().__init__(folder, guard, java=java, class_path=class_path)
        self.number = number
        self.controller = f"{number}@127.0.0.1:{folder.port('kafka-controller')}"
        self.voters = ""
        self._cluster = cluster

    def _prepare(self) -> None:
        home = self.folder.root / "kafka"
        logs = home / "logs"
        formatted = (logs / "meta.properties").exists()
        if not formatted:
            logs.mkdir(parents=True, exist_ok=True)
            (logs / "meta.properties").touch()  # so that it is not formatted as a cluster of its own
        super()._prepare()
        changed = {**_REPLICATED, "node.id": str(self.number), "controller.quorum.voters": self.voters}
        path = home / "server.properties"
        own = [line for line in path.read_text().splitlines() if line.partition("=")[0] not in changed]
        path.write_text("\n".join([*own, *(f"{name}={value}" for name, value in changed.items())]) + "\n")
        if not formatted:
            shutil.rmtree(logs)
            tool = ["kafka.tools.StorageTool", "format", "--config", str(path), f"--cluster-id={self._cluster}"]
            run_to_end([*self._java, *tool], self.log_file, "Formatting Kafka's log")


class Brokers:
    def __init__(self, brokers: Sequence[Broker]) -> None:
        self.brokers = brokers

    @property
    def url(self) -> str:
        return ",".join(broker.url for broker in self.brokers)

    def await_replicas(self) -> None:
        """Returns when each partition has all of its replicas in step."""
        eventually(self._in_sync, _IN_SYNC_SEC, lambda: "\n".join(broker.log_tail() for broker in self.brokers))

    def _in_sync(self) -> bool:
        try:
            with admin_client(self.url) as admin:
                found = admin.list_topics(timeout=5.0)
        except KafkaException:
            return False
        partitions = [partition for topic in found.topics.values() for partition in topic.partitions.values()]
        return len(found.brokers) == _BROKERS and all(len(one.isrs) == _BROKERS for one in partitions)


@contextmanager
def three_brokers() -> Iterator[Brokers]:
    java = find_java()
    try:
        class_path = fetch_kafka()
    except Unavailable as error:
        pytest.skip(str(error))
    assert java is not None
    cluster = base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
    with ExitStack() as stack:
        brokers = []
        for number in range(1, _BROKERS + 1):
            folder, guard = throwaway(default_folder()), Guard()
            folder.open()
            stack.callback(folder.remove)
            guard.start()
            stack.callback(guard.close)
            broker = Broker(folder, guard, java=java, class_path=class_path, number=number, cluster=cluster)
            brokers.append(broker)
        for broker in brokers:
            broker.voters = ",".join(other.controller for other in brokers)
        for broker in brokers:
            stack.callback(broker.kill)
            broker._prepare()
            broker._spawn()
        for broker in brokers:
            broker._await_answer()
        found = Brokers(brokers)
        found.await_replicas()
        yield found
