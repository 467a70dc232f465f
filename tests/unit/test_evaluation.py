"""Playing a log: what is counted as a hit, and that lists are those that the service would serve."""

import csv
import gzip
import json
import random
from math import log2
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from app.cli import main
from app.core import synthetic
from app.core.evaluation import VSKNN, Score, Trial, play
from app.core.messages import ImpressionMessage, Message
from app.core.model import MODEL, Model
from app.core.named_weights import from_named, named
from app.core.played_log import PlayedLog
from app.core.rankers import FIXED_WEIGHTS, LEARNED, MODELS, POPULAR, Ranker, ablated, standard, unchanged, varied
from app.core.ranking_samples import is_choice
from app.core.synthetic import World, log
from app.core.weights import FEATURES, FIXED, POPULARITY, START, size_of
from tests.support.purchases import purchase
from tests.support.served_log import as_served

SMALL = World(events=3_000, users=120, items=200, groups=10)


def played(messages: list[Message], rankers: dict[str, Ranker] | None = None, *, last: float = 0.2) -> dict[str, Score]:
    trial = Trial(standard() if rankers is None else rankers)
    *_, done = play(messages, trial, last=last)
    assert done == len(messages)
    return trial.scores()


def small(seed: int = 1) -> list[Message]:
    return list(log(SMALL, random.Random(seed).random))


def test_each_event_is_predicted_before_it_is_learned() -> None:
    """Two tests: `c` is not known yet; then it is, and `b` stands third, for `c` and `a` were bought later."""
    messages = [purchase(0, "u1", "b"), purchase(60 * 24, "u2", "a")]
    messages += [purchase(60 * 24 + 1, "u3", "c"), purchase(60 * 24 + 2, "u4", "b")]
    result = played(messages, {"popular": unchanged(POPULARITY)}, last=0.5)["popular"]
    assert (result.all.tests, result.all.hit_rate, result.new) == (2, 0.5, result.all)
    assert (result.repeated.tests, result.repeated.coverage) == (0, 0.0)
    assert result.all.ndcg == pytest.approx(0.5 / log2(4))
    assert result.all.mrr == pytest.approx(0.5 / 3)
    assert result.coverage == result.all.coverage == 1.0


def test_every_third_event_teaches_after_the_first_few() -> None:
    steps: list[tuple[bool, bool]] = []

    class Steps(Trial):
        def step(self, message: Message, *, tested: bool, taught: bool) -> None:
            steps.append((tested, taught))

    for _ in play([purchase(number, "u", "a") for number in range(100)], Steps({}), last=0.2):
        pass
    assert [number for number, (tested, _) in enumerate(steps) if tested] == list(range(80, 100))
    assert [number for number, (_, taught) in enumerate(steps) if taught] == list(range(6, 100, 3))


def test_an_item_that_always_follows_is_predicted_by_all_but_popularity() -> None:
    messages = [purchase(2 * n + place, f"u{n}", item) for n in range(50) for place, item in enumerate(("a", "b"))]
    found = played(messages, last=0.5)
    assert {name: score.new.tests for name, score in found.items()} == dict.fromkeys(
        (LEARNED, FIXED_WEIGHTS, POPULAR, VSKNN), 50
    )
    assert found[LEARNED].all.hit_rate == 1.0
    assert found[VSKNN].all.hit_rate == 0.5  # it says nothing of a user's first item


def test_items_of_the_user_are_tested_apart() -> None:
    messages = [purchase(n, "ann", "ab"[n % 2]) for n in range(40)]
    found = played(messages, last=0.5)
    assert (found[LEARNED].new.tests, found[LEARNED].repeated.tests) == (0, 20)
    assert found[LEARNED].repeated.hit_rate == found[LEARNED].repeated.coverage == 1.0
    assert found[LEARNED].new.coverage == 0.0


def test_an_item_that_left_the_history_is_still_a_repeat() -> None:
    log = PlayedLog()
    log.learn([purchase(n, "ann", f"item-{n}") for n in range(60)])
    assert log.had("ann", "item-0")
    assert not log.had("ann", "other")
    assert not log.had("bob", "item-0")


