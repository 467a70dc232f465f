"""Every metric, with its meaning: a closed list, so that the docs and the dashboards can be checked against it."""

from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, disable_created_metrics, generate_latest
from prometheus_client.gc_collector import GCCollector
from prometheus_client.platform_collector import PlatformCollector
from prometheus_client.process_collector import ProcessCollector

from app.fast_metrics import FastCounter, FastHistogram

disable_created_metrics()  # type: ignore[no-untyped-call]  # a second series for every counter, which nobody asks for

REGISTRY: Final = CollectorRegistry(auto_describe=True)
ProcessCollector(registry=REGISTRY)
PlatformCollector(registry=REGISTRY)
GCCollector(registry=REGISTRY)

_LATENCY_MS: Final = (1, 2, 5, 10, 20, 30, 50, 75, 100, 150, 250, 500, 1000, 2500, 5000, 10_000)
_LAG_MS: Final = (10, 25, 50, 100, 200, 300, 500, 1000, 2000, 5000, 15_000, 60_000, 300_000, 3_600_000, 86_400_000)


def _counter(name: str, meaning: str, *labels: str) -> Counter:
    return Counter(name, meaning, labels, registry=REGISTRY)


def _gauge(name: str, meaning: str, *labels: str) -> Gauge:
    return Gauge(name, meaning, labels, registry=REGISTRY)


def _histogram(name: str, meaning: str, *labels: str, buckets: tuple[int, ...] = _LATENCY_MS) -> Histogram:
    return Histogram(name, meaning, labels, registry=REGISTRY, buckets=buckets)


# HTTP
API_REQUESTS: Final = FastCounter(
    REGISTRY, "reco_api_requests_total", "Answered requests by status family: 2xx to 5xx", "status_family"
)
API_LATENCY: Final = FastHistogram(
    REGISTRY,
    "reco_api_latency_ms",
    "Time to answer a request, by path template; (none) for an unknown path",
    "route",
    buckets=_LATENCY_MS,
)
API_CHECK: Final = _gauge(
    "reco_api_check_status",
    "1 while a check passes: the readiness of the process, a dependency or the work of a task by name, the files of "
    "API keys and of the secrets of user tokens",
    "scope",
    "check",
)
API_REFUSED: Final = _counter(
    "reco_api_refused_total",
    "Refused requests by reason: no_key, unknown_key, scope, rate_limit, no_visitor, user_token, other_user, "
    "visitor_limit, new_visitors (of keys for browsers), malformed (not HTTP), url_too_long, "
    "head_too_large, late (the head did not come in time), connections (ended or refused because there were too many)",
    "reason",
)
API_KEYS_REFUSED: Final = _counter(
    "reco_api_keys_refused_total",
    "Wrong API keys, limited ones included; the log has a line for each address and minute",
)
HTTP_CONNECTIONS: Final = _gauge("reco_http_connections", "Open connections of clients")
RATE_LIMIT_ALONE: Final = _counter(
    "reco_rate_limit_redis_errors_total", "Rate limit decisions made without Redis, because it did not answer"
)
STAGE_LATENCY: Final = FastHistogram(
    REGISTRY,
    "reco_stage_latency_ms",
    "Duration of one stage: ingest_flush, rank, relay_publish, consumer_transaction, analytics_rollup",
    "stage",
    buckets=_LATENCY_MS,
)

# Ingest
INGEST_EVENTS: Final = _counter(
    "reco_ingest_events_total",
    "Events by outcome: accepted, duplicate, conflict, invalid, impression_dropped",
    "outcome",
)
USER_LINKS_REFUSED: Final = _counter(
    "reco_user_links_refused_total", "Links between ids that were not made, because one of the ids has too many"
)
EVENT_TIMES: Final = _counter(
    "reco_event_times_total",
    "Events whose time was not taken as it came, by what it is (late: more than 7 days; early: more than 5 minutes "
    "ahead; clock: of a wrong clock, as `sent_at` says) and what became of it: refuse, clamp, keep, correct",
    "kind",
    "outcome",
)
SEGMENT_MESSAGES: Final = _counter(
    "reco_segment_messages_total",
    "Messages of Segment's protocol by type and outcome: mapped, unmapped (no rule makes an event of it), invalid (in "
    "whole or in part). The log names each kind of the last two once",
    "type",
    "outcome",
)
INGEST_PENDING: Final = _gauge("reco_ingest_pending_events", "Events in the ingest buffer")
INGEST_FLUSH_EVENTS: Final = _histogram(
    "reco_ingest_flush_events",
    "Events in one commit",
    buckets=(1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000),
)

