"""Every setting, read from the environment once, checked together.

`Settings.from_env` raises `UserError` with one message that names every error. Only the wiring and the commands read
the struct; everything below them takes plain values.
"""

import ipaddress
from collections.abc import Container, Mapping
from typing import Annotated, Any, Literal, get_type_hints

import msgspec
from msgspec import Meta, Struct

from app import kafka_settings, redis_settings
from app.core import segment_rules, variants
from app.core.database_url import check_database_url
from app.core.field_errors import field_error_of
from app.core.gorse_types import GorseTypes, parse_gorse_types
from app.core.kafka_servers import check_kafka_servers
from app.core.network_counts import parse_networks
from app.core.redis_url import check_redis_url, cluster_of
from app.core.segment_rules import NamedRule
from app.core.setting_names import is_injected, misspelt
from app.core.user_tokens import parse_secrets
from app.core.variants import Variant
from app.errors import UserError

Role = Literal["api", "relay", "consumer"]
ROLES: tuple[Role, ...] = ("api", "relay", "consumer")

Positive = Annotated[float, Meta(gt=0)]
# Postgres knows no times before 4713 BC.
Days = Annotated[float, Meta(gt=0, le=36_500)]
AtLeastOne = Annotated[int, Meta(ge=1)]
Port = Annotated[int, Meta(ge=1, le=65535)]
SecurityProtocol = Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"]
SaslMechanism = Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512", "OAUTHBEARER"]

OPEN_REMEDY = "set API_KEYS or API_KEYS_FILE (`reco key new NAME`), or HTTP_HOST=127.0.0.1"


