"""The calls of `clients/python`: both clients have the same ones, typed, and the recorder answers each of them."""

import inspect
import os
import subprocess
import sys
import typing
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import pytest
import reco_client
from reco_client import (
    AsyncClient,
    CatalogueBatchItem,
    CatalogueItemInput,
    Client,
    Options,
    StateChanged,
)
from reco_client.testing import Recorder

QUICK: Final = Options(interval_sec=0.01, backoff_sec=0.01, exit_sec=10)
OTHERS: Final = {"counts", "send", "send_all", "flush", "close"}
CALLS: Final[dict[str, tuple[Any, ...]]] = {
    "recommend": ("ann",),
    "rank": (["tent", "stove"],),
    "similar": ("tent",),
    "popular": (),
    "bought_together": ("tent",),
    "trending": (),
    "recent": ("ann",),
    "buy_again": ("ann",),
    "identify": ("ann", "visitor-1"),
    "put_item": ("tent", CatalogueItemInput(title="Tent")),
    "put_items": ([CatalogueBatchItem(item_id="tent")],),
    "get_item": ("tent",),
    "get_item_version": ("tent",),
    "patch_item": ("tent",),
    "update_item": ("tent", lambda item: {"title": "New"}),
    "list_items": (),
    "delete_item": ("tent",),
    "declare_attribute": ("weight", "number"),
    "list_attributes": (),
    "delete_attribute": ("price",),
}


@pytest.fixture
def recorder() -> Recorder:
    found = Recorder()
    with found.client(QUICK) as client:
        client.put_item("tent", CatalogueItemInput(title="Tent"))
        client.declare_attribute("price", "number")
    return found


@pytest.mark.parametrize("kind", [Client, AsyncClient])
def test_clients_have_the_same_calls(kind: type[Any]) -> None:
    assert {name for name in vars(kind) if not name.startswith("_")} == CALLS.keys() | OTHERS
    for name in CALLS:
        other = inspect.signature(getattr(Client, name))
        assert inspect.signature(getattr(kind, name)) == other
        assert next(iter(other.parameters)) == "self"
        assert inspect.getdoc(getattr(kind, name))
        assert inspect.iscoroutinefunction(getattr(kind, name)) == (kind is AsyncClient)


@pytest.mark.parametrize("name", CALLS)
async def test_recorder_answers_the_call_with_its_type(recorder: Recorder, name: str) -> None:
    returns = inspect.signature(getattr(Client, name)).return_annotation
    expected = type(None) if returns is None else typing.get_origin(returns) or returns
    with recorder.client(QUICK) as client:
        assert type(getattr(client, name)(*CALLS[name])) is expected
    recorder.attributes["price"] = "number"
    async with recorder.async_client(QUICK) as client:
        if name == "delete_item":
            await client.put_item("tent", CatalogueItemInput(title="Tent"))
        assert type(await getattr(client, name)(*CALLS[name])) is expected


def test_recorder_answers_lists_by_who_and_what_they_are_of(recorder: Recorder) -> None:
    recorder.recent["a/b"], recorder.buy_again["ann"] = ["r"], ["b"]
    recorder.bought_together["tent"], recorder.trending = ["t"], ["now"]
    with recorder.client(QUICK) as client:
        lists = client.recent("a/b"), client.buy_again("ann"), client.bought_together("tent"), client.trending()
        assert [[item.item_id for item in found.items] for found in lists] == [["r"], ["b"], ["t"], ["now"]]
        client.identify("ann", "visitor-1")
    assert recorder.identified == {"visitor-1": "ann"}


def test_recorder_keeps_the_states_of_items_apart(recorder: Recorder) -> None:
    with recorder.client(QUICK) as client:
        read = client.get_item_version("tent")
        client.patch_item("tent", if_match=read.etag, title="New tent")
        changes: list[Callable[[], object]] = [
            lambda: client.patch_item("tent", if_match=read.etag, title="Old tent"),
            lambda: client.put_item("tent", CatalogueItemInput(title="Old tent"), if_match=read.etag),
            lambda: client.put_item("tent", CatalogueItemInput(title="Old tent"), only_new=True),
            lambda: client.put_item("none", CatalogueItemInput(title="None"), if_match=read.etag),
            lambda: client.delete_item("tent", if_match=read.etag),
        ]
        for change in changes:
            with pytest.raises(StateChanged):
                change()
        assert [item.title for item in client.list_items().items] == ["New tent"]

        def after_another(item: object) -> dict[str, str]:
            client.patch_item("tent", title="Of another")
            return {"title": "Mine"}

        with pytest.raises(StateChanged):
            client.update_item("tent", after_another, tries=2)
        client.delete_item("tent", if_match=client.get_item_version("tent").etag)
    assert recorder.items == {}


# Each line with a fault says so.
USE: Final = """
from typing import assert_type
from reco_client import AsyncClient, CatalogueItem, Client, ItemVersion, RecommendationList
from reco_client.models import RankedList

async def use(client: Client, other: AsyncClient) -> None:
    assert_type(client.recommend("ann", k=3), RecommendationList)
    assert_type(await other.recommend("ann", autolog=True), RecommendationList)
    assert_type(client.rank(["tent"], user_id="ann"), RankedList)
    assert_type(await other.get_item_version("tent"), ItemVersion)
    assert_type(client.update_item("tent", lambda item: {"title": item.title}), CatalogueItem)
    assert_type(client.list_attributes(), dict[str, str])
    assert_type(client.delete_item("tent", if_match="1"), None)
    client.recommend()  # fault
    client.get_item(7)  # fault
    await other.declare_attribute("price")  # fault
    await other.put_item("tent", {"title": "Tent"})  # fault
"""


@pytest.mark.slow
def test_type_checker_knows_the_arguments_and_the_answers() -> None:
    # A process of its own: mypy raises the recursion limit of the one it runs in.
    told = subprocess.run(
        [sys.executable, "-m", "mypy", "--config-file=", "--strict", "-c", USE],
        env={**os.environ, "MYPYPATH": str(Path(reco_client.__file__).parents[1])},
        capture_output=True,
        text=True,
        check=False,
    ).stdout
    found = {int(line.split(":")[1]) for line in told.splitlines() if ": error: " in line}
    assert found == {number for number, line in enumerate(USE.splitlines(), 1) if line.endswith("# fault")}, told
