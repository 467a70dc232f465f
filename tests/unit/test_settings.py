import pytest

from app import options
from app.adapters.changes import KEEP_SEC
from app.core.variants import parse
from app.errors import UserError
from app.settings import ROLES, Settings

MINIMUM = {"DATABASE_URL": "postgresql://reco@localhost/reco", "KAFKA_BOOTSTRAP_SERVERS": "localhost:9092"}


def test_the_least_that_is_needed_is_two_urls() -> None:
    settings = Settings.from_env(MINIMUM)
    assert settings.role == frozenset(ROLES)
    assert settings.outbox_max_attempts == 25
    assert settings.db_lock_timeout_ms == 1000


@pytest.mark.parametrize(
    ("text", "role"),
    [("api", {"api"}), ("relay, consumer", {"relay", "consumer"}), ("all", set(ROLES)), ("api,all", set(ROLES))],
)
def test_role_is_a_comma_list(text: str, role: set[str]) -> None:
    assert Settings.from_env({**MINIMUM, "ROLE": text}).role == role


def test_an_empty_variable_is_as_if_not_set() -> None:
    assert Settings.from_env({**MINIMUM, "HTTP_PORT": ""}).http_port == 8080


def test_values_are_read_by_type() -> None:
    settings = Settings.from_env(
        {
            **MINIMUM,
            "ONLINE_CACHE_STRICT_BACKEND": "true",
            "OUTBOX_RELAY_BASE_RETRY_SEC": "0.5",
            "CORS_ALLOW_ORIGINS": "https://a.example, https://b.example",
        }
    )
    assert settings.online_cache_strict_backend is True
    assert settings.outbox_relay_base_retry_sec == 0.5
    assert settings.cors_allow_origins == ("https://a.example", "https://b.example")


@pytest.mark.parametrize("days", ["inf", "1e9", "nan", "0"])
def test_days_that_no_date_of_the_database_can_be_back_are_refused(days: str) -> None:
    names = [f"RETENTION_{name}_DAYS" for name in ("EVENTS", "DEDUPE", "RESOLVED", "AUDIT", "HISTORIES", "PAIRS")]
    with pytest.raises(UserError) as caught:
        Settings.from_env({**MINIMUM, **dict.fromkeys(names, days)})
    assert all(f"{name}=" in str(caught.value) for name in names)


def test_several_bad_settings_are_named_in_one_message() -> None:
    with pytest.raises(UserError) as raised:
        Settings.from_env(
            {
                "ROLE": "api,relais",
                "HTTP_PORT": "0",
                "DB_POOL_MAX_SIZE": "many",
                "ONLINE_CACHE_BACKEND": "disk",
                "OUTBOX_MAX_ATEMPTS": "3",
                "KAFKA_SECURITY_PROTOCOL": "SASL_SSL",
            }
        )
    message = str(raised.value)
    for part in (
        "ROLE='api,relais': unknown role relais",
        "HTTP_PORT='0'",
        "DB_POOL_MAX_SIZE='many'",
        "ONLINE_CACHE_BACKEND='disk'",
        "did you mean OUTBOX_MAX_ATTEMPTS?",
        "DATABASE_URL: not set",
        "KAFKA_SASL_PASSWORD",
    ):
        assert part in message


def test_an_api_alone_needs_no_kafka_but_a_relay_does() -> None:
    database = {"DATABASE_URL": MINIMUM["DATABASE_URL"]}
    assert Settings.from_env({**database, "ROLE": "api"}).kafka_bootstrap_servers == ""
    with pytest.raises(UserError, match="KAFKA_BOOTSTRAP_SERVERS"):
        Settings.from_env({**database, "ROLE": "relay"})


def test_a_bad_url_is_refused_without_being_shown() -> None:
    with pytest.raises(UserError) as raised:
        Settings.from_env({**MINIMUM, "DATABASE_URL": "mysql://root:hunter2@db/reco"})
    assert "hunter2" not in str(raised.value)
    assert "postgresql://" in str(raised.value)


def test_bad_variants_are_named_beside_other_bad_settings() -> None:
    text = '[{"name": "bolder", "share": 0.1, "weights": {"recency": 0.9}}]'
    settings = Settings.from_env({**MINIMUM, "VARIANTS": text, "EXPERIMENT": "spring"})
    assert (settings.variants, settings.experiment) == (parse(text), "spring")
    bad = '[{"name": "control", "share": 0.1, "weights": {"shrinkage": 2}}]'
    with pytest.raises(UserError) as raised:
        Settings.from_env({**MINIMUM, "VARIANTS": bad, "HTTP_PORT": "0"})
    for part in (
        "VARIANTS=",
        "'control' is reserved",
        "weights.shrinkage",
        "those are popular_hours, popular_day",
        "HTTP_PORT='0'",
    ):
        assert part in str(raised.value)


def test_lists_are_not_kept_longer_than_the_feed_tells_what_changed_in_them() -> None:
    kept = {**MINIMUM, "ONLINE_CACHE_RELATED_TTL_SEC": str(KEEP_SEC)}
    assert Settings.from_env(kept).online_cache_related_ttl_sec == KEEP_SEC
    with pytest.raises(UserError, match="ONLINE_CACHE_RELATED_TTL_SEC"):
        Settings.from_env({**kept, "ONLINE_CACHE_RELATED_TTL_SEC": str(KEEP_SEC + 1)})