@pytest.mark.parametrize("kind", ["shop", "repeats", "news"])
@pytest.mark.parametrize("k", [20, 200])
def test_a_played_log_recommends_what_is_served(kind: str, k: int) -> None:
    messages = list(log(synthetic.WORLDS[kind], random.Random(3).random))[:1_500]
    played_log = PlayedLog()
    for number, message in enumerate(messages):
        assert not isinstance(message, ImpressionMessage)
        if number % 50 == 0:
            candidates, items = played_log.candidates(message.user_id, now_ms=message.ts_ms)
            for weights in (FIXED, START, POPULARITY):
                found = played_log.recommend(message.user_id, candidates, weights[size_of(items)], k)
                assert found == as_served(played_log, message.user_id, weights, message.ts_ms, k)
        played_log.learn([message])


@pytest.mark.parametrize(
    ("kind", "grown"),
    [
        ("news", ("popular_hours", "newness")),
        pytest.param("repeats", ("own", "own_times"), marks=pytest.mark.slow),
        pytest.param("sessions", ("following",), marks=pytest.mark.slow),
        ("drift", ("similar_last",)),
    ],
)
def test_the_learner_finds_the_structure_of_a_log(kind: str, grown: tuple[str, ...]) -> None:
    """Within 5,000 events: the weights of what is planted grow, and the lists are better for it."""
    world = synthetic.WORLDS[kind]
    messages = list(log(world, random.Random(1).random))[:5_000]
    rankers = standard()
    found = played(messages, rankers)
    learned = rankers[LEARNED].learner.weights
    for name in grown:
        column = FEATURES.index(name)
        assert learned[:, column].max() > START[:, column].max() + 0.1, name
    assert found[LEARNED].all.ndcg > found[FIXED_WEIGHTS].all.ndcg


def test_drifting_tastes_new_items_and_new_users_are_followed() -> None:
    messages = small()
    begin = round(len(messages) * 0.8)
    items = [{message.item_id for message in part} for part in (messages[:begin], messages[begin:])]
    assert items[1] - items[0]
    assert {m.user_id for m in messages[begin:]} - {m.user_id for m in messages[:begin]}
    found = played(messages)
    assert {score.all.tests for score in found.values()} == {sum(map(is_choice, messages[begin:]))} != {600}
    assert found[LEARNED].all.hit_rate > found[FIXED_WEIGHTS].all.hit_rate > 2 * found[POPULAR].all.hit_rate
    assert found[LEARNED].coverage > found[POPULAR].coverage


@pytest.mark.parametrize("kind", synthetic.WORLDS)
def test_the_same_seed_makes_the_same_log(kind: str) -> None:
    one, same, other = (list(log(synthetic.WORLDS[kind], random.Random(seed).random)) for seed in (7, 7, 8))
    assert one == same != other
    assert [message.ts_ms for message in one] == sorted(message.ts_ms for message in one)


def test_a_ranker_without_a_feature_never_weighs_it() -> None:
    rankers = ablated()
    assert len(rankers) == len(FEATURES)
    played(small()[:600], rankers)
    for column, ranker in enumerate(rankers.values()):
        assert not ranker.weights[:, column].any()
        assert (ranker.weights != START).sum() > len(FEATURES)


def test_a_varied_ranker_follows_what_is_learned() -> None:
    rankers = standard()
    rankers |= varied(rankers[LEARNED])
    played(small()[:600], rankers)
    learned, half = rankers[LEARNED].weights, rankers["own × 0.5"].weights
    own = FEATURES.index("own")
    assert half[:, own] == pytest.approx(0.5 * learned[:, own])
    assert np.delete(half, own, axis=1) == pytest.approx(np.delete(learned, own, axis=1))
    assert not (rankers[FIXED_WEIGHTS].weights - FIXED).any()


def test_every_constant_is_tried_to_either_side() -> None:
    changed = [
        (name, getattr(model, name) > getattr(MODEL, name))
        for model in MODELS.values()
        for name in Model.__struct_fields__
        if getattr(model, name) != getattr(MODEL, name)
    ]
    tried = set(Model.__struct_fields__)
    assert sorted(changed) == sorted((name, above) for name in tried for above in (False, True))


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    """A gzipped CSV file of long ago, with one line that is not an event."""
    path = tmp_path / "log.csv.gz"
    with gzip.open(path, "wt", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["user_id", "session_id", "item_id", "timestamp"])
        for number in range(200):
            writer.writerow([f"u{number // 2}", "s", "ab"[number % 2], 900_000_000 + number * 60])
        writer.writerow(["u1", "s", "a", "yesterday"])
    return path


