"""What an answer is as bytes, and in how many writes it leaves."""

import asyncio
import logging
from typing import Any

import pytest
from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

from app.http.cycle import RequestCycle

OK = {"type": "http.response.start", "status": 200}
LENGTH = (b"content-length", b"2")


class Written(asyncio.Transport):
    def __init__(self) -> None:
        super().__init__()
        self.writes: list[bytes] = []
        self.is_closed = False

    def write(self, data: Any) -> None:
        self.writes.append(bytes(data))

    def close(self) -> None:
        self.is_closed = True


def cycle(transport: Written, kind: type[Any] = RequestCycle, method: str = "GET", *, keep_alive: bool = True) -> Any:
    return kind(
        scope={"method": method},
        transport=transport,
        flow=FlowControl(transport),
        logger=None,
        access_logger=None,
        access_log=False,
        default_headers=[(b"date", b"today")],
        message_event=asyncio.Event(),
        expect_100_continue=False,
        keep_alive=keep_alive,
        on_response=lambda: None,
    )


async def sent(kind: type[Any], messages: list[Any], **options: Any) -> Written:
    transport = Written()
    answering = cycle(transport, kind, **options)
    for message in messages:
        await answering.send(message)
    assert answering.response_complete
    assert answering.message_event.is_set()
    return transport


def body(content: bytes, *, more: bool = False) -> Any:
    return {"type": "http.response.body", "body": content, "more_body": more}


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize("keep_alive", [True, False])
@pytest.mark.parametrize(
    "headers", [[LENGTH], [LENGTH, (b"connection", b"close")], [(b"etag", b'"a"'), LENGTH, (b"x-request-id", b"r")]]
)
async def test_answer_of_known_length_has_the_same_bytes_as_uvicorns_in_one_write(
    method: str, keep_alive: bool, headers: Any
) -> None:
    messages = [{**OK, "headers": headers}, body(b"ok")]
    ours, theirs = [
        await sent(kind, messages, method=method, keep_alive=keep_alive)
        for kind in (RequestCycle, RequestResponseCycle)
    ]
    assert ours.writes == [b"".join(theirs.writes)]
    assert ours.is_closed == theirs.is_closed


@pytest.mark.parametrize(
    "messages",
    [
        [{**OK, "headers": []}, body(b"a", more=True), body(b"b")],
        [{**OK, "headers": [LENGTH]}, body(b"a", more=True), body(b"b")],
        [{"type": "http.response.start", "status": 304, "headers": []}, body(b"")],
    ],
    ids=["stream", "known length in parts", "nothing"],
)
async def test_other_answers_are_sent_as_uvicorn_sends_them(messages: list[Any]) -> None:
    ours, theirs = [await sent(kind, messages) for kind in (RequestCycle, RequestResponseCycle)]
    assert ours.writes == theirs.writes


@pytest.mark.parametrize("value", [b"a\r\nset-cookie: b", b"a\n", b"\r"])
async def test_header_with_a_line_break_is_not_sent(value: bytes) -> None:
    transport = Written()
    answering = cycle(transport)
    await answering.send({**OK, "headers": [LENGTH, (b"x-request-id", value)]})
    with pytest.raises(RuntimeError, match="a header of the answer has a line break"):
        await answering.send(body(b"ok"))
    assert transport.writes == []


async def test_call_that_fails_behind_its_head_is_answered_500(caplog: pytest.LogCaptureFixture) -> None:
    async def failing(scope: Any, receive: Any, send: Any) -> None:
        await send({**OK, "headers": [LENGTH]})
        raise ValueError("behind the head")

    transport = Written()
    answering = cycle(transport)
    answering.logger = logging.getLogger("uvicorn.error")
    await answering.run_asgi(failing)
    assert [write.split(b" ")[1] for write in transport.writes] == [b"500"]
    assert transport.is_closed
    assert "behind the head" in caplog.text


async def test_nothing_is_sent_to_a_client_that_left() -> None:
    transport = Written()
    answering = cycle(transport)
    answering.disconnected = True
    await answering.send({**OK, "headers": [LENGTH]})
    await answering.send(body(b"ok"))
    assert transport.writes == []
