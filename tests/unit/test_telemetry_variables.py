"""OpenTelemetry's variables: what they ask for, and what cannot work."""

import pytest

from app.errors import UserError
from app.telemetry.variables import metrics_every_sec, signals_wanted

ENDPOINT = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector:4318"}


@pytest.mark.parametrize(
    ("environ", "wanted"),
    [
        ({}, set()),
        ({"OTEL_SERVICE_NAME": "reco", "OTEL_TRACES_SAMPLER": "always_on"}, set()),
        (ENDPOINT, {"traces", "metrics"}),
        ({**ENDPOINT, "OTEL_METRICS_EXPORTER": "none"}, {"traces"}),
        ({**ENDPOINT, "OTEL_SDK_DISABLED": "TRUE"}, set()),
        ({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "https://collector/v1/traces"}, {"traces"}),
        ({"OTEL_METRICS_EXPORTER": "otlp"}, {"metrics"}),
        ({**ENDPOINT, "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf"}, {"traces", "metrics"}),
    ],
)
def test_variables_ask_for_signals(environ: dict[str, str], wanted: set[str]) -> None:
    assert signals_wanted(environ) == wanted


@pytest.mark.parametrize(
    ("environ", "named"),
    [
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "collector:4318"}, "OTEL_EXPORTER_OTLP_ENDPOINT='collector:4318'"),
        ({**ENDPOINT, "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL": "grpc"}, "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL='grpc'"),
        ({"OTEL_METRICS_EXPORTER": "prometheus"}, "OTEL_METRICS_EXPORTER='prometheus': otlp or none"),
        ({**ENDPOINT, "OTEL_METRIC_EXPORT_INTERVAL": "1s"}, "OTEL_METRIC_EXPORT_INTERVAL='1s'"),
    ],
)
def test_what_cannot_be_sent_is_named(environ: dict[str, str], named: str) -> None:
    with pytest.raises(UserError, match=named):
        signals_wanted(environ)


def test_metrics_are_sent_every_minute_unless_told_otherwise() -> None:
    assert metrics_every_sec({}) == 60
    assert metrics_every_sec({"OTEL_METRIC_EXPORT_INTERVAL": "250"}) == 0.25
