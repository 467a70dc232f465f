"""Clients that others' generators make of the document: no warning, and typed answers from a live server."""

import asyncio
import importlib
import os
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from types import ModuleType
from typing import Any, Final

import httpx
import pytest

from app.core import keys
from app.core.messages import decode_message
from app.settings import Settings
from tests.support.api import serving
from tests.support.npm import npm_install
from tests.support.pipeline import database, message
from workers.batch import FeatureWriter
from workers.incoming import Incoming

KEY, TOKEN = keys.make("ops", ["admin"], "a" * 43)
PACKAGE: Final = "generated_client"
TYPESCRIPT: Final = ("openapi-typescript@7.13.0", "typescript@5.9.3")

USE: Final = """\
import type { components, operations } from "./reco";
type Schemas = components["schemas"];
const watch: Schemas["Watch"] =
  { event_type: "watch", user_id: "ann", session_id: "s1", item_id: "alien", watch_time_sec: 60.5 };
export const batch: Schemas["EventBatch"] = { events: [watch] };
export const query: operations["reco"]["parameters"]["query"] = { user_id: "ann", exclude_seen: ["view"] };
export const first = (list: Schemas["RecommendationList"]): string | undefined => list.items[0]?.item_id;
export const title = (item: Schemas["CatalogueItem"]): string | null => item.title;
export const paths = (problem: Schemas["Problem"]): string[] => (problem.errors ?? []).map(error => error.path);
"""


@pytest.fixture
async def service(settings: Settings, request: pytest.FixtureRequest) -> AsyncIterator[httpx.AsyncClient]:
    """Two users had the same two items."""
    had = [
        message(f"{user_id}-had-{item_id}", user_id=user_id, item_id=item_id)
        for user_id in ("ann", "bob")
        for item_id in ("alien", "aliens")
    ]
    async with database(settings.database_url) as opened:
        incoming = [Incoming(None, "t", decode_message(payload.encode()), None) for payload in had]
        assert (await FeatureWriter(opened, max_retries=1).apply(incoming)).counted == len(had)
    async with serving(settings, api_keys=getattr(request, "param", (KEY.entry(),))) as client:
        yield client


@pytest.fixture
async def document(service: httpx.AsyncClient, tmp_path: Path) -> Path:
    path = tmp_path / "openapi.json"
    path.write_text((await service.get("/openapi.json")).text)
    return path


async def run(*command: str | Path, folder: Path) -> tuple[int, str]:
    """The exit code and all that the program said."""
    found = Path(sys.executable).parent  # the generator calls ruff from PATH
    environment = os.environ | {"PATH": f"{found}{os.pathsep}{os.environ['PATH']}", "NO_UPDATE_NOTIFIER": "1"}
    process = await asyncio.create_subprocess_exec(
        *command, cwd=folder, env=environment, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    said, _ = await process.communicate()
    assert process.returncode is not None
    return process.returncode, said.decode()


@pytest.fixture
async def generated(document: Path, tmp_path: Path) -> AsyncIterator[ModuleType]:
    generator = Path(sys.executable).with_name("openapi-python-client")
    config = tmp_path / "reco.yaml"
    config.write_text("content_type_overrides: {application/x-ndjson: text/plain}")  # as docs/api.md says
    options = ("--config", config, "--meta", "none", "--fail-on-warning", "--output-path", PACKAGE)
    code, said = await run(generator, "generate", "--path", document, *options, folder=tmp_path)
    assert (code, said.strip()) == (0, f"Generating {PACKAGE}")
    with importable(tmp_path):
        yield importlib.import_module(PACKAGE)


@contextmanager
def importable(folder: Path) -> Iterator[None]:
    """Modules of the folder can be imported, and are forgotten afterwards."""
    sys.path.insert(0, str(folder))
    importlib.invalidate_caches()
    try:
        yield
    finally:
        sys.path.remove(str(folder))
        for name in [name for name in sys.modules if name.partition(".")[0] == PACKAGE]:
            del sys.modules[name]


def call(name: str) -> Any:
    """The function of the generated client for one operation."""
    return importlib.import_module(f"{PACKAGE}.api.{name}").asyncio


@pytest.mark.slow
@pytest.mark.parametrize("service", [(), (KEY.entry(),)], ids=["without keys", "with keys"], indirect=True)
async def test_python_client_returns_typed_values(service: httpx.AsyncClient, generated: ModuleType) -> None:
    models = importlib.import_module(f"{PACKAGE}.models")
    async with generated.AuthenticatedClient(base_url=str(service.base_url), token=TOKEN) as client:
        new = models.CatalogueItemInput(title="Alien", categories=["film"])
        item = await call("catalogue.put_item")("alien", client=client, body=new)
        assert isinstance(item, models.CatalogueItem)
        assert (item.item_id, item.title, item.categories) == ("alien", "Alien", ["film"])
        assert isinstance(item.updated_at, datetime)
        assert item.expires_at is None

        who = {"user_id": "ann", "session_id": "s1"}
        shown = models.Impression(items=[models.ShownItem(item_id="alien", position=0)], **who)
        batch = models.EventBatch(
            events=[
                models.Watch(item_id="alien", watch_time_sec=60.5, **who),
                models.Click(item_id="alien", **who),
                shown,
            ]
        )
        stored = await call("events.log_batch")(client=client, body=batch)
        assert isinstance(stored, models.EventBatchResult)
        assert (stored.accepted, [result.status for result in stored.results]) == (3, ["accepted"] * 3)
        alone = await call("events.log_watch")(client=client, body=batch.events[0])
        assert isinstance(alone, models.EventResult)

        popular = await call("recommendations.popular")(client=client, category="film")
        similar = await call("recommendations.similar")("aliens", client=client)
        reco = await call("recommendations.reco")(client=client, user_id="new", explain=True)
        for answer in (popular, similar, reco):
            assert isinstance(answer, models.RecommendationList)
            found = next(item for item in answer.items if item.item_id == "alien")
            assert isinstance(found, models.RecommendedItem)
            assert isinstance(found.score, float)
        assert isinstance(found.parts, models.ScoreParts)

        refused = await call("recommendations.reco")(client=client, user_id="bob", k=500)
        assert isinstance(refused, models.Problem)
        assert refused.errors[0].path == "$.k"


@pytest.mark.slow
async def test_typescript_types_are_made_without_a_warning(document: Path, tmp_path: Path) -> None:
    npm_install(tmp_path, *TYPESCRIPT)
    programs = tmp_path / "node_modules" / ".bin"
    code, said = await run(programs / "openapi-typescript", document, "-o", "reco.ts", folder=tmp_path)
    assert code == 0, said
    assert len(said.strip().splitlines()) == 2, said  # its name and version, and the file it wrote
    (tmp_path / "use.ts").write_text(USE)
    code, said = await run(programs / "tsc", "--strict", "--noEmit", "use.ts", folder=tmp_path)
    assert code == 0, said
