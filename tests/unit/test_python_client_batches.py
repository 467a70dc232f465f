"""The batches of `clients/python`: as many events as one request takes, or as a proxy on its way takes."""

import asyncio
import threading
import time
from collections.abc import Callable, Coroutine
from typing import Any, Final, TypeAlias

import httpx
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from reco_client import AsyncClient, Client, Counts, Options, Refused, View
from reco_client.buffer import MAX_BATCH_BYTES, Buffer, Line, line_of
from reco_client.testing import Recorder

QUICK: Final = Options(max_buffered=2_000, interval_sec=0.01, backoff_sec=0.01, exit_sec=10)
_EVENTS: Final = 1_200


class BehindProxy(Recorder):
    """`sizes`: of the bodies of batches, those over `most` bytes included, which the proxy refuses. Nothing is answered
    while it is not `open`.
    """

    def __init__(self, most: int) -> None:
        super().__init__()
        self.most = most
        self.sizes: list[int] = []
        self.open = threading.Event()
        self.open.set()

    def _answer(self, request: httpx.Request) -> httpx.Response:
        self.open.wait(10)
        self.sizes.append(len(request.content))
        if len(request.content) > self.most:
            return httpx.Response(413, text="<html>413 Request Entity Too Large</html>")
        return super()._answer(request)

    @property
    def refused(self) -> int:
        return sum(size > self.most for size in self.sizes)

    @property
    def item_ids(self) -> list[str]:
        return [event.item_id for event in self.events if isinstance(event, View)]


def view(number: int, **changes: Any) -> View:
    return View(user_id="ann", session_id="s1", item_id=f"item-{number}", **changes)


async def _buffered(proxy: BehindProxy, options: Options, events: list[View]) -> Counts:
    with proxy.client(options) as client:
        for event in events:
            client.send(event)
        assert client.flush(10)
        return client.counts


async def _series(proxy: BehindProxy, options: Options, events: list[View]) -> Counts:
    with proxy.client(options) as client:
        return client.send_all(events)


async def _buffered_in_a_task(proxy: BehindProxy, options: Options, events: list[View]) -> Counts:
    async with proxy.async_client(options) as client:
        for event in events:
            client.send(event)
        assert await client.flush(10)
        return client.counts


async def _series_in_a_task(proxy: BehindProxy, options: Options, events: list[View]) -> Counts:
    async with proxy.async_client(options) as client:
        return await client.send_all(events)


_Sending: TypeAlias = Callable[[BehindProxy, Options, list[View]], Coroutine[Any, Any, Counts]]


@pytest.mark.parametrize("send", [_buffered, _series, _buffered_in_a_task, _series_in_a_task])
async def test_batch_that_is_too_large_for_a_proxy_goes_in_parts_and_later_ones_fit(send: _Sending) -> None:
    proxy = BehindProxy(most=5_000)
    counts = await send(proxy, QUICK, [view(number) for number in range(_EVENTS)])
    assert counts == Counts(accepted=_EVENTS)
    assert proxy.item_ids == [f"item-{number}" for number in range(_EVENTS)]
    # As often as the first batch is halved. A batch that is packed a little worse than the last one may come after it.
    assert 1 <= proxy.refused <= 5
    assert len(proxy.sizes) > 2 * proxy.refused


class Slow(Recorder):
    """Answers when a client that waits for 0.05 s has given up."""

    def _answer(self, request: httpx.Request) -> httpx.Response:
        time.sleep(0.2)
        return super()._answer(request)


def test_event_whose_answer_crosses_with_the_end_is_counted_once() -> None:
    refused = list[Refused]()
    client = Slow().client(msgspec.structs.replace(QUICK, exit_sec=0.05, on_refused=refused.append))
    client.send(view(0))
    client.close()
    assert client.counts.accepted + client.counts.refused == 1
    assert len(refused) == client.counts.refused


class Down(Recorder):
    def _answer(self, request: httpx.Request) -> httpx.Response:
        return httpx.Response(503)


def test_flush_ends_when_another_thread_closes_the_client() -> None:
    client = Down().client(msgspec.structs.replace(QUICK, exit_sec=0.05, max_backoff_sec=0.05))
    client.send(view(0))
    flushing = threading.Thread(target=client.flush, daemon=True)
    flushing.start()
    client.close()
    flushing.join(10)
    assert not flushing.is_alive()
    assert client.counts == Counts(refused=1)


async def test_flush_of_a_task_ends_when_another_closes_the_client() -> None:
    client = Down().async_client(msgspec.structs.replace(QUICK, exit_sec=0.05, max_backoff_sec=0.05))
    client.send(view(0))
    flushing = asyncio.create_task(client.flush())
    await client.close()
    async with asyncio.timeout(10):
        await flushing
    assert client.counts == Counts(refused=1)


