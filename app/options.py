"""Turns the settings into the options of each part, so that nothing below depends on the settings."""

from pathlib import Path
from typing import TYPE_CHECKING

from app.adapters.kafka import KafkaOptions, TopicOptions
from app.adapters.kafka_tokens import OAuthOptions, Tokens
from app.adapters.pool_options import PoolOptions
from app.adapters.secret_file import SecretFile
from app.core import keys
from app.core.keys import KeyRing
from app.core.user_tokens import UserTokens
from app.settings import Settings
from workers.relay import RelayOptions
from workers.retention import RetentionOptions

if TYPE_CHECKING:
    from workers.consumer import ConsumerOptions


# Of the clocks and of a server that ends a transaction for its time.
_INSERT_SPARE_SEC = 5.0


def ranks(settings: Settings) -> bool:
    """Whether the process answers recommendations, or learns to."""
    return "api" in settings.role or ("consumer" in settings.role and settings.ranking_learning != "off")


def pool_options(settings: Settings) -> PoolOptions:
    return PoolOptions(
        min_size=settings.db_pool_min_size,
        max_size=settings.db_pool_max_size,
        connect_timeout_sec=settings.db_connect_timeout_sec,
        statement_timeout_ms=settings.db_statement_timeout_ms,
        lock_timeout_ms=settings.db_lock_timeout_ms,
        has_sessions=settings.database_pooler == "none",
        application_name="reco " + ",".join(sorted(settings.role)),
        transaction_timeout_sec=max(
            # The relay publishes inside its transaction.
            settings.outbox_relay_publish_timeout_sec + 10.0,
            4 * settings.db_statement_timeout_ms / 1000,
        ),
    )


def kafka_options(settings: Settings) -> KafkaOptions:
    return KafkaOptions(
        bootstrap_servers=settings.kafka_bootstrap_servers,
        client_id="reco",
        security_protocol=settings.kafka_security_protocol,
        sasl_mechanism=settings.kafka_sasl_mechanism,
        sasl_username=settings.kafka_sasl_username,
        sasl_password=settings.kafka_sasl_password,
        ssl_cafile=settings.kafka_ssl_cafile,
        ssl_certfile=settings.kafka_ssl_certfile,
        ssl_keyfile=settings.kafka_ssl_keyfile,
        ssl_key_password=settings.kafka_ssl_key_password,
        tokens=_tokens(settings),
    )


def _tokens(settings: Settings) -> Tokens | None:
    if settings.kafka_sasl_mechanism != "OAUTHBEARER":
        return None
    return Tokens(
        OAuthOptions(
            token_file=settings.kafka_oauth_token_file,
            token_url=settings.kafka_oauth_token_url,
            client_id=settings.kafka_oauth_client_id,
            client_secret=settings.kafka_oauth_client_secret,
            scope=settings.kafka_oauth_scope,
        )
    )


def retention_options(settings: Settings) -> RetentionOptions:
    return RetentionOptions(
        events_days=settings.retention_events_days,
        dedupe_days=settings.retention_dedupe_days,
        resolved_days=settings.retention_resolved_days,
        audit_days=settings.retention_audit_days,
        sessions_days=settings.retention_sessions_days,
        histories_days=settings.retention_histories_days,
        items_days=settings.retention_items_days,
        pairs_per_item=settings.retention_pairs_per_item,
        pairs_days=settings.retention_pairs_days,
        lock_timeout_ms=settings.db_lock_timeout_ms,
    )


def relay_options(settings: Settings) -> RelayOptions:
    return RelayOptions(
        batch_size=settings.outbox_relay_batch_size,
        poll_interval_sec=settings.outbox_relay_poll_interval_ms / 1000,
        publish_timeout_sec=settings.outbox_relay_publish_timeout_sec,
        max_attempts=settings.outbox_max_attempts,
        base_retry_sec=settings.outbox_relay_base_retry_sec,
        max_retry_sec=settings.outbox_relay_max_retry_sec,
        statement_timeout_sec=settings.db_statement_timeout_ms / 1000,
        longest_insert_sec=pool_options(settings).transaction_timeout_sec + _INSERT_SPARE_SEC,
        topics=topic_options(settings),
    )


def consumer_options(settings: Settings) -> "ConsumerOptions":
    from workers.consumer import ConsumerOptions

    return ConsumerOptions(
        group=settings.kafka_topic_prefix + settings.feature_consumer_group,
        poll_timeout_ms=settings.feature_consumer_poll_timeout_ms,
        max_poll_records=settings.feature_consumer_max_poll_records,
        max_retries_per_message=settings.feature_consumer_max_retries_per_message,
        statement_timeout_sec=settings.db_statement_timeout_ms / 1000,
        brake_retry_sec=settings.feature_consumer_brake_retry_sec,
        thin_pairs_lag=settings.feature_consumer_thin_pairs_lag,
        topics=topic_options(settings),
    )


def key_source(settings: Settings) -> SecretFile[KeyRing] | None:
    """None when no keys are configured."""
    if not settings.api_keys and not settings.api_keys_file:
        return None
    file = Path(settings.api_keys_file) if settings.api_keys_file else None
    return SecretFile(keys.parse_some, settings.api_keys, file, setting="API_KEYS", check="file")


def token_secrets(settings: Settings) -> SecretFile[UserTokens]:
    """A file has to have one: an empty one may be half written."""
    file = Path(settings.user_token_secrets_file) if settings.user_token_secrets_file else None
    parse = UserTokens.of if file is None else UserTokens.of_some
    return SecretFile(parse, settings.user_token_secrets, file, setting="USER_TOKEN_SECRETS", check="user_tokens")


def cache_key_prefix(settings: Settings) -> str:
    """Environments that keep their topics apart keep their keys apart too."""
    return settings.online_cache_key_prefix or settings.kafka_topic_prefix


def topic_options(settings: Settings) -> TopicOptions:
    return TopicOptions(
        prefix=settings.kafka_topic_prefix,
        partitions=settings.kafka_topic_partitions,
        replication_factor=settings.kafka_topic_replication_factor,
    )