class Settings(Struct, frozen=True, kw_only=True):
    """Field `db_pool_max_size` is the variable `DB_POOL_MAX_SIZE`. Times end in their unit."""

    role: frozenset[Role] = frozenset(ROLES)
    app_env: Literal["development", "test", "production"] = "development"
    log_format: Literal["json", "console"] = "json"
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"

    http_host: str = "0.0.0.0"  # noqa: S104 - a container's probes and peers come from outside
    http_port: Port = 8080
    http_reuse_port: bool = False
    http_request_timeout_sec: Positive = 5.0
    http_max_connections: Annotated[int, Meta(ge=0)] = 0
    http_trusted_proxies: tuple[str, ...] = ("127.0.0.1", "::1")
    cors_allow_origins: tuple[str, ...] = ()

    api_keys: tuple[str, ...] = ()
    api_keys_file: str = ""
    api_keys_in_query: bool = False
    user_token_secrets: tuple[str, ...] = ()
    user_token_secrets_file: str = ""
    browser_catalogue_only: bool = True
    browser_requests_per_minute: Annotated[int, Meta(ge=0)] = 300
    browser_new_visitors_per_minute: Annotated[int, Meta(ge=0)] = 300
    rate_limit_requests: Annotated[int, Meta(ge=0)] = 0
    rate_limit_window_sec: Positive = 10.0

    database_url: str
    database_direct_url: str = ""
    database_read_url: str = ""
    database_read_max_lag_sec: Annotated[float, Meta(ge=1)] = 2.0
    database_pooler: Literal["none", "transaction"] = "none"
    db_pool_min_size: AtLeastOne = 2
    db_pool_max_size: Annotated[int, Meta(ge=8)] = 12
    db_connect_timeout_sec: Positive = 3.0
    db_statement_timeout_ms: AtLeastOne = 5000
    db_lock_timeout_ms: AtLeastOne = 1000

    kafka_bootstrap_servers: str = ""
    kafka_security_protocol: SecurityProtocol = "PLAINTEXT"
    kafka_sasl_mechanism: SaslMechanism = "PLAIN"
    kafka_sasl_username: str = ""
    kafka_sasl_password: str = ""
    kafka_oauth_token_url: str = ""
    kafka_oauth_client_id: str = ""
    kafka_oauth_client_secret: str = ""
    kafka_oauth_scope: str = ""
    kafka_oauth_token_file: str = ""
    kafka_ssl_cafile: str = ""
    kafka_ssl_certfile: str = ""
    kafka_ssl_keyfile: str = ""
    kafka_ssl_key_password: str = ""
    kafka_topic_prefix: str = ""
    kafka_topic_partitions: AtLeastOne = 6
    kafka_topic_replication_factor: AtLeastOne = 1

    ingest_max_pending_events: AtLeastOne = 10_000
    ingest_flush_max_events: AtLeastOne = 2_000
    ingest_flushers: Annotated[int, Meta(ge=1, le=8)] = 2
    ingest_timeout_sec: Positive = 0.9

    event_times: Literal["refuse", "clamp", "keep"] = "refuse"
    segment_events: tuple[NamedRule, ...] = ()
    gorse_api: bool = False
    gorse_feedback: GorseTypes = {}

    outbox_max_attempts: AtLeastOne = 25
    outbox_relay_poll_interval_ms: AtLeastOne = 500
    outbox_relay_batch_size: Annotated[int, Meta(ge=1, le=10_000)] = 1000
    outbox_relay_base_retry_sec: Positive = 1.0
    outbox_relay_max_retry_sec: Positive = 300.0
    outbox_relay_publish_timeout_sec: Positive = 10.0

    feature_consumer_group: str = "recsys-feature-consumer-v1"
    feature_consumer_members: Annotated[int, Meta(ge=1, le=16)] = 2
    # Between two polls the consumer shows its lag and sees that it is to stop.
    feature_consumer_poll_timeout_ms: Annotated[int, Meta(ge=1, le=10_000)] = 200
    feature_consumer_max_poll_records: Annotated[int, Meta(ge=1, le=10_000)] = 1000
    feature_consumer_max_retries_per_message: AtLeastOne = 3
    feature_consumer_brake_retry_sec: Annotated[float, Meta(ge=0)] = 60.0
    feature_consumer_thin_pairs_lag: Annotated[int, Meta(ge=0)] = 100_000

    events_counted_within_sec: Annotated[float, Meta(ge=1)] = 900.0
    # See LEAST_DAYS.
    retention_events_days: Days = 35.0
    retention_dedupe_days: Days = 35.0
    retention_resolved_days: Days = 30.0
    retention_audit_days: Days = 180.0
    retention_sessions_days: Days = 1.0
    retention_histories_days: Days = 400.0
    retention_items_days: Days = 400.0
    # Lists read 260: 200 neighbours and 60 followers.
    retention_pairs_per_item: Annotated[int, Meta(ge=260)] = 300
    retention_pairs_days: Days = 7.0

    online_cache_enabled: bool = True
    online_cache_backend: Literal["redis", "memory"] = "redis"
    online_cache_strict_backend: bool = False
    online_cache_redis_url: str = "redis://127.0.0.1:6379/0"
    online_cache_redis_timeout_sec: Positive = 0.25
    online_cache_key_prefix: Annotated[str, Meta(max_length=64)] = ""
    online_cache_memory_max_keys: AtLeastOne = 100_000
    online_cache_history_ttl_sec: Positive = 86_400.0
    # At most as long as the feed of changes is kept: a process that was away for longer missed some.
    online_cache_related_ttl_sec: Annotated[float, Meta(gt=0, le=300)] = 300.0
    online_cache_popularity_ttl_sec: Positive = 0.5

    catalogue_only: bool = False
    exploration_share: Annotated[float, Meta(ge=0, le=0.5)] = 0.05
    exploration_seed: Annotated[str, Meta(max_length=64)] = "1"
    variants: tuple[Variant, ...] = ()
    experiment: Annotated[str, Meta(max_length=64)] = "1"
    ranking_learning: Literal["auto", "shadow", "off"] = "auto"

    shutdown_timeout_sec: Positive = 10.0
    shutdown_grace_sec: Annotated[float, Meta(ge=0)] = 2.0

    @classmethod
    def from_env(cls, environ: Mapping[str, str]) -> "Settings":
        """Reads and checks all of them. Raises `UserError` that lists every error."""
        environ = {name: text for name, text in environ.items() if not is_injected(name, text)}
        errors: list[str] = []
        wrong: set[str] = set()
        values: dict[str, Any] = {}
        hints = get_type_hints(cls, include_extras=True)
        for name, hint in hints.items():
            text = environ.get(name.upper(), "").strip()
            if not text:
                continue
            try:
                values[name] = _PARSERS[name](text) if name in _PARSERS else msgspec.convert(text, hint, strict=False)
            except ValueError as error:
                wrong.add(name)
                message = field_error_of(error, hint).message if isinstance(error, msgspec.ValidationError) else error
                shown = "(hidden)" if name in SECRETS else repr(text)
                errors.append(f"{name.upper()}={shown}: {message}")
        errors += misspelt(environ, hints)
        # An invalid value is not missing: it is named once.
        errors += [error for error in _missing(values, wrong) if error.partition(":")[0].lower() not in wrong]
        if errors:
            raise UserError("The settings are not usable:\n" + "\n".join(f"  - {error}" for error in errors))
        return cls(**values)

    @property
    def session_url(self) -> str:
        """Where a connection has a session of its own."""
        return self.database_direct_url or self.database_url

    @property
    def open_address(self) -> str | None:
        """The address on which anybody who reaches it may make every call, because no key is asked for. None where
        that is not so: with keys, without the role api, or on the loopback interface.
        """
        if "api" not in self.role or self.api_keys or self.api_keys_file or _is_loopback(self.http_host):
            return None
        host = f"[{self.http_host}]" if ":" in self.http_host else self.http_host
        return f"{host}:{self.http_port}"


