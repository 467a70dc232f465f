"""The examples of the OpenAPI document are what the service itself reads and writes."""

import msgspec
import pytest

from app.api.examples import EXAMPLES


@pytest.mark.parametrize("kind", EXAMPLES, ids=lambda kind: kind.__name__)
def test_an_example_is_valid(kind: type) -> None:
    assert isinstance(msgspec.convert(EXAMPLES[kind], kind), kind)
