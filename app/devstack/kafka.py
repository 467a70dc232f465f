"""Apache Kafka as one KRaft node, broker and controller in one process; or librdkafka's mock cluster in its place."""

import base64
import shutil
import socket
import struct
import sys
import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from app.devstack.folder import Folder
from app.devstack.guard import Guard
from app.devstack.server import Server, run_to_end

_PROBE_TIMEOUT_SEC: Final = 1.0
# A heap that suits a laptop; the first compiler tier and the serial collector start fastest.
_JAVA_OPTIONS: Final = (
    "-Xmx512m",
    "-XX:TieredStopAtLevel=1",
    "-XX:+UseSerialGC",
    "-XX:-UsePerfData",
    "-Dorg.slf4j.simpleLogger.showDateTime=true",
    "-Dorg.slf4j.simpleLogger.dateTimeFormat=yyyy-MM-dd HH:mm:ss.SSS",
    "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn",
    "-Dorg.slf4j.simpleLogger.log.kafka.server.KafkaRaftServer=info",
)
# After a kill the controller registers the broker again only when its former session has expired.
_CONFIGURATION: Final = """\
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:{controller_port}
listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller_port}
advertised.listeners=PLAINTEXT://127.0.0.1:{port}
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT
controller.listener.names=CONTROLLER
inter.broker.listener.name=PLAINTEXT
log.dirs={logs}
num.partitions=6
default.replication.factor=1
min.insync.replicas=1
offsets.topic.num.partitions=4
offsets.topic.replication.factor=1
transaction.state.log.num.partitions=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
share.coordinator.state.topic.num.partitions=1
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
group.initial.rebalance.delay.ms=0
broker.session.timeout.ms=2000
broker.heartbeat.interval.ms=500
group.min.session.timeout.ms=1000
log.cleaner.dedupe.buffer.size=8388608
log.index.size.max.bytes=1048576
file.delete.delay.ms=1000
"""


class Kafka(Server):
    name = "kafka"

    def __init__(self, folder: Folder, guard: Guard, *, java: Path, class_path: str) -> None:
        super().__init__(folder, guard)
        self.port = folder.port(self.name)
        self._controller_port = folder.port("kafka-controller")
        self._java = [str(java), *_JAVA_OPTIONS, "-cp", class_path]
        self._home = folder.root / "kafka"

    @property
    def url(self) -> str:
        return f"127.0.0.1:{self.port}"

    def _prepare(self) -> None:
        logs = self._home / "logs"
        self._home.mkdir(exist_ok=True)
        escaped = str(logs).replace("\\", "\\\\")
        (self._home / "server.properties").write_text(
            _CONFIGURATION.format(port=self.port, controller_port=self._controller_port, logs=escaped)
        )
        if not (logs / "meta.properties").exists():
            shutil.rmtree(logs, ignore_errors=True)
            cluster = base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
            tool = ["kafka.tools.StorageTool", "format", "--config", f"{self._home}/server.properties"]
            run_to_end([*self._java, *tool, f"--cluster-id={cluster}"], self.log_file, "Formatting Kafka's log")

    def _command(self) -> Sequence[str]:
        return [*self._java, "kafka.Kafka", str(self._home / "server.properties")]

    def _answers(self) -> bool:
        """Requests the API versions; the broker answers once it serves clients."""
        header = struct.pack(">hhih", 18, 0, 1, -1)  # ApiVersions, version 0, correlation id 1, no client id
        try:
            with socket.create_connection(("127.0.0.1", self.port), _PROBE_TIMEOUT_SEC) as connection:
                connection.sendall(struct.pack(">i", len(header)) + header)
                answer = connection.recv(10, socket.MSG_WAITALL)
        except OSError:
            return False
        return answer[4:] == struct.pack(">ih", 1, 0)


class MockKafka(Server):
    """librdkafka's mock, used without the jars or Java: in memory, no admin API, another port after each start."""

    name = "kafka"

    def __init__(self, folder: Folder, guard: Guard, *, topics: Sequence[str]) -> None:
        super().__init__(folder, guard)
        self._topics = topics

    @property
    def url(self) -> str:
        return self._address_file.read_text()

    @property
    def _address_file(self) -> Path:
        return self.folder.root / "kafka" / "mock-address"

    def _prepare(self) -> None:
        self._address_file.parent.mkdir(exist_ok=True)
        self._address_file.unlink(missing_ok=True)

    def _command(self) -> Sequence[str]:
        script = Path(__file__).with_name("mock_kafka.py")
        return [sys.executable, str(script), str(self._address_file), *self._topics]

    def _answers(self) -> bool:
        return self._address_file.exists()
