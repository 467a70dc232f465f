"""What the security settings turn into, and which errors are the row's own."""

import ssl

import pytest
from aiokafka.errors import (
    KafkaConnectionError,
    KafkaTimeoutError,
    MessageSizeTooLargeError,
    NotEnoughReplicasError,
    TopicAuthorizationFailedError,
    UnknownTopicOrPartitionError,
)

from app.adapters import kafka
from app.adapters.kafka import KafkaOptions
from app.errors import UserError
from app.settings import Settings

MINIMAL = {"DATABASE_URL": "postgresql://reco@localhost/reco", "KAFKA_BOOTSTRAP_SERVERS": "one:9092, two:9093"}


def test_plain_connections_need_the_servers_alone() -> None:
    arguments = KafkaOptions(bootstrap_servers="one:9092, two:9093,", client_id="reco").client_arguments()
    assert arguments["bootstrap_servers"] == ["one:9092", "two:9093"]
    assert arguments["security_protocol"] == "PLAINTEXT"
    assert not {"ssl_context", "sasl_mechanism"} & set(arguments)


@pytest.mark.parametrize("mechanism", ["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"])
@pytest.mark.parametrize("protocol", ["SASL_PLAINTEXT", "SASL_SSL"])
def test_sasl_and_tls_settings_pass_through(protocol: str, mechanism: str) -> None:
    settings = Settings.from_env(
        MINIMAL
        | {
            "KAFKA_SECURITY_PROTOCOL": protocol,
            "KAFKA_SASL_MECHANISM": mechanism,
            "KAFKA_SASL_USERNAME": "reco",
            "KAFKA_SASL_PASSWORD": "secret",
        }
    )
    arguments = KafkaOptions(
        bootstrap_servers=settings.kafka_bootstrap_servers,
        client_id="reco",
        security_protocol=settings.kafka_security_protocol,
        sasl_mechanism=settings.kafka_sasl_mechanism,
        sasl_username=settings.kafka_sasl_username,
        sasl_password=settings.kafka_sasl_password,
    ).client_arguments()
    assert arguments["security_protocol"] == protocol
    assert arguments["sasl_mechanism"] == mechanism
    assert (arguments["sasl_plain_username"], arguments["sasl_plain_password"]) == ("reco", "secret")
    assert ("ssl_context" in arguments) == (protocol == "SASL_SSL")


def test_tls_checks_the_servers_certificate() -> None:
    context = KafkaOptions(bootstrap_servers="one:9093", client_id="reco", security_protocol="SSL").client_arguments()[
        "ssl_context"
    ]
    assert context.verify_mode == ssl.CERT_REQUIRED
    assert context.check_hostname


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"KAFKA_SECURITY_PROTOCOL": "SASL_SSL"}, "KAFKA_SASL_USERNAME"),
        ({"KAFKA_SECURITY_PROTOCOL": "TLS"}, "KAFKA_SECURITY_PROTOCOL"),
        ({"KAFKA_SASL_MECHANISM": "GSSAPI"}, "KAFKA_SASL_MECHANISM"),
        ({"KAFKA_BOOTSTRAP_SERVERS": ""}, "KAFKA_BOOTSTRAP_SERVERS"),
        ({"RETENTION_DEDUPE_DAYS": "7"}, "RETENTION_DEDUPE_DAYS=7: must be at least 14"),
        ({"RETENTION_RESOLVED_DAYS": "7"}, "RETENTION_RESOLVED_DAYS=7: must be at least 14"),
        ({"RETENTION_HISTORIES_DAYS": "0.5"}, "RETENTION_HISTORIES_DAYS=0.5: must be at least 1"),
        ({"RETENTION_PAIRS_DAYS": "0", "APP_ENV": "test"}, "RETENTION_PAIRS_DAYS"),
    ],
)
def test_settings_that_cannot_work_are_named(changes: dict[str, str], named: str) -> None:
    with pytest.raises(UserError, match=named):
        Settings.from_env(MINIMAL | changes)


@pytest.mark.parametrize(
    ("servers", "said"),
    [
        ("SASL_SSL://pkc-1.example:9092", "leave SASL_SSL:// out, and set KAFKA_SECURITY_PROTOCOL=SASL_SSL"),
        ("kafka://one:9092", "leave kafka:// out; expected host:port"),
        ("one:abc,two:9092", "one:abc: expected host:port"),
        ("one:9092;two:9092", "one:9092;two:9092: expected host:port, several separated by commas"),
        ("one:9092 two:9092", "several separated by commas"),
        ("::1:9092", "an IPv6 address in brackets"),
        ("one:70000", "one:70000: a port is a number from 1 to 65535"),
        (",", "expected host:port"),
    ],
)
def test_servers_that_no_client_could_read_are_named_at_the_start(servers: str, said: str) -> None:
    with pytest.raises(UserError) as refused:
        Settings.from_env(MINIMAL | {"KAFKA_BOOTSTRAP_SERVERS": servers})
    assert said in str(refused.value)


@pytest.mark.parametrize("servers", ["one", "[::1]:9092,[fe80::1]", "one.example.:9092, two:9093,"])
def test_servers_as_the_client_reads_them_are_taken(servers: str) -> None:
    assert Settings.from_env(MINIMAL | {"KAFKA_BOOTSTRAP_SERVERS": servers}).kafka_bootstrap_servers == servers


def test_a_test_may_keep_rows_for_minutes() -> None:
    settings = Settings.from_env(MINIMAL | {"APP_ENV": "test", "RETENTION_DEDUPE_DAYS": "0.01"})
    assert settings.retention_dedupe_days == 0.01


@pytest.mark.parametrize(
    ("error", "of_row"),
    [
        (MessageSizeTooLargeError(), True),
        (TopicAuthorizationFailedError(), True),
        (UnknownTopicOrPartitionError(), True),
        (KafkaConnectionError(), False),
        (KafkaTimeoutError(), False),
        (NotEnoughReplicasError(), False),
        (OSError(), False),
    ],
)
def test_only_what_is_wrong_with_the_row_costs_an_attempt(error: Exception, of_row: bool) -> None:
    assert kafka.is_row_error(error) is of_row
