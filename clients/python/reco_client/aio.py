"""The client for asyncio."""

import asyncio
import random
from collections.abc import AsyncIterable, Awaitable, Callable, Coroutine, Iterable, Mapping
from typing import Any, Concatenate, ParamSpec, Self, TypeVar

import httpx

from reco_client import calls, catalogue, delivery, lists
from reco_client.buffer import MAX_BATCH_EVENTS, Buffer, Line, line_of
from reco_client.calls import Call
from reco_client.delivery import Counts, Options, Outcomes
from reco_client.hooks import ProcessHooks
from reco_client.models import CatalogueItem, Event
from reco_client.sync import Client

_T = TypeVar("_T")
_P = ParamSpec("_P")


def _method(build: Callable[_P, Call[_T]]) -> Callable[Concatenate["AsyncClient", _P], Coroutine[Any, Any, _T]]:
    async def method(self: "AsyncClient", /, *args: _P.args, **kwargs: _P.kwargs) -> _T:
        return await self._call(build(*args, **kwargs))

    return calls.as_method(method, build)


class AsyncClient:
    """Sends events from a task of its own, which starts with the first event; asks for recommendations.

    One event loop uses it. `close` sends what waits; without it, the end of the process does. A forked process starts
    with an empty buffer: what waits in its parent is sent by the parent.
    """

    def __init__(
        self,
        url: str,
        key: str | None = None,
        options: Options | None = None,
        *,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self._url, self._key, self._options = url, key, options or Options()
        self._connect: Callable[[], httpx.AsyncClient] = lambda: httpx.AsyncClient(
            **delivery.http_options(url, key, self._options), transport=transport
        )
        self._reset()
        self._hooks = ProcessHooks(at_end=self._at_exit, in_child=self._reset)

    def _reset(self) -> None:
        self._http = self._connect()
        self._buffer = Buffer(self._options.max_buffered)
        self._outcomes = Outcomes(self._options)
        self._task: asyncio.Task[None] | None = None
        self._wanted = asyncio.Event()  # a batch is to be sent now
        self._settled = asyncio.Event()  # nothing waits
        self._settled.set()
        self._flushing = 0
        self._closed = False

    @property
    def counts(self) -> Counts:
        found = self._outcomes.counts
        return Counts(found.accepted, found.duplicate, found.refused, len(self._buffer))

    def send(self, event: Event) -> str:
        """Puts the event into the buffer without waiting, and returns its id.

        Raises `BufferFull`, `msgspec.ValidationError` for a value that the service would refuse, `RuntimeError` after
        `close`.
        """
        if self._closed:
            raise RuntimeError("the client is closed")
        line = line_of(event)
        self._buffer.add(line)
        self._settled.clear()
        if self._task is None or self._task.done():
            self._task = asyncio.get_running_loop().create_task(self._run(), name="reco-client")
        if self._buffer.fills(self._options.batch_events):
            self._wanted.set()
        return line.event_id

    async def send_all(self, events: Iterable[Event] | AsyncIterable[Event]) -> Counts:
        """Sends many events at once, past the buffer, as NDJSON in batches; returns their counts.

        Waits and tries again as the task does, without an end while the service is away. Raises `ApiError` for an
        answer that a retry would not change. Sending the same events with the same ids again is harmless.
        """
        outcomes = Outcomes(self._options)
        left: list[Line] = []
        if isinstance(events, AsyncIterable):
            async for event in events:
                left = await self._send_full(left, line_of(event), outcomes)
        else:
            for event in events:
                left = await self._send_full(left, line_of(event), outcomes)
        while left:
            left = await self._send_first(left, outcomes)
        return outcomes.counts

    async def flush(self, timeout_sec: float | None = None) -> bool:
        """Sends what waits now; whether all of it was settled in time."""
        self._flushing += 1
        self._wanted.set()
        try:
            async with asyncio.timeout(timeout_sec):
                await self._settled.wait()
        except TimeoutError:
            return False
        finally:
            self._flushing -= 1
        return True

    async def close(self) -> None:
        """Sends what waits for up to `exit_sec`. What is left then is refused."""
        if self._closed:
            return
        self._closed = True
        await self.flush(self._options.exit_sec)
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        self._outcomes.end(self._buffer.clear())
        self._settled.set()
        await self._http.aclose()
        self._hooks.cancel()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    # The text of each call is in its module.
    recommend = _method(lists.recommend)
    rank = _method(lists.rank)
    similar = _method(lists.similar)
    popular = _method(lists.popular)
    bought_together = _method(lists.bought_together)
    trending = _method(lists.trending)
    recent = _method(lists.recent)
    buy_again = _method(lists.buy_again)
    identify = _method(catalogue.identify)
    put_item = _method(catalogue.put_item)
    put_items = _method(catalogue.put_items)
    get_item = _method(catalogue.get_item)
    get_item_version = _method(catalogue.get_item_version)
    patch_item = _method(catalogue.patch_item)
    list_items = _method(catalogue.list_items)
    delete_item = _method(catalogue.delete_item)
    declare_attribute = _method(catalogue.declare_attribute)
    list_attributes = _method(catalogue.list_attributes)
    delete_attribute = _method(catalogue.delete_attribute)

    async def update_item(
        self, item_id: str, change: Callable[[CatalogueItem], Mapping[str, Any]], *, tries: int = 5
    ) -> CatalogueItem:
        """Patches the item with what `change` makes of it: again, from the new state, where somebody else was faster.
        Raises `StateChanged` after so many tries.
        """
        while True:
            version = await self.get_item_version(item_id)
            tries -= 1
            try:
                return await self.patch_item(item_id, if_match=version.etag, **change(version.item))
            except calls.StateChanged:
                if tries <= 0:
                    raise

    async def _call(self, call: Call[_T]) -> _T:
        failures = 0
        while True:
            try:
                return call.result(await self._http.request(call.method, call.path, **call.options()))
            except (calls.ApiError, httpx.TransportError) as error:
                failures += 1
                if failures > self._options.call_retries or not delivery.may_be_retried(error):
                    raise
                await asyncio.sleep(delivery.wait_sec(failures, error, random.random(), self._options))

    async def _run(self) -> None:
        while self._buffer:
            if not self._flushing and not self._buffer.fills(self._options.batch_events):
                self._wanted.clear()
                await _within(self._options.interval_sec, self._wanted.wait())
            lines = self._buffer.batch(self._options.batch_events)
            settled = len(lines)
            try:
                settled = await self._deliver(lines, self._outcomes)
            except calls.ApiError as error:
                self._outcomes.refuse(lines, str(error))
            except Exception as error:  # a fault of ours costs its batch, and the sending goes on
                delivery.log.exception("a batch could not be sent")
                self._outcomes.refuse(lines, repr(error))
            self._buffer.remove(settled)
        self._settled.set()

    async def _send_full(self, left: list[Line], line: Line, outcomes: Outcomes) -> list[Line]:
        left.append(line)
        return left if len(left) < MAX_BATCH_EVENTS else await self._send_first(left, outcomes)

    async def _send_first(self, left: list[Line], outcomes: Outcomes) -> list[Line]:
        settled = await self._deliver(self._buffer.fitting(left), outcomes)
        return left[settled:]

    async def _deliver(self, lines: list[Line], outcomes: Outcomes) -> int:
        """How many of the lines are settled: all, or none where they go in smaller batches."""
        failures = 0
        while True:
            try:
                outcomes.settle(lines, await self._http.post(**delivery.request(lines)))
                return len(lines)
            except (calls.ApiError, httpx.TransportError) as error:
                if delivery.goes_in_parts(lines, error, self._buffer):
                    self._wanted.set()  # what waits may be more than one batch now
                    return 0
                if not delivery.may_be_retried(error):
                    raise
                failures += 1
                waiting = delivery.wait_sec(failures, error, random.random(), self._options)
                delivery.log.warning("%d events are sent again in %.1f s: %s", len(lines), waiting, error)
            await asyncio.sleep(waiting)

    def _at_exit(self) -> None:
        """The event loop is gone: what it left is sent from here, since Python starts no thread any more by then."""
        if self._buffer:
            with Client(self._url, self._key, self._options) as client:
                client._buffer, client._outcomes = self._buffer, self._outcomes  # noqa: SLF001 - the client beside


async def _within(seconds: float, awaited: Awaitable[object]) -> None:
    try:
        async with asyncio.timeout(seconds):
            await awaited
    except TimeoutError:
        pass
