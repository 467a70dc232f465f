"""The ranking is learned while the service runs: samples, figures, and a version that nobody had to choose."""

import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import msgspec
import psycopg
import pytest
from click.testing import CliRunner

from app.cli import main
from app.core.named_weights import named
from app.core.ranking_learner import ContenderFigures, LearnerReport
from app.core.rolling_figures import RankingFigures
from app.core.weights import START
from app.devstack.ports import choose
from tests.support.database import ask
from tests.support.service import Service, eventually, running
from tests.support.shared_environment import PATIENT

FIRST: Final = 1
"""The version that a new database serves."""

SOON_SEC: Final = 15.0
"""Less than the time after which a cache looks again by itself."""

USERS: Final = 400
# What is similar stands last.
MISTAKE: Final = json.dumps({"weights": named(-START) | {"own": [-5.0] * 4}})


@pytest.fixture
def environment(environment: dict[str, str]) -> dict[str, str]:
    """Of a service that is patient: hundreds of events come at once, and the machine may be busy with other tests."""
    return environment | PATIENT


def reco_model(service: Service, *arguments: str) -> str:
    done = CliRunner(env=service.environment).invoke(main, ["model", *arguments])
    assert done.exit_code == 0, done.output
    return done.output


def model(service: Service) -> dict[str, Any]:
    answer = service.client.get("/model")
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def taught(service: Service) -> float:
    return service.metric("reco_ranking_samples_total", result="taught")


def serves(service: Service) -> float:
    """The version that answers, by the gauge."""
    assert service.client.get("/reco?user_id=ann").status_code == 200
    return service.metric("reco_ranking_version")


def visit(service: Service, seed: int) -> None:
    """Each user sees four items of one of ten shelves, in order: what comes next is planted."""
    chance = random.Random(seed)
    for user in range(0, USERS, 50):
        events = []
        for number in range(user, user + 50):
            shelf, start = chance.randrange(10), chance.randrange(12)
            events += [
                {
                    "event_type": "click",
                    "user_id": f"user-{seed}-{number}",
                    "session_id": "s",
                    "item_id": f"shelf-{shelf}-{start + place}",
                }
                for place in range(4)
            ]
        assert service.client.post("/log/batch", json={"events": events}).status_code == 200


def click_on_shelf_3(service: Service) -> None:
    event = {"user_id": "ann", "session_id": "s", "event_type": "click", "item_id": "shelf-3-5"}
    assert service.client.post("/event", json=event).status_code == 202


def near(service: Service, variant: str | None = None) -> bool:
    """Whether the shelf of the click fills the list. Where it does not, one of its items that nobody saw beside the
    click can still come in: many items are equally popular, and microseconds order them.
    """
    query = {"user_id": "ann", "k": "3"} | ({"variant": variant} if variant else {})
    found = service.client.get("/reco", params=query).json()["items"]
    return len(found) == 3 and all(item["item_id"].startswith("shelf-3") for item in found)


def import_mistake(service: Service, folder: Path) -> None:
    """Weights that the learner starts from as well."""
    file = folder / "weights.json"
    file.write_text(MISTAKE)
    reco_model(service, "import", str(file), "--learn-on")
    reco_model(service, "promote", str(FIRST + 1))


@pytest.mark.slow
@pytest.mark.timeout(420)
def test_mistake_of_an_operator_is_found_and_another_version_serves(
    environment: dict[str, str], tmp_path: Path
) -> None:
    with running(environment) as service:
        import_mistake(service, tmp_path)
        eventually(lambda: serves(service) == FIRST + 1, describe=service.describe)
        rounds = iter(range(1_000))

        def decided() -> bool:
            visit(service, next(rounds))
            return model(service)["version"] != FIRST + 1

        eventually(decided, 300.0, service.describe)
        eventually(lambda: "popularity" in model(service)["figures"], describe=service.describe)
        found = model(service)
        assert "NDCG@20 over" in found["reason"]
        assert found["learner"]["state"] == "learning"
        assert found["figures"]["popularity"]["all"]["tests"] >= 500
        assert 0.0 < found["figures"]["fixed"]["new"]["hit_rate"] <= 1.0
        eventually(lambda: serves(service) == model(service)["version"], describe=service.describe)
        assert service.metric("reco_ranking_ndcg", contender="served", items="all") > 0.0
        listed = reco_model(service, "list")
        assert "serves" in listed


