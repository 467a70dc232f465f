"""Carries out a round's faults, and ends them."""

import heapq
import time
from collections.abc import Callable, Sequence
from typing import Final

import redis

from app.devstack import Stack
from app.devstack.server import Server
from tests.faults.proxy import Proxy
from tests.faults.soak.fleet import Worker
from tests.faults.soak.plan import Round, Strike

Sleep = Callable[[float], None]
"""Waits so many seconds; raises when the soak is to end."""

_DELAY_SEC: Final = 2.0
_RESET_EVERY_SEC: Final = 0.5


class Faults:
    """What the soak can reach: the processes, the servers, and the proxies before Postgres and Redis."""

    def __init__(self, fleet: Sequence[Worker], stack: Stack, postgres: Proxy, cache: Proxy) -> None:
        self.kills: dict[str, int] = {worker.name: 0 for worker in fleet}
        self.freezes: dict[str, int] = {worker.name: 0 for worker in fleet}
        self.fleet = fleet
        self._stack = stack
        self._postgres = postgres
        self._cache = cache

    def inflict(self, fault: Round, sleep: Sleep) -> None:
        """Returns when the fault has ended: all processes run, all servers answer, all connections pass."""
        server, _, what = fault.kind.partition(" ")
        if fault.kind == "processes":
            self._strike(fault.strikes, sleep)
        elif what in {"silent", "delayed", "reset"}:
            self._disturb(self._postgres if server == "postgres" else self._cache, what, fault.seconds, sleep)
        elif what == "flushed":
            with redis.Redis.from_url(self._stack.redis_url) as client:
                client.flushdb()
        else:
            servers: dict[str, Server] = {
                "postgres": self._stack.postgres,
                "redis": self._stack.redis,
                "kafka": self._stack.kafka,
            }
            _break(servers[server], what, fault.seconds, sleep)

    def _strike(self, strikes: Sequence[Strike], sleep: Sleep) -> None:
        """Processes that are down or frozen come back while others are struck."""
        due: list[tuple[float, int, Callable[[], object]]] = []
        next_at = time.monotonic()
        try:
            for number, strike in enumerate(strikes):
                next_at += strike.after_sec
                while due and due[0][0] <= next_at:
                    at, _, restore = heapq.heappop(due)
                    sleep(max(0.0, at - time.monotonic()))
                    restore()
                sleep(max(0.0, next_at - time.monotonic()))
                worker = self.fleet[strike.process]
                if strike.action == "kill" and worker.kill():
                    self.kills[worker.name] += 1
                    heapq.heappush(due, (time.monotonic() + strike.seconds, number, worker.start))
                elif strike.action == "freeze" and worker.freeze():
                    self.freezes[worker.name] += 1
                    heapq.heappush(due, (time.monotonic() + strike.seconds, number, worker.thaw))
        finally:
            for worker in self.fleet:
                worker.thaw()
                worker.start()

    def _disturb(self, proxy: Proxy, what: str, seconds: float, sleep: Sleep) -> None:
        try:
            if what == "silent":
                proxy.black_hole()
                sleep(seconds)
            elif what == "delayed":
                proxy.delay(_DELAY_SEC)
                sleep(seconds)
            else:
                for _ in range(int(seconds / _RESET_EVERY_SEC)):
                    proxy.reset()
                    sleep(_RESET_EVERY_SEC)
        finally:
            proxy.delay(0.0)
            proxy.heal()


def _break(server: Server, what: str, seconds: float, sleep: Sleep) -> None:
    try:
        server.kill() if what == "killed" else server.pause()
        sleep(seconds)
    finally:
        server.restore()
