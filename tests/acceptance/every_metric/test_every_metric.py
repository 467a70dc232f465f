"""The running service moves every metric, and every value of its labels that the metric's meaning names."""

import re
from typing import Final

import pytest

from app import metrics_page
from tests.acceptance.every_metric.recording import Recording

pytestmark = pytest.mark.slow

ROWS: Final = {name: meaning for name, _, _, meaning in metrics_page.rows()}

# By metric and label: the values that the meaning promises and that a run can bring about.
VALUES: Final = {
    ("reco_api_requests_total", "status_family"): "2xx 3xx 4xx 5xx",
    (
        "reco_api_refused_total",
        "reason",
    ): (
        "no_key unknown_key scope rate_limit no_visitor user_token other_user visitor_limit new_visitors malformed"
        " url_too_long head_too_large late connections"
    ),
    ("reco_api_check_status", "scope"): "process dependency keys",
    ("reco_stage_latency_ms", "stage"): "ingest_flush rank relay_publish consumer_transaction analytics_rollup",
    ("reco_ingest_events_total", "outcome"): "accepted duplicate conflict invalid impression_dropped",
    ("reco_event_times_total", "kind"): "late early clock",
    ("reco_event_times_total", "outcome"): "clamp keep correct",
    ("reco_segment_messages_total", "outcome"): "mapped unmapped invalid",
    ("reco_outbox_relay_errors_total", "kind"): "postgres kafka",
    ("reco_outbox_backlog_events", "status"): "pending dead",
    ("reco_feature_consumer_processed_total", "status"): "applied duplicate retried dlq",
    ("reco_feature_consumer_errors_total", "kind"): "postgres kafka redis unreadable_batch",
    ("reco_feature_consumer_dlq_events_total", "outcome"): "stored replayed discarded recovered",
    ("reco_feature_consumer_dlq_backlog", "status"): "pending replayed discarded",
    ("reco_database_pool_connections", "state"): "idle busy",
    ("reco_database_errors_total", "kind"): "lock timeout connection read_only duplicate_key statement",
    ("reco_online_cache_reads_total", "result"): "hit stale miss",
    ("reco_online_cache_epochs_total", "reason"): "redis postgres write",
    **{
        (f"reco_ranking_{figure}", "contender"): "served learned fixed popularity before"
        for figure in ("hit_rate", "ndcg", "mrr")
    },
    ("reco_ranking_tests", "items"): "all new",
    ("reco_ranking_samples_total", "result"): "taught no_lists",
    ("reco_maintenance_deleted_rows_total", "table"): (
        "events feature_event_consumed feature_consumer_dlq event_outbox sessions"
    ),
}

# Why a promised value is missing above.
NOT_BROUGHT_ABOUT: Final = {
    ("reco_event_times_total", "refuse"): "the default of EVENT_TIMES: tests/acceptance/test_refused_events.py",
    **{
        (
            "reco_kpi_shown_places",
            source,
        ): "impressions of clients' own lists: tests/integration/test_analytics_bounds.py"
        for source in ("other", "unknown")
    },
    **{
        ("reco_ranking_samples_total", result): "tests/integration/test_learner.py, tests/unit/test_sampler.py"
        for result in ("full", "late", "not_finite", "failed")
    },
    ("reco_feature_consumer_errors_total", "Braked"): (
        "many messages in a row that fail for their data: tests/faults/test_database.py"
    ),
    ("reco_feature_consumer_errors_total", "commit"): (
        "a group that changes between poll and commit: tests/faults/test_killed.py, consumers that come and go"
    ),
}


@pytest.mark.parametrize("name", ROWS)
def test_every_metric_is_moved_by_the_running_service(recording: Recording, name: str) -> None:
    assert recording.moved(name)


@pytest.mark.parametrize(("name", "label"), VALUES, ids=" ".join)
def test_every_promised_value_of_a_label_comes_about(recording: Recording, name: str, label: str) -> None:
    assert set(VALUES[name, label].split()) <= recording.values(name, label)


def test_a_value_that_a_meaning_lists_is_promised_here() -> None:
    for name, meaning in ROWS.items():
        _, _, listed = re.sub(r" ?\([^)]*\)", "", meaning).partition(": ")
        values = {word for part in listed.split(",") if (word := part.strip()) and " " not in word}
        promised = {value for (metric, _), texts in VALUES.items() if metric == name for value in texts.split()}
        excepted = {value for metric, value in NOT_BROUGHT_ABOUT if metric == name}
        if len(values) > 1:
            assert values <= promised | excepted, name