SECRETS = frozenset(
    {"api_keys", "user_token_secrets", "database_url", "database_direct_url", "database_read_url"}
    | {"kafka_sasl_password", "kafka_oauth_client_secret", "kafka_ssl_key_password", "online_cache_redis_url"}
)


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _parse_role(text: str) -> frozenset[str]:
    names = [name.strip() for name in text.split(",") if name.strip()]
    unknown = [name for name in names if name not in (*ROLES, "all")]
    if unknown or not names:
        raise ValueError(f"unknown role {', '.join(unknown) or '(none)'}; a comma list of {', '.join(ROLES)}, or all")
    return frozenset(ROLES) if "all" in names else frozenset(names)


def _parse_list(text: str) -> tuple[str, ...]:
    return tuple(item.strip() for item in text.split(",") if item.strip())


LEAST_DAYS: Mapping[str, float] = {
    "retention_events_days": 1.0,
    # Copies of a message come for so long: see workers/retention.py.
    "retention_dedupe_days": 14.0,
    # As far back as a replay of events reaches: what was given up is neither told as uncounted nor sent again.
    "retention_resolved_days": 14.0,
    "retention_audit_days": 1.0,
    "retention_sessions_days": 1.0,
    "retention_histories_days": 1.0,
    "retention_items_days": 1.0,
    "retention_pairs_days": 1.0,
}
"""Of retention, unless APP_ENV=test: a test lets days pass in minutes."""

_PARSERS = {
    "role": _parse_role,
    "api_keys": _parse_list,
    "http_trusted_proxies": parse_networks,
    "cors_allow_origins": _parse_list,
    "user_token_secrets": parse_secrets,
    "database_url": check_database_url,
    "database_direct_url": check_database_url,
    "database_read_url": check_database_url,
    "kafka_bootstrap_servers": check_kafka_servers,
    "online_cache_redis_url": check_redis_url,
    "segment_events": segment_rules.parse,
    "gorse_feedback": parse_gorse_types,
    "variants": variants.parse,
}


def _missing(values: Mapping[str, Any], wrong: Container[str]) -> list[str]:
    errors = []
    if "database_url" not in values:
        errors.append("DATABASE_URL: not set; for example postgresql://reco:secret@localhost:5432/reco")
    if values.get("database_pooler") == "transaction" and not values.get("database_direct_url"):
        errors.append(
            "DATABASE_DIRECT_URL: needed by DATABASE_POOLER=transaction; the URL of the server itself, where "
            "migrations, LISTEN and commands have sessions"
        )
    prefix = values.get("online_cache_key_prefix", "")
    if "{" in prefix and (url := values.get("online_cache_redis_url")) and cluster_of(url) is not None:
        errors.append(
            "ONLINE_CACHE_KEY_PREFIX: a { in it would bring all keys to one slot of the Redis Cluster; remove it"
        )
    role = values.get("role", frozenset(ROLES))
    if role & {"relay", "consumer"} and not values.get("kafka_bootstrap_servers"):
        errors.append("KAFKA_BOOTSTRAP_SERVERS: not set, but the roles relay and consumer need it; host:port,host:port")
    if (
        values.get("app_env") == "production"
        and "api" in role
        and not (values.get("api_keys") or values.get("api_keys_file"))
    ):
        errors.append("API_KEYS or API_KEYS_FILE: needed when APP_ENV=production; `reco key new NAME` makes a key")
    errors += kafka_settings.faults(values, wrong)
    errors += redis_settings.faults(values)
    if values.get("app_env") != "test":
        errors += [
            f"{name.upper()}={values[name]:g}: must be at least {least:g}"
            for name, least in LEAST_DAYS.items()
            if values.get(name, least) < least
        ]
    least = values.get("db_pool_min_size", 2)
    if least > values.get("db_pool_max_size", 12):
        errors.append("DB_POOL_MIN_SIZE: greater than DB_POOL_MAX_SIZE")
    return errors
