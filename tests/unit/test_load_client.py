"""The load client against a real server on loopback that answers well, badly, late or not at all."""

import asyncio

import pytest

from app.load import loops
from app.load.client import Caller
from app.load.loops import ClosedLoop, LoopCounts, OpenLoop, Window, measure
from app.load.requests import Endpoint, Gets
from tests.support.http_server import Request, serving

ACCEPTED = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
LONG = Window(seconds=60.0, max_good=40, warmup_sec=0.0)


async def well(request: Request, writer: asyncio.StreamWriter) -> None:
    writer.write(ACCEPTED)


async def run_closed(endpoint: Endpoint, window: Window, connections: int = 4) -> LoopCounts:
    counts = LoopCounts()
    loop = ClosedLoop(endpoint, Gets(endpoint, ["/"]), counts, connections)
    await measure(loop, counts, window, lambda _: None)
    return counts


async def test_each_connection_is_kept_and_every_answer_counted() -> None:
    async with serving(well) as (server, endpoint):
        counts = await run_closed(endpoint, LONG)
    assert server.connections == 4
    assert counts.requests == counts.good == counts.latency.count >= 40
    assert server.requests - counts.requests <= 4  # those under way when the window closed
    assert not counts.errors


async def test_answers_in_pieces_are_put_together() -> None:
    async def in_pieces(request: Request, writer: asyncio.StreamWriter) -> None:
        for part in (ACCEPTED[:9], ACCEPTED[9:40], ACCEPTED[40:]):
            writer.write(part)
            await writer.drain()
            await asyncio.sleep(0)

    async with serving(in_pieces) as (_, endpoint):
        counts = await run_closed(endpoint, LONG)
    assert counts.good >= 40
    assert not counts.errors


async def test_errors_are_counted_by_status_and_the_first_body_is_kept() -> None:
    async def refuse_the_second(request: Request, writer: asyncio.StreamWriter) -> None:
        problem = b'{"detail": "number %d"}' % request.number
        busy = b"HTTP/1.1 503 Busy\r\nContent-Length: %d\r\n\r\n%b" % (len(problem), problem)
        writer.write(busy if request.number in (2, 3) else ACCEPTED)

    async with serving(refuse_the_second) as (_, endpoint):
        counts = await run_closed(endpoint, LONG, connections=1)
    assert counts.errors == {"503": 2}
    assert counts.first_bodies == {"503": '{"detail": "number 2"}'}
    assert counts.requests == counts.good + 2


async def test_a_connection_that_breaks_is_an_error_and_comes_back() -> None:
    async def break_the_fifth(request: Request, writer: asyncio.StreamWriter) -> None:
        writer.transport.abort() if request.number == 5 else writer.write(ACCEPTED)

    async with serving(break_the_fifth) as (server, endpoint):
        counts = await run_closed(endpoint, LONG, connections=1)
    assert sum(counts.errors.values()) == 1
    assert next(iter(counts.errors)).startswith("connection lost")
    assert counts.good >= 40
    assert server.connections == 2


async def test_a_server_that_closes_after_its_answer_is_not_an_error() -> None:
    async def close_each(request: Request, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n")
        writer.close()

    async with serving(close_each) as (server, endpoint):
        counts = await run_closed(endpoint, LONG, connections=2)
    assert not counts.errors
    assert server.connections >= 40


async def test_an_answer_that_is_not_http_is_an_error() -> None:
    async def babble(request: Request, writer: asyncio.StreamWriter) -> None:
        writer.write(b"hello\r\n\r\n" if request.number == 1 else ACCEPTED)

    async with serving(babble) as (_, endpoint):
        counts = await run_closed(endpoint, LONG, connections=1)
    assert [what.partition(":")[0] for what in counts.errors] == ["not HTTP"]


async def test_no_answer_is_a_timeout(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loops, "_REQUEST_TIMEOUT_SEC", 0.05)

    async def silent_once(request: Request, writer: asyncio.StreamWriter) -> None:
        if request.number > 1:
            writer.write(ACCEPTED)

    async with serving(silent_once) as (_, endpoint):
        counts = await run_closed(endpoint, LONG, connections=1)
    assert counts.errors == {"timeout": 1}
    assert counts.good >= 40


async def test_requests_without_an_answer_at_the_end_are_errors() -> None:
    """Of several connections: those that answered stay as they are."""

    async def answer_one(request: Request, writer: asyncio.StreamWriter) -> None:
        if request.number == 1:
            writer.write(ACCEPTED)

    async with serving(answer_one) as (_, endpoint):
        window = Window(seconds=0.1, max_good=1, warmup_sec=0.0, grace_sec=0.0)
        counts = await run_closed(endpoint, window)
    assert counts.good == 1
    assert counts.errors == {"unanswered at the end": 4}


async def test_the_warm_up_is_not_counted() -> None:
    seen = asyncio.Event()

    async def count(request: Request, writer: asyncio.StreamWriter) -> None:
        writer.write(ACCEPTED)
        if request.number == 100:
            seen.set()

    async with serving(count) as (server, endpoint):
        counts = LoopCounts()
        loop = ClosedLoop(endpoint, Gets(endpoint, ["/"]), counts, 2)
        window = Window(seconds=60.0, max_good=10, warmup_sec=3600.0)
        running = asyncio.create_task(measure(loop, counts, window, lambda _: None))
        await seen.wait()
        assert counts.requests == 0
        counts.opens_at = 0.0
        await running
    assert 10 <= counts.requests < server.requests


async def test_open_loop_latency_runs_from_the_intended_time() -> None:
    rate, held_sec = 200.0, 0.25

    async def hold_the_first(request: Request, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(held_sec if request.number == 1 else 0.0)
        writer.write(ACCEPTED)

    async with serving(hold_the_first) as (_, endpoint):
        counts = LoopCounts()
        loop = OpenLoop(endpoint, Gets(endpoint, ["/"]), counts, 1, rate)
        await measure(loop, counts, LONG, lambda _: None)
    # Only the first request was held up by the server, yet those that were to start meanwhile have waited too.
    (median,) = counts.latency.percentiles_ms([50.0])
    assert median > held_sec * 1000 / 4
    assert counts.good >= 40


async def test_an_unreachable_service_is_reported_at_once() -> None:
    async with serving(well) as (_, endpoint):
        pass
    with pytest.raises(OSError, match=r"refused|Connect call failed") as raised:
        await run_closed(endpoint, LONG)
    assert f"{endpoint.host}:{endpoint.port} no longer answers" in str(raised.value)


async def test_the_caller_reuses_its_connection_and_gives_up_in_time() -> None:
    async def third_is_lost(request: Request, writer: asyncio.StreamWriter) -> None:
        if request.number != 3:
            writer.write(ACCEPTED)

    async with serving(third_is_lost) as (server, endpoint):
        caller = Caller(endpoint, timeout_sec=0.2)
        assert await caller.get("/") == (200, b"ok")
        assert await caller.get("/") == (200, b"ok")
        assert server.connections == 1
        assert await caller.get("/") == (0, b"timeout")
        assert await caller.get("/") == (200, b"ok")
        assert server.connections == 2
        caller.close()
