"""Each example of the documentation runs on the demo as it is written, and answers what the page shows."""

import gzip
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from app.demo.counting import count_queued
from app.demo.load import load_demo
from app.demo.purchases import SAMPLE
from app.devstack import Stack
from tests.support.doc_examples import Example, differences, documents, examples
from tests.support.service import ROOT, Service, eventually, running
from tests.support.shared_environment import shared_environment

_ASIDE: Final = {"incident-plan.md": "its commands act on a broken service"}
_DOCS: Final = sorted((ROOT / "docs").glob("*.md"))
_PAGES: Final = [ROOT / "README.md", *(path for path in _DOCS if path.name not in _ASIDE)]
_EXAMPLES: Final = {path.name: examples(path) for path in _PAGES}
_RUN: Final = {page: found for page, every in _EXAMPLES.items() if (found := [one for one in every if not one.reason])}
_FIRST: Final = _EXAMPLES["README.md"][0]


@pytest.fixture(scope="module")
def demo(
    stack: Stack, template_database: str, redis_base_url: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[str, str]]:
    """The settings of a service on the demo, all of it counted."""
    with shared_environment(stack, template_database, redis_base_url, "demo") as settings:
        load_demo(settings["DATABASE_URL"])
        log = tmp_path_factory.mktemp("demo") / "demo.log"
        assert count_queued(settings["DATABASE_URL"], {**os.environ, **settings}, log), log.read_text()
        yield settings


@pytest.fixture(scope="module")
def service(demo: dict[str, str]) -> Iterator[Service]:
    with running(demo) as service:
        # Other tests have killed theirs. `reco smoke` waits for 15 s until its events are counted.
        eventually(service.reads_all, 60.0, service.describe)
        yield service


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Where the commands run: `reco` is on the path, and there are the files that the pages name."""
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "reco").symlink_to(ROOT / ".venv" / "bin" / "reco")
    lines = gzip.decompress(SAMPLE.read_bytes()).decode().splitlines(keepends=True)
    purchases = "".join(lines[:1000])
    (tmp_path / "purchases.csv").write_text(purchases)
    (tmp_path / "purchases.csv.gz").write_bytes(gzip.compress(purchases.encode()))
    return tmp_path


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_first_example_of_the_readme_answers_the_same_for_everybody_and_after_a_restart(
    demo: dict[str, str], folder: Path
) -> None:
    for start in range(2):
        with running(demo) as service:
            assert wrong(_FIRST, service, folder) == []
            for number in range(50):
                other = Example(_FIRST.page, _FIRST.line, _FIRST.script.replace("dora", f"dora-{start}-{number}"))
                other.answers = _FIRST.answers
                assert wrong(other, service, folder) == [], number
            assert wrong(_FIRST, service, folder) == []


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("page", _RUN)
def test_examples_of_a_page_answer_what_it_shows(page: str, service: Service, folder: Path) -> None:
    faults = [f"{one}: {fault}" for one in _RUN[page] for fault in wrong(one, service, folder)]
    assert not faults, "\n".join(faults)


@pytest.mark.parametrize("page", _RUN)
def test_page_with_examples_names_the_demo(page: str) -> None:
    text = next(path for path in _PAGES if path.name == page).read_text()
    assert "import.md#the-demo" in text


@pytest.mark.slow
def test_demo_has_what_the_console_measures(service: Service) -> None:
    eventually(lambda: service.client.get("/analytics/conversions?days=14").json()["total"]["converted"])
    figures = service.client.get("/analytics/conversions?days=14").json()
    assert len(figures["by_day"]) > 10
    assert {row["name"] for row in figures["by_placement"]} >= {"home", "mail", "product-page"}
    assert figures["total"]["revenue"][0]["currency"] == "GBP"
    report = service.client.get("/experiments/demo-latest").json()
    assert [row["verdict"]["decision"] for row in report["variants"] if row["verdict"]] == ["better"]
    assert service.client.get("/users/12748").json()["links"][0]["anonymous_id"] == "visitor-0001"
    assert "wishlist" in {row["name"] for row in service.client.get("/event-types").json()["types"]}
    declared = service.client.get("/attributes").json()["attributes"]
    assert {row["type"] for row in declared} == {"number", "text", "flag", "time", "list", "place"}


def wrong(example: Example, service: Service, folder: Path) -> list[str]:
    """What does not hold of an example."""
    address = service.url.removeprefix("http://")
    script = example.script.replace("localhost:8080", address).replace("127.0.0.1:8080", address)
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script.replace("scripts/reco", "reco")],
        cwd=folder,
        env={**service.environment, "PATH": f"{folder / 'bin'}:{os.environ['PATH']}", "HOME": str(folder)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    if done.returncode:
        return [f"exit code {done.returncode}:\n{done.stdout[-2000:]}{done.stderr[-2000:]}{service.describe()}"]
    got = list(documents(done.stdout))
    shown = example.answers
    if not shown:
        return [f"refused: {one}" for one in got if isinstance(one, dict) and {"title", "status", "code"} <= one.keys()]
    if len(got) < len(shown):
        return [f"{len(shown)} answers shown, these came: {done.stdout[-500:]}"]
    pairs = zip(shown, got[-len(shown) :], strict=True)
    return [found for one, other in pairs for found in differences(one, other)]