# Outbox relay
RELAY_PUBLISHED: Final = _counter("reco_outbox_relay_published_total", "Outbox rows acknowledged by Kafka and deleted")
RELAY_ERRORS: Final = _counter(
    "reco_outbox_relay_errors_total",
    "Failed turns of the relay's loop, by the dependency that was down: postgres, kafka",
    "kind",
)
RELAY_RETRIED: Final = _counter("reco_outbox_relay_retried_total", "Rows rescheduled after an error of their own")
RELAY_FAILED: Final = _counter("reco_outbox_relay_failed_total", "Rows that turned dead")
RELAY_EVENT_LAG: Final = FastHistogram(
    REGISTRY,
    "reco_outbox_relay_event_lag_ms",
    "Time from the commit of an outbox row to Kafka's acknowledgement",
    buckets=_LAG_MS,
)
OUTBOX_BACKLOG: Final = _gauge("reco_outbox_backlog_events", "Outbox rows by status: pending, dead", "status")
OUTBOX_OLDEST: Final = _gauge("reco_outbox_backlog_oldest_lag_ms", "Age of the oldest pending outbox row")

# Feature consumer
CONSUMER_LAG: Final = _gauge(
    "reco_feature_consumer_partition_lag",
    "Messages between the committed offset and the end of the partition",
    "topic",
    "partition",
)
CONSUMER_THINS: Final = _gauge(
    "reco_feature_consumer_thins_pairs",
    "1 while the member is behind by FEATURE_CONSUMER_THIN_PAIRS_LAG and counts only a part of the pairs",
    "member",
)
CONSUMER_PROCESSED: Final = _counter(
    "reco_feature_consumer_processed_total",
    "Messages by outcome: applied, duplicate, retried, dlq",
    "status",
)
CONSUMER_ERRORS: Final = _counter(
    "reco_feature_consumer_errors_total",
    "Errors of the consumer by kind: postgres, kafka, redis (down), commit (of offsets, refused), unreadable_batch, "
    "Braked (the brake holds a message), or the type of any other error",
    "kind",
)
CONSUMER_EVENT_LAG: Final = FastHistogram(
    REGISTRY,
    "reco_feature_consumer_event_lag_ms",
    "Time from the event's own time to the commit of its features",
    buckets=_LAG_MS,
)
CONSUMER_BATCH: Final = _histogram(
    "reco_feature_consumer_batch_events",
    "Messages in one transaction",
    buckets=(1, 2, 5, 10, 50, 100, 250, 500, 1000, 2000),
)
WATCH_TO_FEATURE: Final = FastHistogram(
    REGISTRY,
    "reco_watch_event_to_feature_latency_ms",
    "Time from the receipt of a watch to the commit of its features",
    buckets=_LAG_MS,
)
DLQ_EVENTS: Final = _counter(
    "reco_feature_consumer_dlq_events_total",
    "Dead letters by outcome: stored; replayed or discarded by an operator; recovered (replayed and then counted)",
    "outcome",
)
for _outcome in ("stored", "replayed", "discarded", "recovered"):
    DLQ_EVENTS.labels(_outcome)  # from 0 on, so that the first one is an increase
DLQ_BACKLOG: Final = _gauge(
    "reco_feature_consumer_dlq_backlog", "Dead letters by status: pending, replayed, discarded", "status"
)
DLQ_OLDEST: Final = _gauge("reco_feature_consumer_dlq_oldest_pending_ms", "Age of the oldest pending dead letter")

# Learned ranking. Only the process that learns has the figures.
_OF_WHOM: Final = (
    "of the latest sampled events, by contender: served, learned, fixed (constants), popularity, before (what served "
    "before); by items: all, or new to the user"
)
RANKING_HIT_RATE: Final = _gauge("reco_ranking_hit_rate", f"Hit rate@20 {_OF_WHOM}", "contender", "items")
RANKING_NDCG: Final = _gauge("reco_ranking_ndcg", f"NDCG@20 {_OF_WHOM}", "contender", "items")
RANKING_MRR: Final = _gauge("reco_ranking_mrr", f"Mean reciprocal rank@20 {_OF_WHOM}", "contender", "items")
RANKING_TESTS: Final = _gauge(
    "reco_ranking_tests", "Tests that the figures of the ranking rest on, by items: all, new", "items"
)
RANKING_VERSION_TESTS: Final = _gauge(
    "reco_ranking_version_tests", "Tests of the version that serves; from 500 on, its figures are of these alone"
)
RANKING_VERSION: Final = _gauge(
    "reco_ranking_version", "The version of the ranking's weights that this process serves (`reco model list`)"
)
LEARNER_SAMPLES: Final = _counter(
    "reco_ranking_samples_total",
    "Sampled events by result: taught, no_lists (dropped, because what ranking reads was not at hand), full (dropped, "
    "because the learner is behind), late (of an event that came more than an hour after later ones, or after others "
    "of its user), not_finite (dropped for its features), failed (an error, see the log)",
    "result",
)

