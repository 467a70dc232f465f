"""The service on a Kafka that wants TLS and passwords: a real broker of the test's own."""

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest
from confluent_kafka.admin import (
    AdminClient,
    ScramCredentialInfo,
    ScramMechanism,
    UserScramCredentialUpsertion,
)

from app.devstack.folder import Folder, throwaway
from app.devstack.guard import Guard
from app.devstack.jars import Unavailable
from app.devstack.kafka import Kafka, find_java
from app.devstack.ports import choose
from app.devstack.stack import default_folder, fetch_kafka
from tests.support.database import ask
from tests.support.service import Service, eventually, running

_PASSWORD: Final = "a long password of the broker's user"
_TIMEOUT_SEC: Final = 20.0
_LISTENER: Final = """\
listeners=PLAINTEXT://127.0.0.1:{plain},CONTROLLER://127.0.0.1:{controller},SASL_SSL://127.0.0.1:{secured}
advertised.listeners=PLAINTEXT://127.0.0.1:{plain},SASL_SSL://127.0.0.1:{secured}
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,SASL_SSL:SASL_SSL
sasl.enabled.mechanisms=SCRAM-SHA-256
listener.name.sasl_ssl.scram-sha-256.sasl.jaas.config=org.apache.kafka.common.security.scram.ScramLoginModule required;
ssl.keystore.type=PEM
ssl.keystore.location={keystore}
"""


class SecuredKafka(Kafka):
    """With one more listener, which takes TLS and SCRAM-SHA-256 only."""

    def __init__(self, folder: Folder, guard: Guard, *, java: Path, class_path: str, keystore: Path) -> None:
        super().__init__(folder, guard, java=java, class_path=class_path)
        port = choose({self.port, folder.port("kafka-controller")})
        self.secured = f"127.0.0.1:{port}"
        self._keystore = keystore

    def _prepare(self) -> None:
        super()._prepare()
        listener = _LISTENER.format(
            plain=self.port,
            controller=self.folder.port("kafka-controller"),
            secured=self.secured.rpartition(":")[2],
            keystore=self._keystore,
        )
        path = self.folder.root / "kafka" / "server.properties"
        own = [
            line for line in path.read_text().splitlines() if "listeners=" not in line and "protocol.map" not in line
        ]
        path.write_text("\n".join([*own, "controller.listener.names=CONTROLLER", listener]))


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    """A certificate for 127.0.0.1 that signs itself; `keystore.pem` beside it has its key too."""
    if shutil.which("openssl") is None:
        pytest.skip("openssl is not installed (Debian: apt install openssl)")
    certificate, key = tmp_path / "ca.pem", tmp_path / "key.pem"
    made = ["-newkey", "rsa:2048", "-nodes", "-keyout", str(key), "-out", str(certificate), "-days", "2"]
    names = ["-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1"]
    subprocess.run(["openssl", "req", "-x509", *made, *names], check=True, capture_output=True)
    (tmp_path / "keystore.pem").write_text(key.read_text() + certificate.read_text())
    return certificate


@pytest.fixture
def secured_kafka(certificate: Path) -> Iterator[SecuredKafka]:
    java = find_java()
    try:
        class_path = fetch_kafka()
    except Unavailable as error:
        pytest.skip(str(error))
    assert java is not None
    folder, guard = throwaway(default_folder()), Guard()
    folder.open()
    guard.start()
    keystore = certificate.with_name("keystore.pem")
    kafka = SecuredKafka(folder, guard, java=java, class_path=class_path, keystore=keystore)
    try:
        kafka.start()
        credential = ScramCredentialInfo(ScramMechanism.SCRAM_SHA_256, 4096)
        user = UserScramCredentialUpsertion("reco", credential, _PASSWORD.encode())
        admin = AdminClient({"bootstrap.servers": kafka.url, "log_level": 0})
        for done in admin.alter_user_scram_credentials([user]).values():
            done.result(_TIMEOUT_SEC)
        yield kafka
    finally:
        kafka.stop()
        guard.close()
        folder.remove()


@pytest.mark.shows(
    "KAFKA_SECURITY_PROTOCOL", "KAFKA_SASL_MECHANISM", "KAFKA_SASL_USERNAME", "KAFKA_SASL_PASSWORD", "KAFKA_SSL_CAFILE"
)
def test_service_counts_events_through_a_kafka_with_tls_and_passwords(
    environment: dict[str, str], database_url: str, secured_kafka: SecuredKafka, certificate: Path
) -> None:
    secured = {
        **environment,
        "KAFKA_BOOTSTRAP_SERVERS": secured_kafka.secured,
        "KAFKA_SECURITY_PROTOCOL": "SASL_SSL",
        "KAFKA_SASL_MECHANISM": "SCRAM-SHA-256",
        "KAFKA_SASL_USERNAME": "reco",
        "KAFKA_SASL_PASSWORD": _PASSWORD,
        "KAFKA_SSL_CAFILE": str(certificate),
    }
    with running(secured) as service:
        event = {"event_type": "view", "user_id": "ann", "session_id": "s1", "item_id": "alien"}
        assert service.client.post("/event", json=event).status_code == 202
        counted = "SELECT count(*) FROM feature_event_consumed"
        eventually(lambda: ask(database_url, counted) == 1, 30.0, service.describe)
    wrong = Service({**secured, "KAFKA_SASL_PASSWORD": "another"})
    try:
        eventually(lambda: wrong.status("/healthz"), describe=wrong.describe)
        eventually(lambda: wrong.readiness()["dependencies"]["kafka"]["state"] == "down", 30.0, describe=wrong.describe)
    finally:
        wrong.close()
