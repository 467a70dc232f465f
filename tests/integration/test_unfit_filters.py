"""A filter that does not fit the declared attributes is refused only when Postgres has had a second to tell them."""

import asyncio
from typing import Any, cast

import pytest

from app.adapters import attributes
from app.adapters.postgres import Database
from app.core.decoding import InvalidInput
from app.serving.filtering import Filtering


async def test_attribute_that_was_declared_just_now_is_waited_for(
    opened: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    filtering = Filtering(cast(Any, opened), cast(Any, None))
    with pytest.raises(InvalidInput):
        await filtering.filter_of("price < 5")

    async def read_slowly(_: Any) -> dict[str, str]:
        await asyncio.sleep(0.2)
        return {"price": "number"}

    monkeypatch.setattr(attributes, "read_types", read_slowly)
    assert await filtering.filter_of("price < 5")
    await filtering.close()
