"""Sentinels that are asked for the master in turn, and what each of them said when none knows one that is up."""

from typing import Any

from redis.asyncio.sentinel import MasterNotFoundError, Sentinel
from redis.exceptions import RedisError

from app.errors import describe


class Sentinels(Sentinel):
    """The one that answered last is asked first. redis-py's own would end at a first one that refuses the question, and
    its message shows the clients instead of their addresses.
    """

    async def discover_master(self, service_name: str) -> tuple[str, int]:
        """Host and port. Raises `MasterNotFoundError`."""
        said = []
        for sentinel in tuple(self.sentinels):
            place = sentinel.connection_pool.connection_kwargs
            try:
                masters: Any = await sentinel.sentinel_masters()
            except (RedisError, OSError) as error:
                said.append(f"{place['host']}:{place['port']}: {describe(error)}")
                continue
            state = masters.get(service_name)
            if state is None:
                said.append(f"{place['host']}:{place['port']} knows {', '.join(sorted(masters)) or 'no master'}")
            elif not self.check_master_state(state, service_name):
                said.append(f"{place['host']}:{place['port']}: the master is down")
            else:
                self.sentinels.remove(sentinel)
                self.sentinels.insert(0, sentinel)
                return state["ip"], state["port"]
        raise MasterNotFoundError(f"no Sentinel names a master {service_name} that is up: {'; '.join(said)}")