@pytest.mark.parametrize(("options", "tests"), [([], 40), (["--last", "0.5"], 100)])
@pytest.mark.shows("reco evaluate")
def test_the_command_says_its_figures_as_json(shop: Path, options: list[str], tests: int) -> None:
    ended = CliRunner().invoke(main, ["evaluate", str(shop), "--event-type", "view", "--k", "5", "--json", *options])
    assert ended.exit_code == 0, ended.output
    found = json.loads(ended.stdout)
    assert (found["events"], found["bad_rows"], found["k"]) == (200, 1, 5)
    assert (found["from_ms"], found["to_ms"]) == (900_000_000_000, 900_011_940_000)
    assert found["scores"].keys() == {LEARNED, FIXED_WEIGHTS, POPULAR, VSKNN}
    assert found["scores"][LEARNED]["all"]["tests"] == tests
    assert found["scores"][LEARNED]["all"]["hit_rate"] == 1.0


def test_the_command_prints_tables_of_what_each_feature_is_worth(shop: Path) -> None:
    ended = CliRunner().invoke(
        main, ["evaluate", str(shop), "--event-type", "view", "--ablate"], env={"COLUMNS": "120"}
    )
    assert ended.exit_code == 0, ended.output
    assert all(name in ended.stdout for name in (*standard(), *ablated(), VSKNN, "hit rate@20", "coverage@20"))
    assert "by the log's clock, 1998-07-09 to 1998-07-09" in ended.stdout
    assert "40 of an item that was new to the user" in ended.stdout
    assert "1 rows are not valid events" in ended.stderr


def test_saved_weights_are_played_as_they_were_learned(shop: Path, tmp_path: Path) -> None:
    saved = tmp_path / "weights.json"
    command = ["evaluate", str(shop), "--event-type", "view", "--json"]
    ended = CliRunner().invoke(main, [*command, "--save-weights", str(saved)])
    assert ended.exit_code == 0, ended.output
    found = json.loads(saved.read_bytes())
    assert found["events"] == 200
    assert found["figures"] == json.loads(ended.stdout)["scores"]
    weights = from_named(found["weights"])
    assert named(weights) == found["weights"]
    assert (weights != START).any()
    again = CliRunner().invoke(main, [*command, "--weights", str(saved)])
    assert json.loads(again.stdout)["scores"]["weights of weights.json"]["all"]["hit_rate"] == 1.0


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("{", "not a file of weights"),
        ("[]", "$.weights"),
        ('{"weights": {"own": [1, 2]}}', "$.weights.own"),
        (f'{{"weights": {{"own": [1{400 * "0"}, 1, 1, 1]}}}}', "from -20 to 20"),
    ],
)
def test_a_file_that_holds_no_weights_is_refused(shop: Path, tmp_path: Path, content: str, said: str) -> None:
    file = tmp_path / "weights.json"
    file.write_text(content)
    ended = CliRunner().invoke(main, ["evaluate", str(shop), "--event-type", "view", "--weights", str(file)])
    assert ended.exit_code == 2
    assert said in ended.stderr


@pytest.mark.parametrize("both", [False, True])
def test_one_log_is_wanted(shop: Path, both: bool) -> None:
    ended = CliRunner().invoke(main, ["evaluate", *((str(shop), "--synthetic", "1") if both else ())])
    assert ended.exit_code == 2
    assert "but not both" in ended.stderr


def test_weights_that_cannot_be_saved_are_told_before_the_log_is_played(shop: Path, tmp_path: Path) -> None:
    missing = tmp_path / "folder" / "weights.json"
    ended = CliRunner().invoke(main, ["evaluate", str(shop), "--event-type", "view", "--save-weights", str(missing)])
    assert ended.exit_code == 2
    assert "its folder does not exist" in ended.stderr
    assert "hit rate" not in ended.stdout


def test_a_log_that_is_too_short_says_so(tmp_path: Path) -> None:
    file = tmp_path / "log.csv"
    file.write_text("user_id,session_id,item_id,event_type,occurred_at\nann,s,a,view,2020-01-01T00:00:00Z\n")
    ended = CliRunner().invoke(main, ["evaluate", str(file)])
    assert ended.exit_code == 2
    assert "too few" in ended.stderr


def test_a_log_whose_end_tests_nothing_says_so(tmp_path: Path) -> None:
    rows = [f"u{number % 5},i{number % 9},hide,{1_600_000_000 + number * 60}" for number in range(100)]
    file = tmp_path / "log.csv"
    file.write_text("\n".join(["user_id,item_id,event_type,timestamp", *rows]))
    ended = CliRunner().invoke(main, ["evaluate", str(file)])
    assert ended.exit_code == 2
    assert "100 events are too few: of the share --last 0.2, 0 say that a user wanted an item" in ended.stderr
