"""What errors say in a line."""

import asyncio
import socket

import pytest
from aiokafka.errors import KafkaConnectionError, KafkaTimeoutError, RequestTimedOutError

from app.errors import describe


class Loud(Exception):
    def __str__(self) -> str:
        return "Loud: the broker is away"


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (ValueError("two\n  lines"), "ValueError: two lines"),
        (TimeoutError(), "TimeoutError: no answer in time"),
        (KeyError(), "KeyError"),
        (asyncio.CancelledError(), "CancelledError: cancelled before it ended"),
        (ConnectionResetError(), "ConnectionResetError: the other side closed the connection"),
        (ConnectionResetError(104, "Connection reset by peer"), "ConnectionResetError: Connection reset by peer"),
        (FileNotFoundError(2, "No such file", "/keys"), "FileNotFoundError: No such file: '/keys'"),
        (socket.gaierror(-2, "Name or service not known"), "cannot resolve the host name: Name or service not known"),
        (
            ConnectionRefusedError(111, "Connect call failed ('::1', 5432, 0, 0)"),
            "ConnectionRefusedError: Connect call failed [::1]:5432",
        ),
        (
            KafkaConnectionError(f"Unable to bootstrap from {[('kafka', 9092, socket.AF_UNSPEC)]}"),
            "KafkaConnectionError: Unable to bootstrap from [kafka:9092]",
        ),
        (KafkaTimeoutError(), "KafkaTimeoutError"),
        (RequestTimedOutError(), "RequestTimedOutError"),
        (Loud(), "Loud: the broker is away"),
        (ValueError("ValueErrors are many"), "ValueError: ValueErrors are many"),
    ],
)
def test_error_says_its_type_once_and_what_it_means(error: Exception, said: str) -> None:
    assert describe(error) == said


def test_group_is_described_by_the_errors_in_it() -> None:
    inner = ExceptionGroup("unhandled errors in a TaskGroup", [ValueError("bad row"), TimeoutError()])
    group = ExceptionGroup("unhandled errors in a TaskGroup", [inner, ValueError("bad row")])
    assert describe(group) == "ValueError: bad row; TimeoutError: no answer in time"


def test_large_group_names_its_first_errors_and_counts_the_rest() -> None:
    group = ExceptionGroup("many", [ValueError(str(number)) for number in range(5)])
    assert describe(group) == "ValueError: 0; ValueError: 1; ValueError: 2; and 2 more"
