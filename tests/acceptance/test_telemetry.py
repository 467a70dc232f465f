"""Traces and metrics by OTLP, as a collector gets them from a running service; and nothing where nobody asks."""

import subprocess
import sys
from collections.abc import Iterator
from typing import Any, Final

import psycopg
import pytest
from click.testing import CliRunner

from app.cli import main
from app.core import keys
from app.devstack import Stack
from tests.support.collector import Collector, attributes, collecting
from tests.support.database import ask
from tests.support.service import ROOT, Service, eventually, running
from tests.support.shared_environment import shared_environment

OPERATE, TOKEN = keys.make("ops", ["admin"], "o" * 43)
TRACE: Final = "4bf92f3577b34da6a3ce929d0e0e4736"
PARENT: Final = "00f067aa0ba902b7"
STATE: Final = "congo=t61rcWkgMzE,rojo=00f067aa0ba902b7"
POISON: Final = """
INSERT INTO event_outbox (event_id, topic, message_key, payload, traceparent, tracestate)
VALUES ('poison-1', 'recsys.interactions.v1', 'ann', 'no JSON', %s, %s)
"""
IMPORTED: Final = """
import sys
import app.main, app.roles.api, app.roles.workers, app.wiring, workers.consumer
print([name for name in sys.modules if name.startswith(("opentelemetry.exporter", "opentelemetry.sdk.trace"))])
"""


@pytest.fixture(scope="module")
def collector() -> Iterator[Collector]:
    with collecting() as found:
        yield found


@pytest.fixture(scope="module")
def service(stack: Stack, template_database: str, redis_base_url: str, collector: Collector) -> Iterator[Service]:
    environment = shared_environment(stack, template_database, redis_base_url, "telemetry", API_KEYS=OPERATE.entry())
    variables = {
        "OTEL_EXPORTER_OTLP_ENDPOINT": collector.url,
        "OTEL_SERVICE_NAME": "shop-reco",
        "OTEL_RESOURCE_ATTRIBUTES": "deployment.environment=test",
        "OTEL_METRIC_EXPORT_INTERVAL": "500",
        "OTEL_BSP_SCHEDULE_DELAY": "200",
    }
    with environment as settings, running({**settings, **variables}) as started:
        started.client.headers["x-api-key"] = TOKEN
        eventually(started.reads_all, describe=started.describe)  # or a batch comes twice
        yield started


def headers(trace_id: str, flags: str = "01") -> dict[str, str]:
    return {"traceparent": f"00-{trace_id}-{PARENT}-{flags}", "tracestate": STATE}


def view(event_id: str, item_id: str = "tent") -> dict[str, Any]:
    return {"event_id": event_id, "event_type": "view", "user_id": "ann", "session_id": "s", "item_id": item_id}


def test_an_event_is_followed_to_its_features(service: Service, collector: Collector) -> None:
    events = [view("event-of-trace-1"), view("event-of-trace-2", "stove")]
    assert service.client.post("/log/batch", json={"events": events}, headers=headers(TRACE)).json()["accepted"] == 2
    names = {"POST /log/batch", "publish recsys.interactions.v1", "process recsys.interactions.v1", "features"}
    eventually(lambda: {span.name for span in collector.spans(TRACE)} >= names, describe=service.describe)
    by_name = {span.name: span for span in collector.spans(TRACE)}
    request, published = by_name["POST /log/batch"], by_name["publish recsys.interactions.v1"]
    processed, counted = by_name["process recsys.interactions.v1"], by_name["features"]
    assert request.parent_span_id.hex() == PARENT
    assert published.parent_span_id == request.span_id
    assert processed.parent_span_id == published.span_id
    assert counted.parent_span_id == processed.span_id
    assert {span.trace_state for span in (request, published, processed, counted)} == {STATE}
    assert (request.kind, published.kind, processed.kind) == (2, 4, 5)
    assert attributes(request)["http.route"] == "/log/batch"
    assert attributes(published)["messaging.batch.message_count"] == 2
    assert processed.start_time_unix_nano <= counted.end_time_unix_nano <= processed.end_time_unix_nano
    flushes = [span for span in collector.named("ingest_flush") if span.links]
    assert request.span_id in {link.span_id for span in flushes for link in span.links}
    assert collector.resources[0]["service.name"] == "shop-reco"
    assert collector.resources[0]["deployment.environment"] == "test"
    assert collector.resources[0]["reco.role"] == "api,consumer,relay"


