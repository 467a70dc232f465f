"""The client for threads."""

import contextlib
import random
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from itertools import islice
from typing import Any, Concatenate, ParamSpec, Self, TypeVar

import httpx

from reco_client import calls, catalogue, delivery, lists
from reco_client.buffer import MAX_BATCH_EVENTS, Buffer, Line, line_of
from reco_client.calls import Call
from reco_client.delivery import Counts, Options, Outcomes
from reco_client.hooks import ProcessHooks
from reco_client.models import CatalogueItem, Event

_T = TypeVar("_T")
_P = ParamSpec("_P")
_JOIN_SEC = 1.0


def _method(build: Callable[_P, Call[_T]]) -> Callable[Concatenate["Client", _P], _T]:
    def method(self: "Client", /, *args: _P.args, **kwargs: _P.kwargs) -> _T:
        return self._call(build(*args, **kwargs))

    return calls.as_method(method, build)


class Client:
    """Sends events from a thread of its own, which starts with the first event; asks for recommendations.

    What waits is sent by `close`, which the end of the process calls too. A forked process starts with an empty buffer:
    what waits in its parent is sent by the parent.
    """

    def __init__(
        self,
        url: str,
        key: str | None = None,
        options: Options | None = None,
        *,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        self._options = options or Options()
        self._connect: Callable[[], httpx.Client] = lambda: httpx.Client(
            **delivery.http_options(url, key, self._options), transport=transport
        )
        self._reset()
        self._hooks = ProcessHooks(at_end=self.close, in_child=self._reset)

    def _reset(self) -> None:
        self._http = self._connect()
        self._buffer = Buffer(self._options.max_buffered)
        self._outcomes = Outcomes(self._options)
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None
        self._flushing = 0
        self._closed = self._ending = self._given_up = False
        self._ended = threading.Event()

    @property
    def counts(self) -> Counts:
        with self._changed:
            found = self._outcomes.counts
            return Counts(found.accepted, found.duplicate, found.refused, len(self._buffer))

    def send(self, event: Event) -> str:
        """Puts the event into the buffer, and returns its id.

        Raises `BufferFull`, `msgspec.ValidationError` for a value that the service would refuse, `RuntimeError` after
        `close`.
        """
        line = line_of(event)
        with self._changed:
            if self._closed:
                raise RuntimeError("the client is closed")
            self._buffer.add(line)
            if self._thread is None:
                self._start()
            self._changed.notify_all()
        return line.event_id

    def _start(self) -> None:
        """From Python 3.12 on no thread starts once the process ends. Then `flush` and `close` send from theirs."""
        thread = threading.Thread(target=self._run, name="reco-client", daemon=True)
        with contextlib.suppress(RuntimeError):  # also where the system has no thread left: the next event tries again
            thread.start()
            self._thread = thread

    def send_all(self, events: Iterable[Event]) -> Counts:
        """Sends many events at once, past the buffer, as NDJSON in batches; returns their counts.

        Waits and tries again as the thread does, without an end while the service is away. Raises `ApiError` for an
        answer that a retry would not change. Sending the same events with the same ids again is harmless.
        """
        outcomes = Outcomes(self._options)
        lines = map(line_of, events)
        left: list[Line] = []
        while left or (left := list(islice(lines, MAX_BATCH_EVENTS))):
            settled = self._deliver(self._buffer.fitting(left), outcomes, time.sleep)
            left = left[settled:]
        return outcomes.counts

    def flush(self, timeout_sec: float | None = None) -> bool:
        """Sends what waits now; whether all of it was settled in time."""
        with self._changed:
            self._flushing += 1
            self._changed.notify_all()
            deadline = None if timeout_sec is None else time.monotonic() + timeout_sec
            try:
                while self._buffer and (deadline is None or time.monotonic() < deadline):
                    if self._thread is None:
                        self._send_here(deadline)
                    left = None if deadline is None else deadline - time.monotonic()
                    self._changed.wait_for(lambda: not self._buffer or self._thread is None, left)
                return not self._buffer
            finally:
                self._flushing -= 1

    def _send_here(self, deadline: float | None) -> None:
        """Sends what waits from this thread, which has the lock, in place of the one that did not start."""

        def pause(seconds: float) -> None:
            if deadline is not None and time.monotonic() + seconds > deadline:
                raise _GivenUp
            self._pause(seconds)

        self._thread = threading.current_thread()  # so that nobody else sends the same
        try:
            while lines := self._buffer.batch(self._options.batch_events):
                self._changed.release()
                try:
                    settled = self._send(lines, pause, deadline)
                finally:
                    self._changed.acquire()
                self._buffer.remove(settled or 0)
                if settled is None or self._given_up:
                    return
        finally:
            self._thread = None
            self._changed.notify_all()

    def close(self) -> None:
        """Sends what waits for up to `exit_sec`. What is left then is refused. From within `on_refused` it returns at
        once: its thread sends on, until another one closes the client, or the process ends.
        """
        with self._changed:
            self._closed = True
            self._changed.notify_all()
            if self._thread is threading.current_thread():
                return
            ending, self._ending = self._ending, True
        if not ending:
            try:
                self.flush(self._options.exit_sec)
            finally:
                self._end()
        self._ended.wait(self._options.exit_sec + _JOIN_SEC)

    def _end(self) -> None:
        with self._changed:
            self._given_up = True
            thread = self._thread
            self._changed.notify_all()
        try:
            if thread is not None:
                thread.join(_JOIN_SEC)
        finally:
            with self._changed:
                left = self._buffer.clear()
                self._changed.notify_all()
            self._outcomes.end(left)  # an answer to them that comes later changes nothing
            if thread is None or not thread.is_alive():  # else it waits for an answer, with the connection
                self._http.close()
            self._hooks.cancel()
            self._ended.set()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

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

    def update_item(
        self, item_id: str, change: Callable[[CatalogueItem], Mapping[str, Any]], *, tries: int = 5
    ) -> CatalogueItem:
        """Patches the item with what `change` makes of it: again, from the new state, where somebody else was faster.
        Raises `StateChanged` after so many tries.
        """
        while True:
            version = self.get_item_version(item_id)
            tries -= 1
            try:
                return self.patch_item(item_id, if_match=version.etag, **change(version.item))
            except calls.StateChanged:
                if tries <= 0:
                    raise

    def _call(self, call: Call[_T]) -> _T:
        failures = 0
        while True:
            try:
                return call.result(self._http.request(call.method, call.path, **call.options()))
            except (calls.ApiError, httpx.TransportError) as error:
                failures += 1
                if failures > self._options.call_retries or not delivery.may_be_retried(error):
                    raise
                time.sleep(delivery.wait_sec(failures, error, random.random(), self._options))

    def _run(self) -> None:
        while (lines := self._next()) and (settled := self._send(lines, self._pause)) is not None:
            with self._changed:
                self._buffer.remove(settled)
                self._changed.notify_all()
                if self._given_up:
                    return

    def _send(self, lines: list[Line], pause: Callable[[float], object], deadline: float | None = None) -> int | None:
        """Of how many of the lines it is settled what became of them; None: the client is closed."""
        try:
            return self._deliver(lines, self._outcomes, pause, deadline)
        except calls.ApiError as error:
            self._outcomes.refuse(lines, str(error))
        except _GivenUp:
            return None
        except Exception as error:  # a fault of ours costs its batch, and the sending goes on
            delivery.log.exception("a batch could not be sent")
            self._outcomes.refuse(lines, repr(error))
        return len(lines)

    def _next(self) -> list[Line]:
        """The next batch, when it is full, has waited for long enough, or somebody flushes; none after `close`."""
        with self._changed:
            self._changed.wait_for(lambda: self._buffer or self._closed)
            self._changed.wait_for(
                lambda: self._flushing or self._closed or self._buffer.fills(self._options.batch_events),
                self._options.interval_sec,
            )
            return self._buffer.batch(self._options.batch_events)

    def _deliver(
        self,
        lines: list[Line],
        outcomes: Outcomes,
        pause: Callable[[float], object],
        deadline: float | None = None,
    ) -> int:
        """How many of the lines are settled: all, or none where they go in smaller batches."""
        failures = 0
        timeout_sec = self._options.timeout_sec
        while True:
            if deadline is not None:
                timeout_sec = min(timeout_sec, max(0.001, deadline - time.monotonic()))
            try:
                outcomes.settle(lines, self._http.post(**delivery.request(lines), timeout=timeout_sec))
                return len(lines)
            except (calls.ApiError, httpx.TransportError) as error:
                if delivery.goes_in_parts(lines, error, self._buffer):
                    with self._changed:
                        self._changed.notify_all()  # what waits may be more than one batch now
                    return 0
                if not delivery.may_be_retried(error):
                    raise
                failures += 1
                waiting = delivery.wait_sec(failures, error, random.random(), self._options)
                delivery.log.warning("%d events are sent again in %.1f s: %s", len(lines), waiting, error)
            pause(waiting)

    def _pause(self, seconds: float) -> None:
        with self._changed:
            if self._changed.wait_for(lambda: self._given_up, seconds):
                raise _GivenUp


class _GivenUp(Exception):
    """The client was closed, and its time for what waits is over."""
