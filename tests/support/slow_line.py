"""Requests to Kafka that take longer. A proxy cannot do that: brokers give clients their own addresses."""

import asyncio
from collections.abc import Callable
from typing import Any, Final

LINE_DELAY_SEC: Final = 0.015

Send = Callable[..., "asyncio.Future[Any]"]


def delayed(send: Send) -> Send:
    """`AIOKafkaConnection.send` over a line that is 15 ms long."""

    def send_late(*arguments: Any, **options: Any) -> "asyncio.Future[Any]":
        async def wait_and_send() -> Any:
            await asyncio.sleep(LINE_DELAY_SEC)
            return await send(*arguments, **options)

        return asyncio.ensure_future(wait_and_send())

    return send_late