def test_a_recommendation_shows_its_stages(service: Service, collector: Collector) -> None:
    trace_id = "5" * 32
    path = "/reco?user_id=a-name-that-is-nobodys-business"
    assert service.client.get(path, headers=headers(trace_id)).status_code == 200
    names = {"GET /reco", "history", "rank", "read RankingInputsFor"}
    eventually(lambda: {span.name for span in collector.spans(trace_id)} >= names, describe=service.describe)
    spans = {span.name: span for span in collector.spans(trace_id)}
    assert spans["history"].parent_span_id == spans["rank"].parent_span_id == spans["GET /reco"].span_id
    assert spans["read RankingInputsFor"].parent_span_id == spans["rank"].span_id
    assert "nobodys-business" not in repr(collector.spans(trace_id))


def test_metrics_are_those_of_the_page(service: Service, collector: Collector) -> None:
    service.client.get("/popular")
    (popular,) = eventually(lambda: latencies(collector, "/popular"), describe=service.describe)
    assert (len(popular.bucket_counts), sum(popular.bucket_counts)) == (len(popular.explicit_bounds) + 1, popular.count)
    answered = collector.metrics["reco_api_requests_total"].sum
    assert answered.is_monotonic
    assert [attributes(point)["status_family"] for point in answered.data_points][:2] == ["1xx", "2xx"]
    assert collector.metrics["reco_build_info"].gauge.data_points[0].as_double == 1
    names = {line.split()[2] for line in service.client.get("/metrics").text.splitlines() if line.startswith("# TYPE")}
    assert set(collector.metrics) <= names


def latencies(collector: Collector, route: str) -> list[Any]:
    points = collector.metrics["reco_api_latency_ms"].histogram.data_points if collector.metrics else []
    return [point for point in points if attributes(point) == {"route": route}]


def test_what_is_not_sampled_or_a_probe_has_no_spans(service: Service, collector: Collector) -> None:
    trace_id = "6" * 32
    assert service.client.post("/event", json=view("event-not-sampled"), headers=headers(trace_id, "00")).is_success
    for path in ("/healthz", "/readyz", "/metrics"):
        service.client.get(path, headers=headers(trace_id))
    later = "7" * 32
    assert service.client.post("/event", json=view("event-sampled-later"), headers=headers(later)).is_success
    eventually(lambda: "features" in {span.name for span in collector.spans(later)}, describe=service.describe)
    assert collector.spans(trace_id) == []


@pytest.mark.slow
def test_tracestate_travels_without_opentelemetry(environment: dict[str, str]) -> None:
    """To the message's headers, which a dead letter keeps, and with its replay."""
    with running(environment) as service:
        answer = service.client.post("/event", json=view("event-to-count"), headers=headers(TRACE))
        assert answer.status_code == 202
        database = environment["DATABASE_URL"]
        eventually(lambda: ask(database, "SELECT count(*) FROM feature_event_consumed") == 1)
        with psycopg.connect(database) as connection:
            connection.execute(POISON, [f"00-{TRACE}-{PARENT}-01", STATE])
        states = (
            "SELECT array_agg(convert_from(header_values[array_position(header_names, 'tracestate')], 'UTF8')) "
            "FROM feature_consumer_dlq"
        )
        eventually(lambda: ask(database, states) == [STATE], describe=service.describe)
        replayed = CliRunner().invoke(main, ["replay", "dlq"], env=environment)
        assert replayed.exit_code == 0, replayed.output
        eventually(lambda: ask(database, states) == [STATE, STATE], describe=service.describe)
    imported = subprocess.run([sys.executable, "-c", IMPORTED], cwd=ROOT, capture_output=True, text=True, check=True)
    assert imported.stdout == "[]\n"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("variables", "said"),
    [
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "localhost:4317"}, "OTEL_EXPORTER_OTLP_ENDPOINT='localhost:4317'"),
        (
            {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://localhost:4317", "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"},
            "only http/protobuf is supported",
        ),
        ({"OTEL_TRACES_EXPORTER": "zipkin"}, "OTEL_TRACES_EXPORTER='zipkin': otlp or none"),
    ],
)
def test_variables_that_cannot_work_end_the_start(
    environment: dict[str, str], variables: dict[str, str], said: str
) -> None:
    command, env = [sys.executable, "-m", "app"], {**environment, **variables}
    done = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 2
    assert said in done.stderr


@pytest.mark.slow
def test_a_collector_that_is_away_costs_no_answer(environment: dict[str, str]) -> None:
    """And does not hold the end of the process."""
    away = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9", "OTEL_METRIC_EXPORT_INTERVAL": "200"}
    with running({**environment, **away}) as service:
        assert service.client.post("/event", json=view("event-collector-away")).status_code == 202
        eventually(lambda: "export" in service.log(), describe=service.describe)
        eventually(lambda: service.readiness()["status"] == "ready", describe=service.describe)
        assert service.terminate() == 0
