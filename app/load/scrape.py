"""What the service says of itself in `/metrics`: counters, memory, processor time, event-loop lag."""

import http.client
import math
import re
from collections.abc import Mapping
from typing import Final

from app.errors import UserError
from app.load.requests import Endpoint

_SAMPLE: Final = re.compile(r"^(\w+)(?:\{(.*)\})? (\S+)", re.MULTILINE)
_TIMEOUT_SEC: Final = 5.0

Samples = Mapping[tuple[str, str], float]


def get(endpoint: Endpoint, path: str, timeout_sec: float = _TIMEOUT_SEC) -> tuple[int, str]:
    """One blocking GET past any proxy: (status, body). Raises OSError when nobody answers."""
    kind = http.client.HTTPSConnection if endpoint.tls else http.client.HTTPConnection
    connection = kind(endpoint.host, endpoint.port, timeout=timeout_sec)
    try:
        connection.request("GET", endpoint.prefix + path, headers=dict(endpoint.headers))
        response = connection.getresponse()
        return response.status, response.read().decode(errors="replace")
    except http.client.HTTPException as error:
        raise OSError(f"no HTTP answer: {error!r}") from error
    finally:
        connection.close()


def read(endpoint: Endpoint) -> Samples:
    """The samples of `/metrics`; none when it is not there. Raises `UserError` when nobody answers."""
    try:
        status, body = get(endpoint, "/metrics")
    except OSError as error:
        raise UserError(f"The service at {endpoint.host}:{endpoint.port} no longer answers: {error}") from error
    return parse(body) if status == 200 else {}


def parse(text: str) -> Samples:
    """(name, labels as they stand) → value, of the Prometheus text format."""
    return {(name, labels or ""): float(value) for name, labels, value in _SAMPLE.findall(text)}


def total(samples: Samples, name: str, labels: str = "") -> float | None:
    """The sum over all series of a metric whose labels contain `labels`; None when there is no such series."""
    found = [value for (sample, shown), value in samples.items() if sample == name and labels in shown]
    return sum(found) if found else None


def bucket_percentile(before: Samples, after: Samples, name: str, percent: float) -> float | None:
    """The upper bound of the bucket that the percentile of what was observed in between falls into.

    None when nothing was observed; infinite above the last bound.
    """
    counts: dict[float, float] = {}
    for (sample, labels), value in after.items():
        if sample == f"{name}_bucket" and (bound := re.search(r'le="([^"]+)"', labels)):
            at = float(bound[1])
            counts[at] = counts.get(at, 0.0) + value - before.get((sample, labels), 0.0)
    everything = counts.get(math.inf, 0.0)
    if everything <= 0:
        return None
    return next(bound for bound, count in sorted(counts.items()) if count >= everything * percent / 100)