# What Kubernetes puts into a container of a namespace that has services of these names.
LINKS = {
    f"{service}_{name}": value
    for service in ("OUTBOX_RELAY", "FEATURE_CONSUMER", "API_KEYS", "HTTP", "INGEST_GATEWAY")
    for name, value in {
        "SERVICE_HOST": "10.96.0.7",
        "SERVICE_PORT": "80",
        "SERVICE_PORT_HTTP": "80",
        "PORT": "tcp://10.96.0.7:80",
        "PORT_80_TCP": "tcp://10.96.0.7:80",
        "PORT_80_TCP_PROTO": "tcp",
        "PORT_80_TCP_PORT": "80",
        "PORT_80_TCP_ADDR": "10.96.0.7",
    }.items()
}


def test_addresses_of_services_that_kubernetes_injects_are_no_settings() -> None:
    assert Settings.from_env({**MINIMUM, **LINKS}) == Settings.from_env(MINIMUM)


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("HTTP_PROT", "HTTP_PORT"),
        ("DB_POOL_MAXSIZE", "DB_POOL_MAX_SIZE"),
        ("KAFKA_TOPIC_PREFFIX", "KAFKA_TOPIC_PREFIX"),
        ("KAFKA_SASL_USER", "KAFKA_SASL_USERNAME"),
        ("LOG_LVL", "LOG_LEVEL"),
        ("LOGLEVEL", "LOG_LEVEL"),
        ("SHUTDOWN_TIMEOUT", "SHUTDOWN_TIMEOUT_SEC"),
        ("EXPLORATION_SHARES", "EXPLORATION_SHARE"),
        ("CORS_ALLOWED_ORIGINS", "CORS_ALLOW_ORIGINS"),
        ("DATABASE_URI", "DATABASE_URL"),
        ("KAFKA_BOOTSTRAP_SERVER", "KAFKA_BOOTSTRAP_SERVERS"),
        ("API_KEY", "API_KEYS"),
        ("CORS_ORIGINS", "CORS_ALLOW_ORIGINS"),
        ("EVENTS_RETENTION_DAYS", "RETENTION_EVENTS_DAYS"),
        ("http_port", "HTTP_PORT"),
        ("RECO_LOG_LEVEL", "LOG_LEVEL"),
        ("FEATURE_CONSUMER_POLL_TIMEOUT", "FEATURE_CONSUMER_POLL_TIMEOUT_MS"),
    ],
)
def test_misspelt_setting_is_refused_with_the_one_that_was_meant(name: str, meant: str) -> None:
    with pytest.raises(UserError) as error:
        Settings.from_env({**MINIMUM, name: "x"})
    assert f"{name}: no such setting; did you mean {meant}?" in str(error.value)


def test_unknown_setting_that_is_like_no_other_is_refused_with_those_of_its_prefix() -> None:
    with pytest.raises(UserError, match=r"CLIENT_ID: no such setting; there are .*FEATURE_CONSUMER_GROUP,"):
        Settings.from_env({**MINIMUM, "FEATURE_CONSUMER_CLIENT_ID": "x"})


@pytest.mark.parametrize(
    "name",
    [
        *(
            "HTTP_PROXY",
            "HTTPS_PROXY",
            "NO_PROXY",
            "LOG_DIR",
            "LOG_FILE",
            "KAFKA_HOME",
            "KAFKA_OPTS",
            "KAFKA_HEAP_OPTS",
        ),
        *(
            "DB_HOST",
            "DB_PORT",
            "DB_USER",
            "DATABASE_URL_TEST",
            "REDIS_URL",
            "APP_NAME",
            "APP_HOME",
            "PGHOST",
            "HOSTNAME",
        ),
        *("PORT", "HOST", "SHELL", "PATH", "TERM", "RECO_API_KEY", "DATABASE_NAME", "AWS_ROLE_ARN", "SSL_CERT_FILE"),
    ],
)
def test_variable_of_another_program_is_left_alone(name: str) -> None:
    assert Settings.from_env({**MINIMUM, name: "x"}) == Settings.from_env(MINIMUM)


@pytest.mark.parametrize("name", ["OUTBOX_RELAY_PORT", "OUTBOX_RELAY_SERVICE", "INGEST_SERVICE_HOSTS"])
def test_a_misspelt_setting_that_only_looks_injected_is_refused(name: str) -> None:
    with pytest.raises(UserError, match=name):
        Settings.from_env({**MINIMUM, name: "80"})


@pytest.mark.parametrize(
    ("given", "address"),
    [
        ({}, "0.0.0.0:8080"),
        ({"HTTP_HOST": "::"}, "[::]:8080"),
        ({"HTTP_HOST": "api.example"}, "api.example:8080"),
        ({"HTTP_HOST": "127.0.0.1"}, None),
        ({"HTTP_HOST": "::1"}, None),
        ({"HTTP_HOST": "localhost"}, None),
        ({"API_KEYS": "shop:write:sha256-0"}, None),
        ({"API_KEYS_FILE": "keys"}, None),
        ({"ROLE": "relay"}, None),
    ],
)
def test_an_address_is_open_without_keys_outside_of_loopback(given: dict[str, str], address: str | None) -> None:
    assert Settings.from_env({**MINIMUM, **given}).open_address == address


@pytest.mark.parametrize(("own", "prefix"), [({}, "staging."), ({"ONLINE_CACHE_KEY_PREFIX": "shared."}, "shared.")])
def test_keys_in_redis_go_by_the_prefix_of_the_topics_unless_they_have_their_own(
    own: dict[str, str], prefix: str
) -> None:
    settings = Settings.from_env({**MINIMUM, "KAFKA_TOPIC_PREFIX": "staging.", **own})
    assert options.cache_key_prefix(settings) == prefix