def test_client_that_is_closed_by_who_is_told_of_refusals_tells_of_each_event_once() -> None:
    told, closed = list[str](), threading.Event()

    def close(refused: Refused) -> None:
        told.append(refused.event.event_id)
        client.close()
        closed.set()

    recorder = BehindProxy(most=1)
    recorder.open.clear()
    client = recorder.client(msgspec.structs.replace(QUICK, batch_events=1, exit_sec=0.05, on_refused=close))
    for number in range(3):
        client.send(view(number))
    recorder.open.set()
    assert closed.wait(10)
    client.close()
    assert len(set(told)) == len(told) == client.counts.refused == 3


def test_client_that_is_closed_by_who_is_told_of_a_refusal_sends_what_waits() -> None:
    recorder, refused = BehindProxy(most=700), list[Refused]()

    def close(one: Refused) -> None:
        refused.append(one)
        client.close()

    client = recorder.client(msgspec.structs.replace(QUICK, batch_events=1, exit_sec=10, on_refused=close))
    recorder.open.clear()
    for event in (view(0, context={"note": "".join(map(str, range(3_000)))}), view(1), view(2)):
        client.send(event)
    recorder.open.set()
    client.close()
    assert client.counts == Counts(accepted=2, refused=1)
    assert len(refused) == 1


def test_interrupted_end_gives_up_what_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    refused = list[Refused]()
    client = Down().client(msgspec.structs.replace(QUICK, on_refused=refused.append))
    client.send(view(0))
    monkeypatch.setattr(client, "flush", _interrupt)
    with pytest.raises(KeyboardInterrupt):
        client.close()
    client.close()
    assert (client.counts, len(refused)) == (Counts(refused=1), 1)


def _interrupt(_: float) -> None:
    raise KeyboardInterrupt


@pytest.mark.parametrize("send", [_buffered, _buffered_in_a_task])
async def test_event_that_is_too_large_alone_is_given_up_alone(send: _Sending) -> None:
    proxy, refused = BehindProxy(most=1_500), list[Refused]()
    large = view(1, context={"note": "".join(map(str, range(3_000)))})
    options = msgspec.structs.replace(QUICK, on_refused=refused.append)
    assert await send(proxy, options, [view(0), large, view(2)]) == Counts(accepted=2, refused=1)
    assert proxy.item_ids == ["item-0", "item-2"]
    ((event, reason),) = [(one.event, one.reason) for one in refused]
    assert isinstance(event, View)
    assert (event.item_id, reason[:4]) == ("item-1", "413:")


async def _sent(proxy: BehindProxy, client: Client | AsyncClient) -> None:
    for number in range(100):
        client.send(view(number))
    async with asyncio.timeout(10):
        while client.counts.waiting >= 50:
            await asyncio.sleep(0.01)
    assert proxy.refused


@pytest.mark.parametrize("asynchronous", [False, True])
async def test_batches_that_a_proxy_makes_smaller_do_not_wait_for_each_other(asynchronous: bool) -> None:
    proxy, patient = BehindProxy(most=1_000), Options(batch_events=100, interval_sec=3600, exit_sec=10)
    if asynchronous:
        async with proxy.async_client(patient) as client:
            await _sent(proxy, client)
    else:
        with proxy.client(patient) as client:
            await _sent(proxy, client)
    assert client.counts == Counts(accepted=100)


@given(
    st.lists(st.integers(1, MAX_BATCH_BYTES), min_size=1, max_size=20),
    st.integers(1, MAX_BATCH_BYTES),
)
def test_batch_is_the_first_events_that_fit(sizes: list[int], most: int) -> None:
    buffer = Buffer(len(sizes))
    buffer.max_batch_bytes = most
    lines = [Line(str(place), b"x" * size) for place, size in enumerate(sizes)]
    for line in lines:
        buffer.add(line)
    found = buffer.batch(len(lines))
    assert found == lines[: len(found)]
    assert found
    assert len(found) == 1 or sum(len(line.body) + 1 for line in found) <= most
    if len(found) < len(lines):
        assert sum(len(line.body) + 1 for line in lines[: len(found) + 1]) > most
        assert buffer.fills(len(lines))
    while buffer:
        buffer.remove(len(buffer.batch(len(lines))))
    assert not buffer.fills(len(lines))


def test_events_of_a_batch_stay_until_they_are_removed() -> None:
    buffer = Buffer(3)
    lines = [line_of(view(number)) for number in range(3)]
    for line in lines:
        buffer.add(line)
    assert buffer.batch(2) == lines[:2] == buffer.batch(2)
    buffer.remove(2)
    assert buffer.batch(5) == lines[2:]
