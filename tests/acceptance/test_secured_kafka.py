"""The service on a Kafka as companies have it: TLS, passwords, tokens, certificates, and rights that end somewhere."""

from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from click.testing import CliRunner
from confluent_kafka.admin import NewTopic

from app.cli import main
from app.core.events import TOPICS
from tests.support.database import ask
from tests.support.identity_provider import CLIENT_ID, CLIENT_SECRET, SCOPE, identity_provider, unsigned_token
from tests.support.secured_kafka import KEY_PASSWORD, LIMITED, PASSWORD, SESSION_SEC, USER, SecuredKafka, secured_kafka
from tests.support.service import Service, eventually, running
from tests.support.topics import admin_client


@pytest.fixture(scope="module")
def kafka_of_a_company(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SecuredKafka]:
    with secured_kafka(tmp_path_factory.mktemp("secured")) as kafka:
        yield kafka


def with_password(kafka: SecuredKafka, mechanism: str, user: str = USER) -> dict[str, str]:
    return {
        "KAFKA_BOOTSTRAP_SERVERS": kafka.sasl,
        "KAFKA_SECURITY_PROTOCOL": "SASL_SSL",
        "KAFKA_SASL_MECHANISM": mechanism,
        "KAFKA_SASL_USERNAME": user,
        "KAFKA_SASL_PASSWORD": PASSWORD,
        "KAFKA_SSL_CAFILE": str(kafka.certificate),
    }


def with_token(kafka: SecuredKafka, **source: str) -> dict[str, str]:
    return {
        "KAFKA_BOOTSTRAP_SERVERS": kafka.sasl,
        "KAFKA_SECURITY_PROTOCOL": "SASL_SSL",
        "KAFKA_SASL_MECHANISM": "OAUTHBEARER",
        "KAFKA_SSL_CAFILE": str(kafka.certificate),
        **source,
    }


def with_certificate(kafka: SecuredKafka) -> dict[str, str]:
    return {
        "KAFKA_BOOTSTRAP_SERVERS": kafka.tls,
        "KAFKA_SECURITY_PROTOCOL": "SSL",
        "KAFKA_SSL_CAFILE": str(kafka.certificate),
        "KAFKA_SSL_CERTFILE": str(kafka.certificate),
        "KAFKA_SSL_KEYFILE": str(kafka.key),
        "KAFKA_SSL_KEY_PASSWORD": KEY_PASSWORD,
    }


def count_one_more(service: Service, database_url: str) -> None:
    counted = "SELECT count(*) FROM feature_event_consumed"
    before = ask(database_url, counted)
    event = {"event_type": "view", "user_id": "ann", "session_id": "s1", "item_id": f"alien{before}"}
    assert service.client.post("/event", json=event).status_code == 202
    eventually(lambda: ask(database_url, counted) == before + 1, 30.0, service.describe)


def told_why_kafka_is_down(environment: Mapping[str, str], reason: str) -> None:
    """The process serves on, and says it."""
    service = Service(environment)
    try:
        eventually(lambda: service.status("/healthz"), describe=service.describe)
        eventually(lambda: reason in str(service.readiness()["dependencies"]["kafka"]["error"]), 30.0, service.describe)
    finally:
        service.close()


@pytest.mark.slow
@pytest.mark.shows(
    "KAFKA_SECURITY_PROTOCOL", "KAFKA_SASL_MECHANISM", "KAFKA_SASL_USERNAME", "KAFKA_SASL_PASSWORD", "KAFKA_SSL_CAFILE"
)
def test_service_counts_events_through_a_kafka_with_tls_and_passwords(
    environment: dict[str, str], database_url: str, kafka_of_a_company: SecuredKafka
) -> None:
    secured = {**environment, **with_password(kafka_of_a_company, "SCRAM-SHA-256")}
    with running(secured) as service:
        count_one_more(service, database_url)
    told_why_kafka_is_down({**secured, "KAFKA_SASL_PASSWORD": "another"}, "SaslAuthenticationFailed")


@pytest.mark.slow
@pytest.mark.parametrize("mechanism", ["SCRAM-SHA-512", "PLAIN"])
def test_other_kinds_of_passwords_let_the_service_in(
    environment: dict[str, str], database_url: str, kafka_of_a_company: SecuredKafka, mechanism: str
) -> None:
    with running({**environment, **with_password(kafka_of_a_company, mechanism)}) as service:
        count_one_more(service, database_url)


