"""The client of a Redis Cluster: one pool of connections for each master, and pipelines that go to one of them.

It follows no redirection by itself. Cached entries count only on the server that a probe has confirmed, so that an
entry that has moved is a missing one until the next probe has read the map anew (docs/adr/0072).
"""

import asyncio
from collections.abc import Callable, Sequence
from typing import Any, Final

from redis.asyncio import Redis
from redis.crc import key_slot
from redis.exceptions import MovedError, RedisError, ResponseError

from app.adapters.redis_client import close_idle, close_redis, connection_of, open_node, packed
from app.core import redis_slots
from app.core.redis_slots import Master, SlotMap
from app.core.redis_url import ClusterAddress
from app.errors import describe

Command = tuple[str | bytes | int, ...]
_Place = tuple[str, int]

_ANSWERS_SHOWN: Final = 3


class RedisCluster:
    """Connects when it is first used. `on_connect`: as `open_redis` has it."""

    def __init__(
        self, address: ClusterAddress, *, timeout_sec: float, on_connect: Callable[[Any, bytes], None] | None = None
    ) -> None:
        self._address = address
        self._timeout_sec = timeout_sec
        self._on_connect = on_connect
        self._clients: dict[_Place, Redis] = {}
        self._known: list[_Place] = list(address.nodes)
        """The nodes to ask for the map: the one that answered last comes first."""
        self._silent: set[_Place] = set()
        """Those that did not answer when they were last asked: for the map, the others come first."""
        self._map: SlotMap | None = None

    async def refresh(self, *, elsewhere: bool = False) -> SlotMap:
        """The map as the first node has it that answers. `elsewhere`: not that of the last one, if others answer.
        Raises `RedisError` when none does.
        """
        order = [*self._known[1:], *self._known[:1]] if elsewhere else list(self._known)
        failures = []
        for place in sorted(order, key=self._silent.__contains__):
            try:
                (answer,) = await self.pipeline(place, [("CLUSTER", "SLOTS")])
                if isinstance(answer, ResponseError):
                    raise answer
                slots = redis_slots.parse(answer, place[0])
            except (RedisError, OSError, ValueError) as error:
                failures.append(f"{place[0]}:{place[1]}: {describe(error)}")
                continue
            await self._keep(place, slots)
            return slots
        raise RedisError("no node of the cluster answers: " + "; ".join(failures[:_ANSWERS_SHOWN]))

    async def pipeline(
        self, place: _Place, commands: Sequence[Command], check: Callable[[Any], bool] | None = None
    ) -> list[Any]:
        """The answers of one node in order, its refusals (`ResponseError`) among them. Raises `RedisError` and
        `OSError` when there are none, and when `check` does not take the connection.
        """
        client = self._clients.get(place)
        if client is None:
            client = self._clients[place] = open_node(
                self._address, *place, timeout_sec=self._timeout_sec, on_connect=self._on_connect
            )
        try:
            async with connection_of(client) as connection:
                if check is not None and not check(connection):
                    raise RedisError("another server answers at this address now")
                await connection.send_packed_command([packed(*command) for command in commands])
                answers = [await _read(connection) for _ in commands]
        except BaseException:  # the end of the caller's time, too
            self._silent.add(place)
            raise
        self._silent.discard(place)
        return answers

    def is_silent(self, place: _Place) -> bool:
        """It did not answer when it was last asked."""
        return place in self._silent

    async def evaluate(self, script: str, *, keys: Sequence[str], args: Sequence[str | bytes | int]) -> Any:
        """Runs a script that has one key, within the timeout. Reads the map anew when it is not what it was."""
        (key,) = keys
        try:
            async with asyncio.timeout(self._timeout_sec):
                return await self._evaluate(key, ("EVAL", script, 1, key, *args))
        except BaseException:
            self._map = None  # its master may be none any more, and the end of the time comes before an error tells
            raise

    async def _evaluate(self, key: str, command: Command) -> Any:
        slots = self._map or await self.refresh()
        for again in (False, True):
            master = slots.master_of(key_slot(key.encode()))
            if master is None:
                raise RedisError("no master serves the slot of this key")
            (answer,) = await self.pipeline(place_of(master), [command])
            if not isinstance(answer, ResponseError):
                return answer
            if again or not isinstance(answer, MovedError):
                raise answer
            slots = await self.refresh(elsewhere=True)
        raise AssertionError("unreachable")

    async def forget_idle(self, place: _Place) -> None:
        """Closes the connections that nobody uses: they may lead to a process that ended."""
        if (client := self._clients.get(place)) is not None:
            await close_idle(client)

    async def close(self) -> None:
        for client in self._clients.values():
            await close_redis(client)

    async def _keep(self, answered: _Place, slots: SlotMap) -> None:
        masters = [place_of(master) for master in slots.served]
        self._map = slots
        self._known = list(dict.fromkeys([answered, *masters, *self._address.nodes]))
        self._silent &= set(self._known)
        # Another answer may come in while one of them closes.
        for gone in [self._clients.pop(place) for place in self._clients.keys() - set(self._known)]:
            await close_redis(gone)


def place_of(master: Master) -> _Place:
    return master.host, master.port


async def _read(connection: Any) -> Any:
    try:
        return await connection.read_response()
    except ResponseError as refused:
        return refused
