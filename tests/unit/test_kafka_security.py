"""Settings of Kafka's security: each fault is named at once; and tokens, which are renewed before they expire."""

import asyncio
from pathlib import Path

import pytest
from aiokafka.errors import KafkaConnectionError, KafkaError, RequestTimedOutError

from app.adapters import kafka_tokens
from app.adapters.kafka import KafkaOptions
from app.adapters.kafka_bounds import bounded_again
from app.adapters.kafka_tokens import OAuthOptions, Tokens
from app.errors import DependencyDown, UserError
from app.settings import Settings
from tests.support.identity_provider import CLIENT_ID, CLIENT_SECRET, SCOPE, IdentityProvider, identity_provider
from tests.support.pipeline import until
from tests.support.tls_front import certify

MINIMAL = {"DATABASE_URL": "postgresql://reco@localhost/reco", "KAFKA_BOOTSTRAP_SERVERS": "one:9092"}
OAUTH = {"KAFKA_SECURITY_PROTOCOL": "SASL_SSL", "KAFKA_SASL_MECHANISM": "OAUTHBEARER"}


def refused(changes: dict[str, str]) -> str:
    with pytest.raises(UserError) as error:
        Settings.from_env(MINIMAL | changes)
    return str(error.value)


def test_every_fault_of_the_security_settings_is_in_one_message(tmp_path: Path) -> None:
    said = refused(
        OAUTH
        | {
            "KAFKA_OAUTH_TOKEN_URL": "provider/token",
            "KAFKA_OAUTH_CLIENT_ID": "reco",
            "KAFKA_SSL_CAFILE": str(tmp_path / "missing.pem"),
            "KAFKA_SSL_KEYFILE": "key.pem",
        }
    )
    assert "KAFKA_OAUTH_CLIENT_SECRET: needed by KAFKA_OAUTH_TOKEN_URL" in said
    assert "KAFKA_OAUTH_TOKEN_URL: expected https://host/path" in said
    assert "KAFKA_SSL_CAFILE: No such file or directory" in said
    assert "KAFKA_SSL_KEYFILE: needs KAFKA_SSL_CERTFILE" in said


@pytest.mark.parametrize(
    "wrong",
    [
        {"KAFKA_SECURITY_PROTOCOL": "sasl_ssl", "KAFKA_SASL_USERNAME": "ann", "KAFKA_SASL_PASSWORD": "x"},
        {"KAFKA_SECURITY_PROTOCOL": "SASL_SSL", "KAFKA_SASL_MECHANISM": "OAUTH", "KAFKA_OAUTH_SCOPE": "kafka"},
    ],
)
def test_unknown_protocol_or_mechanism_is_the_only_fault(wrong: dict[str, str]) -> None:
    """What belongs to it is not known, so that none of it is called missing or superfluous."""
    said = refused(wrong | {"KAFKA_SSL_CAFILE": "/ca.pem"})
    assert len(said.splitlines()) == 2, said


def test_a_token_has_one_source_and_a_use() -> None:
    both = {"KAFKA_OAUTH_TOKEN_URL": "https://provider/token", "KAFKA_OAUTH_TOKEN_FILE": "/run/token"}
    assert "needs one of the two" in refused(OAUTH)
    assert "needs one of the two" in refused(OAUTH | both)
    in_url = {"KAFKA_OAUTH_TOKEN_URL": "https://reco:hunter2@provider/token", "KAFKA_OAUTH_CLIENT_ID": "reco"}
    assert "without a login" in refused(OAUTH | in_url)
    unused = refused({"KAFKA_OAUTH_SCOPE": "kafka", "KAFKA_SSL_CERTFILE": "a.pem"})
    assert "KAFKA_OAUTH_SCOPE: used with KAFKA_SECURITY_PROTOCOL=SASL_*" in unused
    assert "KAFKA_SSL_CERTFILE: used with KAFKA_SECURITY_PROTOCOL=SSL or SASL_SSL only" in unused
    login = refused({"KAFKA_SASL_USERNAME": "ann", "KAFKA_SASL_PASSWORD": "x", "KAFKA_SSL_CAFILE": "a.pem"})
    assert "KAFKA_SASL_USERNAME: used with KAFKA_SECURITY_PROTOCOL=SASL_* only" in login
    assert "KAFKA_SASL_PASSWORD: used with KAFKA_SECURITY_PROTOCOL=SASL_* only" in login
    assert "KAFKA_SSL_CAFILE: used with KAFKA_SECURITY_PROTOCOL=SSL or SASL_SSL only" in login
    settings = Settings.from_env(MINIMAL | OAUTH | {"KAFKA_OAUTH_TOKEN_FILE": "/run/token"})
    assert settings.kafka_oauth_token_file == "/run/token"


