"""What errors say in a line."""

import pytest

from app.errors import describe


class Loud(Exception):
    def __str__(self) -> str:
        return "Loud: the broker is away"


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (ValueError("two\n  lines"), "ValueError: two lines"),
        (TimeoutError(), "TimeoutError"),
        (Loud(), "Loud: the broker is away"),
        (ValueError("ValueErrors are many"), "ValueError: ValueErrors are many"),
    ],
)
def test_the_type_is_named_once(error: Exception, said: str) -> None:
    assert describe(error) == said
