"""Functions are wrapped only where there is a tracer, and headers are read without the SDK."""

import pytest

from app.tracing import TraceHeaders, is_sampled, traced

TRACE = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7"


async def answer() -> int:
    return 1


def test_a_function_without_a_tracer_is_itself() -> None:
    assert traced("answer", answer) is answer


@pytest.mark.parametrize(
    ("traceparent", "sampled"),
    [
        (f"{TRACE}-01", True),
        (f"{TRACE}-03", True),
        (f"{TRACE}-00", False),
        (f"{TRACE}-02", False),
        (f"{TRACE}-zz", False),
        (TRACE, False),
        ("", False),
        (None, False),
    ],
)
def test_the_last_flag_says_whether_a_trace_is_sampled(traceparent: str | None, sampled: bool) -> None:
    assert is_sampled(TraceHeaders(traceparent)) is sampled
