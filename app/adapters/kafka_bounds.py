"""Bounds for what aiokafka leaves without one: calls get a deadline, clients end, and abandoned tasks stay silent."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Iterable
from typing import Any, Final, TypeVar

import structlog
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.client import AIOKafkaClient
from aiokafka.conn import AIOKafkaConnection
from aiokafka.errors import KafkaConnectionError, KafkaError

from app.errors import DependencyDown, describe

_log = structlog.get_logger(__name__)

_CANCEL_SEC: Final = 1.0
FETCH_WAIT_MS: Final = 100
_QUIET_FETCH_WAIT_MS: Final = 500

_T = TypeVar("_T")


async def bounded(call: Awaitable[_T], timeout_sec: float) -> _T:
    """Awaits a call of aiokafka with a deadline of ours. Raises `DependencyDown` for whatever goes wrong with it.

    In a task of its own: aiokafka retries some calls endlessly, and others end in the cancellation of an inner task of
    theirs, which must not look like our own.
    """
    task = asyncio.ensure_future(call)
    try:
        await asyncio.wait([task], timeout=timeout_sec)
    finally:
        if not task.done():
            abandon([task])
            task.cancel()
    if not task.done():
        await asyncio.wait([task], timeout=_CANCEL_SEC)
        raise DependencyDown("kafka", f"no answer in {timeout_sec:g} s")
    if task.cancelled():
        raise DependencyDown("kafka", "the client gave up")
    if error := task.exception():
        if isinstance(error, KafkaError | OSError):
            raise DependencyDown("kafka", describe(error)) from error
        raise error
    return task.result()


async def bounded_again(call: Callable[[], Awaitable[_T]], timeout_sec: float) -> _T:
    """As `bounded`, and once more when the connection was closed: a broker ends those whose token has expired, which
    aiokafka notices at the next request.
    """
    try:
        return await bounded(call(), timeout_sec)
    except DependencyDown as error:
        if not isinstance(error.__cause__, KafkaConnectionError):
            raise
        return await bounded(call(), timeout_sec)


def abandon(futures: Iterable["asyncio.Future[Any]"]) -> None:
    """Nobody awaits these any more: how they end is not reported."""
    for future in futures:
        future.add_done_callback(_retrieve)


async def stop_producer(producer: AIOKafkaProducer) -> None:
    """Ends a producer in two seconds at most. What it has not sent yet it does not send.

    Its own `stop` waits for that until the broker is back, and a cancelled `stop` leaves the sender running.
    """
    producer._closed = True  # its finalizer goes by this
    await _end([producer._sender.sender_task], producer.client)


async def stop_consumer(consumer: AIOKafkaConsumer, *, timeout_sec: float) -> None:
    """Leaves the group. A consumer that cannot in `timeout_sec` is cut off, in two seconds at most."""
    try:
        await bounded(consumer.stop(), timeout_sec)
    except DependencyDown:
        await _cut_off_consumer(consumer)


def set_quiet(consumer: AIOKafkaConsumer, *, quiet: bool) -> None:
    """How long the broker holds a fetch that finds nothing: longer while the topics are quiet, so that an idle consumer
    asks less often. A message is answered at once in either case. aiokafka sets it at the start only.
    """
    consumer._fetcher._fetch_max_wait_ms = _QUIET_FETCH_WAIT_MS if quiet else FETCH_WAIT_MS


def by_leader(consumer: AIOKafkaConsumer, partitions: Iterable[TopicPartition]) -> dict[int, list[TopicPartition]]:
    """Those that a broker leads, by its number, as the client knows. About the others it asks again and again, and a
    call that names one of them does not end before.
    """
    known = consumer._client.cluster
    found: dict[int, list[TopicPartition]] = {}
    for partition in partitions:
        leader = known.leader_for_partition(partition)
        if leader not in (None, -1):
            found.setdefault(leader, []).append(partition)
    return found


def partition_of(producer: AIOKafkaProducer, topic: str, key: bytes) -> int:
    """Where it sends a message with this key; -1 when it knows no such topic."""
    if not producer.client.cluster.partitions_for_topic(topic):
        return -1
    found: int = producer._partition(topic, None, None, None, key, None)
    return found


def leaderless(producer: AIOKafkaProducer, topic: str) -> set[int]:
    """Its partitions without a leader, as the producer knows: it sends them nothing, and waits."""
    known = producer.client.cluster
    return (known.partitions_for_topic(topic) or set()) - (known.available_partitions_for_topic(topic) or set())


async def _cut_off_consumer(consumer: AIOKafkaConsumer) -> None:
    coordinator, fetcher = consumer._coordinator, consumer._fetcher
    tasks: list[asyncio.Task[Any] | None] = []
    if coordinator is not None:
        tasks += [coordinator._coordination_task, coordinator._heartbeat_task, coordinator._commit_refresh_task]
    if fetcher is not None:
        tasks += [fetcher._fetch_task, *fetcher._pending_tasks]
    await _end(tasks, consumer._client)


async def _end(tasks: Iterable["asyncio.Task[Any] | None"], client: AIOKafkaClient) -> None:
    """Cancels the tasks, and closes the client whose answers they wait for."""
    running = [task for task in tasks if task is not None and not task.done()]
    abandon(running)
    for task in running:
        task.cancel()
    with contextlib.suppress(DependencyDown):
        await bounded(client.close(), _CANCEL_SEC)
    # A request that failed waits for new metadata, which a closed client never reads.
    client.force_metadata_update()
    if not client._md_update_fut.done():
        client._md_update_fut.set_result(False)
    if running:
        await asyncio.wait(running, timeout=_CANCEL_SEC)


def silence_abandoned_tasks(loop: asyncio.AbstractEventLoop) -> None:
    """Keeps asyncio's reports about what aiokafka has abandoned out of the log; they go to DEBUG.

    Its clients shield inner tasks from our cancellation, such as a commit of offsets, and drop them: asyncio reports an
    error of a client that has long been replaced. And a client cancelled while it connects drops the connection,
    whose finalizer closes and reports it. The outage itself is logged by whoever made the call.
    """

    def handle(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        if is_abandoned(context):
            _log.debug("kafka_task_abandoned", report=context["message"], error=repr(context.get("exception")))
        else:
            loop.default_exception_handler(context)

    loop.set_exception_handler(handle)


def is_abandoned(context: dict[str, Any]) -> bool:
    """True for a report about a task that runs aiokafka's code, a future with an error of aiokafka's, or a connection
    of its own.
    """
    if isinstance(context.get("conn"), AIOKafkaConnection):
        return True
    future = context.get("task") or context.get("future")
    if isinstance(future, asyncio.Task):
        code = getattr(future.get_coro(), "cr_code", None)
        return "/aiokafka/" in getattr(code, "co_filename", "").replace("\\", "/")
    return future is not None and isinstance(context.get("exception"), KafkaError)


def _retrieve(future: "asyncio.Future[Any]") -> None:
    if not future.cancelled():
        future.exception()
