"""ROLE → run → exit code. The only owner of signals."""

import asyncio
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Final

import anyio
import structlog
import uvloop

from app import build, interpreter, logs, metrics
from app.adapters import kafka_bounds
from app.errors import DependencyDown
from app.http.server import bind
from app.settings import OPEN_REMEDY, Settings
from app.telemetry.variables import signals_wanted
from app.wiring import Service, prepare_database

if TYPE_CHECKING:
    from app.telemetry.provider import Telemetry

_log = structlog.get_logger(__name__)

_ENDED_AT_ONCE: Final = 130  # 128 + SIGINT, as shells say it


def run(settings: Settings) -> int:
    """Runs the process until a signal; returns its exit code. Raises `UserError` for what must be corrected first."""
    logs.configure(format=settings.log_format, level=settings.log_level)
    listener = bind(settings.http_host, settings.http_port, reuse_port=settings.http_reuse_port)
    with listener:
        # A failed migration ends the start; a Postgres that is unreachable does not.
        migrated = False
        try:
            prepare_database(settings)
            migrated = True
        except DependencyDown as error:
            _log.warning("migration_deferred", reason=error.reason)
        interpreter.tune()
        telemetry = _telemetry(settings)
        try:
            return uvloop.run(_serve(settings, listener, migrated=migrated, telemetry=telemetry))
        finally:
            if telemetry is not None:
                telemetry.close()


def _telemetry(settings: Settings) -> "Telemetry | None":
    """Imported where OpenTelemetry's variables ask for it."""
    signals = signals_wanted(os.environ)
    if not signals:
        return None
    from app.telemetry.provider import Telemetry

    return Telemetry(signals, settings.role)


async def _serve(settings: Settings, listener: socket.socket, *, migrated: bool, telemetry: "Telemetry | None") -> int:
    with anyio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
        metrics.BUILD_INFO.labels(build.VERSION, build.current_revision()).set(1)
        kafka_bounds.silence_abandoned_tasks(asyncio.get_running_loop())
        service = Service(settings, listener, migrated=migrated, telemetry=telemetry)
        _log.info(
            "starting",
            role=sorted(settings.role),
            port=listener.getsockname()[1],
            pid=os.getpid(),
            version=build.VERSION,
            revision=build.current_revision(),
        )
        if settings.open_address is not None:
            _log.warning("api_open_to_everybody", address=settings.open_address, remedy=OPEN_REMEDY)
        service.start()
        await anext(signals)
        _log.info("draining", grace_sec=settings.shutdown_grace_sec, timeout_sec=settings.shutdown_timeout_sec)
        async with anyio.create_task_group() as group:
            group.start_soon(_end_at_next, signals)
            drained = await service.drain()
            group.cancel_scope.cancel()
        _log.info("stopped", drained=drained)
    return 0 if drained else 1


async def _end_at_next(signals: AsyncIterator[signal.Signals]) -> None:
    number = await anext(signals)
    print(f"second {number.name}: ending at once", file=sys.stderr)
    os._exit(_ENDED_AT_ONCE)