def test_other_version_changes_the_answers_within_a_second_or_so(environment: dict[str, str], tmp_path: Path) -> None:
    with running(environment) as service:
        for seed in range(3):
            visit(service, seed)
        click_on_shelf_3(service)
        eventually(lambda: near(service), 30.0, service.describe)
        import_mistake(service, tmp_path)
        reco_model(service, "pin")
        eventually(lambda: not near(service), describe=service.describe)
        reco_model(service, "rollback")
        eventually(lambda: near(service), describe=service.describe)
        assert model(service)["pinned"]


@pytest.mark.slow
def test_variants_version_serves_as_soon_as_it_is_stored(environment: dict[str, str], tmp_path: Path) -> None:
    variants = json.dumps(
        [{"name": "odd", "share": 0.5, "model": FIRST + 1}, {"name": "gone", "share": 0.1, "model": 99}]
    )
    with running({**environment, "VARIANTS": variants}) as service:
        for seed in range(3):
            visit(service, seed)
        click_on_shelf_3(service)
        # The version of `odd` does not exist yet either.
        eventually(lambda: all(near(service, name) for name in ("control", "gone", "odd")), 30.0, service.describe)
        file = tmp_path / "weights.json"
        file.write_text(MISTAKE)
        reco_model(service, "import", str(file))
        eventually(lambda: not near(service, "odd"), SOON_SEC, service.describe)
        named = f"SELECT count(named_at) FROM ranking_models WHERE version = {FIRST + 1}"
        eventually(lambda: ask(environment["DATABASE_URL"], named) == 1, describe=service.describe)


@pytest.mark.timeout(300)
@pytest.mark.slow
@pytest.mark.parametrize("fault", [Service.kill, Service.freeze])
def test_killed_or_frozen_learner_is_replaced_by_another_process_that_goes_on(
    environment: dict[str, str], fault: Callable[[Service], None]
) -> None:
    others = [{**environment, "ROLE": "consumer", "HTTP_PORT": str(choose())} for _ in range(2)]
    with (
        running({**environment, "ROLE": "api,relay"}) as api,
        running(others[0]) as one,
        running(others[1]) as two,
    ):
        rounds = iter(range(1_000))

        def both_have_begun() -> bool:
            visit(api, next(rounds))
            return model(api)["learner"]["samples"] > 20

        eventually(both_have_begun, 100.0, one.describe)
        details = {detail(one): one, detail(two): two}
        assert any(text.startswith("stands by: another process learns") for text in details), details
        ended = next(process for text, process in details.items() if text.startswith("has learned from"))
        heir = two if ended is one else one
        before = model(api)["learner"]["samples"]
        fault(ended)
        eventually(lambda: learned(heir) >= before, 45.0, heir.describe)

        def goes_on() -> bool:
            visit(api, next(rounds))
            return model(api)["learner"]["samples"] > before + 20

        # The partitions of the other process come to it when Kafka's session of that one has ended.
        eventually(goes_on, 60.0, heir.describe)
        assert heir.readiness()["tasks"]["learner"]["restarts"] == 0
        if fault is Service.freeze:
            ended.thaw()
            eventually(lambda: learned(ended) < 0 <= learned(heir), 30.0, ended.describe)


def detail(process: Service) -> str:
    return str(process.readiness()["tasks"]["learner"]["detail"])


def learned(process: Service) -> int:
    """From how many samples, as the process says; -1: it stands by."""
    words = detail(process).split()
    return int(words[3]) if words[:3] == ["has", "learned", "from"] else -1


@pytest.mark.slow
@pytest.mark.shows("RANKING_LEARNING")
def test_nothing_is_learned_where_learning_is_off(environment: dict[str, str]) -> None:
    with running({**environment, "RANKING_LEARNING": "off"}) as service:
        visit(service, 1)
        eventually(lambda: service.metric("reco_feature_consumer_processed_total", status="applied") >= USERS * 4)
        assert "learner" not in service.readiness()["tasks"]
        assert taught(service) == 0
        assert model(service)["learner"]["state"] == "not running"
        # What a learner said of this version, before others served, and of another one.
        figures = RankingFigures(7, 0.5, 0.4, 0.3)
        for version, tests in ((FIRST, 7), (FIRST + 1, 0)):
            report = LearnerReport(9, 7, {}, {"served": ContenderFigures(figures, figures)}, None, version)
            with psycopg.connect(environment["DATABASE_URL"]) as connection:
                connection.execute("UPDATE ranking_learner SET report = %s", [msgspec.json.encode(report)])
            found = model(service)
            assert (found["learner"]["samples"], found["learner"]["tests"]) == (9, tests)
            assert bool(found["figures"]) == (tests > 0)