# Process
BUILD_INFO: Final = _gauge("reco_build_info", "Always 1; the labels name the build that runs", "version", "revision")
TASK_RUNNING: Final = _gauge("reco_task_running", "1 while a supervised task runs", "task")
TASK_RESTARTS: Final = _counter("reco_task_restarts_total", "Restarts of a supervised task", "task")
LOOP_LAG: Final = _histogram(
    "reco_event_loop_lag_ms",
    "Delay of the event loop when it wakes a sleeping task",
    buckets=(1, 2, 5, 10, 20, 50, 100, 250, 1000),
)
POOL_CONNECTIONS: Final = _gauge(
    "reco_database_pool_connections", "Connections of the pool by state: idle, busy", "state"
)
DATABASE_ERRORS: Final = _counter(
    "reco_database_errors_total",
    "Failed statements by kind: lock, timeout, connection, read_only, duplicate_key, statement",
    "kind",
)
DATABASE_LATENCY: Final = _histogram("reco_database_latency_ms", "Round trip of the health probe")
DATABASE_DEAD_ROWS: Final = _gauge(
    "reco_database_dead_rows", "Dead rows of a table that vacuum has not removed yet", "table"
)
DATABASE_OLDEST_TRANSACTION: Final = _gauge(
    "reco_database_oldest_transaction_seconds",
    "Age of the oldest open transaction, which keeps vacuum from removing rows",
)

# Online cache
CACHE_READS: Final = FastCounter(
    REGISTRY, "reco_online_cache_reads_total", "Reads by cache and result: hit, stale, miss", "cache", "result"
)
CACHE_BACKEND: Final = _gauge(
    "reco_online_cache_backend", "1 for the backend in use, 0 for the other one (`reco cache use`)", "backend"
)
CACHE_CHOSEN: Final = _gauge(
    "reco_online_cache_chosen",
    "1 while the backend is the one that an operator chose (`reco cache use`), 0 while ONLINE_CACHE_BACKEND decides",
)
CACHE_EPOCHS: Final = _counter(
    "reco_online_cache_epochs_total",
    "New cache epochs, after which every cached history is read from Postgres once, by reason: redis or postgres "
    "(restarted, restored or replaced), write (one missed Redis). In a Redis Cluster, those of some slot groups",
    "reason",
)
CACHE_BREAKER_OPEN: Final = _gauge(
    "reco_online_cache_breaker_open", "1 while the breaker skips Redis, or a master of a cluster is passed over"
)

TOPIC_SETTING_WRONG: Final = _gauge(
    "reco_topic_setting_wrong", "1 while Kafka may drop unread messages by this setting of a topic", "topic", "setting"
)

# Maintenance
EVENTS_UNCOUNTED: Final = _gauge(
    "reco_events_uncounted", "Accepted events that were not counted within EVENTS_COUNTED_WITHIN_SEC, up to 10,000"
)
MAINTENANCE_DELETED: Final = _counter(
    "reco_maintenance_deleted_rows_total",
    "Rows deleted because they expired or were beyond a bound (RETENTION_*), by table",
    "table",
)

# KPIs of the last seven days, from the same sums as /analytics/baseline
KPI_SHOWN: Final = _gauge(
    "reco_kpi_shown_places",
    "Impressions at the positions 0 to 19 in the last seven days, by source: those of /reco, unknown (none), other",
    "source",
)
KPI_CLICKED: Final = _gauge("reco_kpi_clicked_places", "Those of reco_kpi_shown_places that were clicked", "source")
KPI_ITEMS_SHOWN: Final = _gauge(
    "reco_kpi_items_shown", "Distinct items of the catalogue shown at the positions 0 to 19 in the last seven days"
)
KPI_CATALOGUE: Final = _gauge("reco_kpi_catalogue_items", "Items in the catalogue; without one, all items seen so far")


def render() -> bytes:
    """The exposition of `/metrics`, in the Prometheus text format."""
    return generate_latest(REGISTRY)
