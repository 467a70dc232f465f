"""Which connection makes room for a new one."""

from typing import Any

from app.http.connections import Connections


class Idle:
    """A connection since its last answer, and its transport."""

    waits = False

    def __init__(self) -> None:
        self.is_closed = False
        self.transport = self

    def get_extra_info(self, name: str) -> Any:
        return None

    def close(self) -> None:
        self.is_closed = True


def test_connections_idle_since_the_same_millisecond_end_in_the_order_they_came() -> None:
    connections = Connections(50)
    kept: list[Any] = [Idle() for _ in range(50)]
    for connection in kept:
        connections.add(connection)
        connections.settle(connection)
        connections.rest(connection)
    for count in range(1, 11):
        new: Any = Idle()
        connections.add(new)
        assert [connection.is_closed for connection in kept] == [True] * count + [False] * (50 - count)
        connections.remove(kept[count - 1])
        connections.settle(new)
