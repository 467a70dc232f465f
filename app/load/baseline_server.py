"""The baseline of the API: `python -m app.load.baseline_server` serves bare Litestar on HTTP_PORT of loopback.

It runs under plain uvicorn with the service's settings. It takes the same requests, decodes them into the same structs
and answers in the same shapes, but stores and computes nothing.
"""

import asyncio
import os
import signal

import uvloop
from litestar import Litestar, get, post
from msgspec import Struct
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from app.core.events import FixedInteraction, Impression, Watch
from app.http.server import bind, serve
from app.supervisor import Progress


class BaselineReply(Struct):
    event_id: str
    status: str


@post("/log/watch", status_code=202)
async def watch(data: Watch) -> BaselineReply:
    return BaselineReply(str(data.event_id), "accepted")


@post("/log/impression", status_code=202)
async def impression(data: Impression) -> BaselineReply:
    return BaselineReply(str(data.event_id), "accepted")


@post("/event", status_code=202)
async def interaction(data: FixedInteraction) -> BaselineReply:
    return BaselineReply(str(data.event_id), "accepted")


class Item(Struct):
    item_id: str
    score: float
    source: str


class BaselineList(Struct):
    request_id: str
    items: list[Item]
    model_version: str
    strategy: str


ITEMS = [Item(f"item-{number:06d}", round(1 / (number + 1), 6), "covisitation") for number in range(1_000)]


@get("/reco")
async def reco(user_id: str, session_id: str, k: int) -> BaselineList:
    return BaselineList("0" * 32, ITEMS[:k], "baseline", "constant")


class RankBody(Struct):
    user_id: str
    items: list[str]


@post("/rank", status_code=200)
async def rank(data: RankBody) -> BaselineList:
    return BaselineList("0" * 32, ITEMS[: len(data.items)], "baseline", "constant")


async def main(port: int) -> None:
    """Until SIGTERM."""
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    app = Litestar([watch, impression, interaction, reco, rank], openapi_config=None, logging_config=None)
    with bind("127.0.0.1", port, reuse_port=False) as listener:
        await serve(app, listener, stop, Progress(), grace_sec=0.0, drain_sec=1.0, protocol=HttpToolsProtocol)


if __name__ == "__main__":
    uvloop.run(main(int(os.environ["HTTP_PORT"])))
