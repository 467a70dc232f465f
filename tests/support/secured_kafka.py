"""A broker of a test's own that wants TLS with a password, a token or a certificate, and has access rules."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import pytest
from confluent_kafka.admin import (
    AclBinding,
    AclOperation,
    AclPermissionType,
    ResourcePatternType,
    ResourceType,
    ScramCredentialInfo,
    ScramMechanism,
    UserScramCredentialUpsertion,
)

from app.devstack.folder import Folder, throwaway
from app.devstack.guard import Guard
from app.devstack.jars import Unavailable
from app.devstack.kafka import Kafka
from app.devstack.ports import choose
from app.devstack.stack import default_folder, fetch_kafka
from app.java import find_java
from tests.support.tls_front import certify
from tests.support.topics import admin_client

PASSWORD: Final = "a long password of the broker's users"
KEY_PASSWORD: Final = "the password of the key"
USER: Final = "reco"
"""May do everything, and so may the client with the certificate."""
LIMITED: Final = "limited"
"""May do what `allow` has allowed."""
SESSION_SEC: Final = 8
"""A connection that began with a token is closed after this time."""
_TIMEOUT_SEC: Final = 20.0
_LISTENERS: Final = """\
listeners=PLAINTEXT://127.0.0.1:{plain},CONTROLLER://127.0.0.1:{controller},SASL_SSL://{sasl},SSL://{tls}
advertised.listeners=PLAINTEXT://127.0.0.1:{plain},SASL_SSL://{sasl},SSL://{tls}
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,SASL_SSL:SASL_SSL,SSL:SSL
controller.listener.names=CONTROLLER
sasl.enabled.mechanisms=SCRAM-SHA-256,SCRAM-SHA-512,PLAIN,OAUTHBEARER
listener.name.sasl_ssl.scram-sha-256.sasl.jaas.config=org.apache.kafka.common.security.scram.ScramLoginModule required;
listener.name.sasl_ssl.scram-sha-512.sasl.jaas.config=org.apache.kafka.common.security.scram.ScramLoginModule required;
listener.name.sasl_ssl.plain.sasl.jaas.config=org.apache.kafka.common.security.plain.PlainLoginModule required \
user_reco="{password}";
listener.name.sasl_ssl.oauthbearer.sasl.jaas.config=\
org.apache.kafka.common.security.oauthbearer.OAuthBearerLoginModule required unsecuredLoginStringClaim_sub="broker";
listener.name.sasl_ssl.oauthbearer.connections.max.reauth.ms={session_ms}
listener.name.ssl.ssl.client.auth=required
ssl.keystore.type=PEM
ssl.keystore.location={keystore}
ssl.truststore.type=PEM
ssl.truststore.location={certificate}
authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer
super.users=User:ANONYMOUS;User:reco;User:CN=127.0.0.1
"""


class SecuredKafka(Kafka):
    """`sasl` and `tls` are its addresses for passwords and tokens, and for certificates. `certificate` is what clients
    trust; with `key`, which has a password, it is also a client's own.
    """

    def __init__(self, folder: Folder, guard: Guard, *, java: Path, class_path: str, certificate: Path) -> None:
        super().__init__(folder, guard, java=java, class_path=class_path)
        taken = {self.port, folder.port("kafka-controller")}
        sasl = choose(taken)
        self.sasl, self.tls = f"127.0.0.1:{sasl}", f"127.0.0.1:{choose({*taken, sasl})}"
        self.certificate = certificate
        self.key = certificate.with_name("client-key.pem")

    def allow(self, prefix: str) -> None:
        """Lets `LIMITED` use topics and groups whose names begin so, and not create them."""
        operations = [
            *((ResourceType.TOPIC, done) for done in (AclOperation.READ, AclOperation.WRITE, AclOperation.DESCRIBE)),
            (ResourceType.GROUP, AclOperation.READ),
        ]
        bindings = [
            AclBinding(
                kind,
                prefix,
                ResourcePatternType.PREFIXED,
                f"User:{LIMITED}",
                "*",
                operation,
                AclPermissionType.ALLOW,
            )
            for kind, operation in operations
        ]
        with admin_client(self.url) as admin:
            for done in admin.create_acls(bindings).values():
                done.result(_TIMEOUT_SEC)

    def _prepare(self) -> None:
        super()._prepare()
        listeners = _LISTENERS.format(
            plain=self.port,
            controller=self.folder.port("kafka-controller"),
            sasl=self.sasl,
            tls=self.tls,
            password=PASSWORD,
            session_ms=SESSION_SEC * 1000,
            keystore=self.certificate.with_name("keystore.pem"),
            certificate=self.certificate,
        )
        path = self.folder.root / "kafka" / "server.properties"
        own = [
            line
            for line in path.read_text().splitlines()
            if not any(name in line for name in ("listeners=", "protocol.map", "controller.listener.names"))
        ]
        path.write_text("\n".join([*own, listeners]))


@contextmanager
def secured_kafka(folder: Path) -> Iterator[SecuredKafka]:
    certificate = certify(folder)
    key = folder / "key.pem"
    (folder / "keystore.pem").write_text(key.read_text() + certificate.read_text())
    encrypt = ["openssl", "rsa", "-aes256", "-passout", f"pass:{KEY_PASSWORD}", "-in", str(key)]
    subprocess.run([*encrypt, "-out", str(folder / "client-key.pem")], check=True, capture_output=True)
    java = find_java()
    try:
        class_path = fetch_kafka()
    except Unavailable as error:
        pytest.skip(str(error))
    assert java is not None
    data, guard = throwaway(default_folder()), Guard()
    data.open()
    guard.start()
    kafka = SecuredKafka(data, guard, java=java, class_path=class_path, certificate=certificate)
    try:
        kafka.start()
        with admin_client(kafka.url) as admin:
            for user in (USER, LIMITED):
                for kind in (ScramMechanism.SCRAM_SHA_256, ScramMechanism.SCRAM_SHA_512):
                    credential = UserScramCredentialUpsertion(user, ScramCredentialInfo(kind, 4096), PASSWORD.encode())
                    for done in admin.alter_user_scram_credentials([credential]).values():
                        done.result(_TIMEOUT_SEC)
        yield kafka
    finally:
        kafka.stop()
        guard.close()
        data.remove()
