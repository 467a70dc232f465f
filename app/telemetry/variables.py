"""What OpenTelemetry's variables ask for (opentelemetry.io/docs/specs/otel/configuration/sdk-environment-variables).

The SDK reads the others itself: headers, timeouts, the sampler, the batches, the attributes of the resource.
"""

from collections.abc import Mapping
from typing import Final, Literal
from urllib.parse import urlsplit

from app.errors import UserError

OtlpSignal = Literal["traces", "metrics"]

_SIGNALS: Final[tuple[OtlpSignal, ...]] = ("traces", "metrics")
_PROTOCOL: Final = "http/protobuf"
_INTERVAL: Final = "OTEL_METRIC_EXPORT_INTERVAL"
_INTERVAL_MS: Final = 60_000


def signals_wanted(environ: Mapping[str, str]) -> frozenset[OtlpSignal]:
    """The signals that have an endpoint, or whose exporter is `otlp`; none with OTEL_SDK_DISABLED=true.

    Raises `UserError` that names every variable with which nothing can be sent.
    """
    if environ.get("OTEL_SDK_DISABLED", "").strip().lower() == "true":
        return frozenset()
    errors: list[str] = []
    wanted = frozenset(signal for signal in _SIGNALS if _wants(environ, signal, errors))
    interval = environ.get(_INTERVAL, "").strip()
    if "metrics" in wanted and interval and not (interval.isdigit() and int(interval)):
        errors.append(f"{_INTERVAL}={interval!r}: expected milliseconds, at least 1")
    if errors:
        lines = "\n".join(f"  - {error}" for error in dict.fromkeys(errors))
        raise UserError(f"OpenTelemetry's variables are not usable:\n{lines}")
    return wanted


def metrics_every_sec(environ: Mapping[str, str]) -> float:
    """How often metrics are sent. Call it with what `signals_wanted` has checked."""
    return int(environ.get(_INTERVAL, "").strip() or _INTERVAL_MS) / 1000


def _wants(environ: Mapping[str, str], signal: OtlpSignal, errors: list[str]) -> bool:
    kind = signal.upper()
    endpoint, named = _first(environ, f"OTEL_EXPORTER_OTLP_{kind}_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
    exporter = environ.get(f"OTEL_{kind}_EXPORTER", "").strip()
    if exporter not in ("", "otlp", "none"):
        errors.append(f"OTEL_{kind}_EXPORTER={exporter!r}: otlp or none")
    if exporter == "none" or not (endpoint or exporter):
        return False
    if endpoint and (urlsplit(endpoint).scheme not in ("http", "https") or not urlsplit(endpoint).hostname):
        errors.append(f"{named}={endpoint!r}: expected a URL such as http://localhost:4318")
    protocol, named = _first(environ, f"OTEL_EXPORTER_OTLP_{kind}_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")
    if protocol not in ("", _PROTOCOL):
        errors.append(f"{named}={protocol!r}: only {_PROTOCOL} is supported, for which collectors have port 4318")
    return True


def _first(environ: Mapping[str, str], *names: str) -> tuple[str, str]:
    """The value of the first variable that has one, and its name."""
    for name in names:
        if value := environ.get(name, "").strip():
            return value, name
    return "", names[-1]
