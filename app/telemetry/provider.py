"""OpenTelemetry's SDK as the process uses it: a provider of spans, and a task that sends the metrics."""

import asyncio
import os
import threading
import time
from collections.abc import Callable, Collection
from functools import partial
from typing import Final

from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import OTELResourceDetector, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.util.instrumentation import InstrumentationScope

from app import tracing
from app.build import VERSION
from app.metrics import REGISTRY
from app.process import process_name
from app.supervisor import Progress, wait_for_stop
from app.telemetry.metric_data import metrics_data
from app.telemetry.variables import OtlpSignal, metrics_every_sec

_NAME: Final = "reco"
_FLUSH_SEC: Final = 1.0


class Telemetry:
    """Begins to make spans where traces are wanted. `run` is a supervised task where metrics are."""

    def __init__(self, signals: Collection[OtlpSignal], role: Collection[str]) -> None:
        own = {
            "service.name": _NAME,
            "service.version": VERSION,
            "service.instance.id": process_name(),
            "reco.role": ",".join(sorted(role)),
        }
        self._resource = Resource(own).merge(OTELResourceDetector().detect())
        self._since_ns = time.time_ns()
        self.every_sec = metrics_every_sec(os.environ)
        """How often metrics are sent."""
        self._metrics = OTLPMetricExporter() if "metrics" in signals else None
        self._sending: threading.Thread | None = None
        self._spans: TracerProvider | None = None
        if "traces" in signals:
            self._spans = TracerProvider(resource=self._resource, shutdown_on_exit=False)
            self._spans.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
            tracing.use(self._spans.get_tracer(_NAME, VERSION))

    @property
    def sends_metrics(self) -> bool:
        return self._metrics is not None

    async def run(self, stop: asyncio.Event, progress: Progress) -> None:
        """Sends all metrics now and then, and at the end. A collector that is away costs the process nothing else."""
        stopped = False
        while not stopped:
            stopped = await wait_for_stop(stop, self.every_sec)
            if self._metrics is not None and not (self._sending and self._sending.is_alive()):
                # Read here: the counters of hot paths belong to the event loop's thread.
                data = metrics_data(
                    REGISTRY.collect(),
                    self._resource,
                    InstrumentationScope(_NAME, VERSION),
                    since_ns=self._since_ns,
                    now_ns=time.time_ns(),
                )
                self._sending = _in_background(partial(self._metrics.export, data))
            progress.beat()

    def close(self) -> None:
        """Sends what is in hand, for a second at most."""
        ending = [] if self._spans is None else [_in_background(self._spans.shutdown)]
        until = time.monotonic() + _FLUSH_SEC
        for thread in (*ending, *filter(None, [self._sending])):
            thread.join(max(0.0, until - time.monotonic()))


def _in_background(work: Callable[[], object]) -> threading.Thread:
    """In a daemon: a silent collector must hold neither a turn nor the end of the process."""
    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    return thread
