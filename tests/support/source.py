"""A source of values that a test opens, shuts and fails, for the caches that read from one."""

import asyncio
from collections.abc import Mapping


class Source:
    """Answers when it is let to, and remembers what it was asked for."""

    def __init__(self) -> None:
        self.values: dict[str, int] = {}
        self.asked: list[list[str]] = []
        self.open = asyncio.Event()
        self.open.set()
        self.error: Exception | None = None
        self.faults: dict[str, Exception] = {}
        """By key: what a load of it raises."""

    async def load(self, keys: list[str]) -> Mapping[str, int]:
        self.asked.append(keys)
        await self.open.wait()
        if self.error is not None:
            raise self.error
        for key in keys:
            if key in self.faults:
                raise self.faults[key]
        return {key: self.values[key] for key in keys if key in self.values}