def test_certificate_and_key_are_read_at_the_start_and_for_each_client(tmp_path: Path) -> None:
    certificate = certify(tmp_path)
    key = tmp_path / "key.pem"
    files = {"KAFKA_SSL_CERTFILE": str(certificate), "KAFKA_SSL_KEYFILE": str(key)}
    Settings.from_env(MINIMAL | files | {"KAFKA_SECURITY_PROTOCOL": "SSL"})
    options = KafkaOptions(
        bootstrap_servers="one:9093",
        client_id="reco",
        security_protocol="SSL",
        ssl_certfile=str(certificate),
        ssl_keyfile=str(key),
    )
    assert options.client_arguments()["ssl_context"]
    key.write_text("no key")
    assert "KAFKA_SSL_CERTFILE, KAFKA_SSL_KEYFILE" in refused(files | {"KAFKA_SECURITY_PROTOCOL": "SSL"})
    with pytest.raises(UserError, match="certificates for Kafka"):
        options.client_arguments()


def tokens_of(provider: IdentityProvider, secret: str = CLIENT_SECRET) -> Tokens:
    return Tokens(OAuthOptions(token_url=provider.url, client_id=CLIENT_ID, client_secret=secret, scope=SCOPE))


async def test_token_is_shared_until_it_is_renewed_and_outlives_its_provider(monkeypatch: pytest.MonkeyPatch) -> None:
    with identity_provider(life_sec=3600.0) as provider:
        tokens = tokens_of(provider)
        first = await tokens.token()
        assert await tokens.token() == first
        assert provider.given == 1
        monkeypatch.setattr(kafka_tokens, "_RENEW_AT", -1.0)
        due = tokens_of(provider)
        second = await due.token()
        provider.away = True
        assert await due.token() == second
        with pytest.raises(KafkaError, match=r"503.*temporarily_unavailable"):
            await tokens_of(provider).token()


async def test_token_that_has_not_expired_waits_for_no_silent_provider(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kafka_tokens, "_RENEW_AT", -1.0)
    with identity_provider(life_sec=3600.0) as provider:
        tokens = tokens_of(provider)
        first = await tokens.token()
        provider.answers.clear()
        try:
            async with asyncio.timeout(3.0):  # the provider has longer
                assert await tokens.token() == first
                assert await tokens.token() == first
        finally:
            provider.answers.set()

        async def is_renewed() -> bool:
            return await tokens.token() != first

        await until(is_renewed)


async def test_token_that_a_first_caller_had_no_time_for_is_there_for_the_next_one() -> None:
    with identity_provider(life_sec=3600.0) as provider:
        tokens = tokens_of(provider)
        provider.answers.clear()
        hurried = asyncio.create_task(tokens.token())
        await asyncio.sleep(0)
        hurried.cancel()
        provider.answers.set()
        assert await tokens.token()
        assert provider.given == 1


@pytest.mark.parametrize(
    ("life", "instead", "said"),
    [
        ("soon", b"", "expires_in of the answer is not a number of seconds"),
        ([60], b"", "expires_in of the answer is not a number of seconds"),
        ("NaN", b"", "expires_in of the answer is not a number of seconds"),
        (60, b"220 mail.example ESMTP\r\n", "BadStatusLine"),
        (60, b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n{", "JSONDecodeError"),
        (60, b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n[]", "not a JSON object"),
    ],
)
async def test_provider_that_makes_no_sense_is_told(life: object, instead: bytes, said: str) -> None:
    with identity_provider(3600.0) as provider:
        provider.told_life, provider.instead = life, instead
        with pytest.raises(KafkaError, match=f"KAFKA_OAUTH_TOKEN_URL gave no token.*{said}"):
            await tokens_of(provider).token()


async def test_life_of_a_token_may_be_a_text() -> None:
    with identity_provider(3600.0) as provider:
        provider.told_life = "3600"
        tokens = tokens_of(provider)
        assert await tokens.token() == await tokens.token()
        assert provider.given == 1


async def test_refusals_of_a_provider_are_passed_on(tmp_path: Path) -> None:
    with identity_provider(life_sec=0.0) as provider, pytest.raises(KafkaError, match=r"401.*invalid_client"):
        await tokens_of(provider, secret="another").token()
    with pytest.raises(KafkaError, match="KAFKA_OAUTH_TOKEN_URL gave no token"):
        await tokens_of(provider).token()
    with pytest.raises(KafkaError, match="KAFKA_OAUTH_TOKEN_FILE: FileNotFoundError"):
        await Tokens(OAuthOptions(token_file=str(tmp_path / "none"))).token()


async def test_call_on_a_connection_that_was_closed_is_made_once_more() -> None:
    failures: list[KafkaError] = []
    made = 0

    async def call() -> int:
        nonlocal made
        made += 1
        if failures:
            raise failures.pop()
        return made

    failures = [KafkaConnectionError()]
    assert await bounded_again(call, 1.0) == 2
    for others in ([KafkaConnectionError(), KafkaConnectionError()], [RequestTimedOutError()]):
        failures = list(others)
        with pytest.raises(DependencyDown):
            await bounded_again(call, 1.0)
        assert not failures