@pytest.mark.slow
@pytest.mark.shows("KAFKA_SSL_CERTFILE", "KAFKA_SSL_KEYFILE", "KAFKA_SSL_KEY_PASSWORD")
def test_service_counts_events_through_a_kafka_that_wants_a_certificate(
    environment: dict[str, str], database_url: str, kafka_of_a_company: SecuredKafka
) -> None:
    secured = {**environment, **with_certificate(kafka_of_a_company)}
    with running(secured) as service:
        count_one_more(service, database_url)
    without = {name: value for name, value in secured.items() if "CERTFILE" not in name and "SSL_KEY" not in name}
    told_why_kafka_is_down(without, kafka_of_a_company.tls)


@pytest.mark.slow
@pytest.mark.shows("KAFKA_OAUTH_TOKEN_URL", "KAFKA_OAUTH_CLIENT_ID", "KAFKA_OAUTH_CLIENT_SECRET", "KAFKA_OAUTH_SCOPE")
def test_tokens_that_expire_are_renewed_while_events_are_counted(
    environment: dict[str, str], database_url: str, kafka_of_a_company: SecuredKafka
) -> None:
    """The broker closes each connection when its session ends."""
    with identity_provider(life_sec=SESSION_SEC) as provider:
        source = {
            "KAFKA_OAUTH_TOKEN_URL": provider.url,
            "KAFKA_OAUTH_CLIENT_ID": CLIENT_ID,
            "KAFKA_OAUTH_CLIENT_SECRET": CLIENT_SECRET,
            "KAFKA_OAUTH_SCOPE": SCOPE,
        }
        secured = {**environment, **with_token(kafka_of_a_company, **source)}
        with running(secured) as service:
            count_one_more(service, database_url)
            asked = provider.given
            eventually(lambda: provider.given > asked, 30.0, service.describe)
            count_one_more(service, database_url)
        told_why_kafka_is_down({**secured, "KAFKA_OAUTH_CLIENT_SECRET": "another"}, "invalid_client")


@pytest.mark.slow
@pytest.mark.shows("KAFKA_OAUTH_TOKEN_FILE")
def test_token_in_a_file_lets_the_service_in(
    environment: dict[str, str], database_url: str, kafka_of_a_company: SecuredKafka, tmp_path: Path
) -> None:
    file = tmp_path / "token"
    file.write_text(unsigned_token(life_sec=3600.0) + "\n")
    secured = {**environment, **with_token(kafka_of_a_company, KAFKA_OAUTH_TOKEN_FILE=str(file))}
    with running(secured) as service:
        count_one_more(service, database_url)
    file.write_text("")
    told_why_kafka_is_down(secured, f"KAFKA_OAUTH_TOKEN_FILE: {file} is empty")


@pytest.mark.slow
def test_missing_right_to_create_topics_is_told_with_the_way_to_make_them(
    environment: dict[str, str], database_url: str, topic_prefix: str, kafka_of_a_company: SecuredKafka
) -> None:
    """Events are taken meanwhile, and counted once an operator has made the topics."""
    kafka_of_a_company.allow(topic_prefix)
    secured = {**environment, **with_password(kafka_of_a_company, "SCRAM-SHA-256", LIMITED)}
    service = Service(secured)
    try:
        eventually(lambda: service.status("/healthz"), describe=service.describe)
        event = {"event_type": "view", "user_id": "ann", "session_id": "s1", "item_id": "alien"}
        eventually(lambda: service.client.post("/event", json=event).status_code == 202, 30.0, service.describe)
        advice = "kafka-topics.sh --create --topic NAME --partitions 2 --replication-factor 1"
        for task in ("outbox-relay", "feature-consumer"):
            eventually(lambda task=task: advice in str(service.readiness()["tasks"][task]), 30.0, service.describe)
        said = str(service.readiness()["tasks"]["feature-consumer"])
        assert all(topic_prefix + topic in said for topic in TOPICS)
        told = CliRunner(env=secured).invoke(main, ["doctor"]).output
        assert "kafka-topics.sh --create" in told
        with admin_client(kafka_of_a_company.url) as admin:
            for made in admin.create_topics([NewTopic(topic_prefix + topic, 2, 1) for topic in TOPICS]).values():
                made.result(20.0)
        counted = "SELECT count(*) FROM feature_event_consumed"
        eventually(lambda: ask(database_url, counted) == 1, 30.0, service.describe)
        eventually(lambda: service.readiness()["status"] == "ready", 30.0, service.describe)
    finally:
        service.close()
