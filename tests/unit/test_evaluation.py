"""Playing a log: what is counted as a hit, and that logs with a known structure come out as they must."""

import csv
import gzip
import json
import random
from pathlib import Path

import pytest
from click.testing import CliRunner

from app.cli import main
from app.core.ablations import ABLATIONS, AS_SERVED, POPULARITY, SENSITIVITY
from app.core.evaluation import BASELINE, Memory, Score, Trial, play
from app.core.messages import ImpressionMessage, Message, PurchaseMessage
from app.core.model import MODEL, Model
from app.core.popularity import POPULAR_LIMIT
from app.core.profile import Profile
from app.core.signals import LANDMARK_MS
from app.core.synthetic import World, log

MINUTE_MS = 60_000
SMALL = World(events=3_000, users=120, items=200, groups=10)
SECOND_PLACE = 1.0 / 1.584962500721156  # 1 / log2(3)


def score(messages: list[Message], model: Model = MODEL, *, last: float = 0.2, frozen: bool = False) -> Score:
    trial = Trial(model)
    *_, done = play(messages, trial, last=last, frozen=frozen)
    assert done == len(messages)
    return trial.score()


def purchase(number: int, user_id: str, item_id: str) -> Message:
    at_ms = LANDMARK_MS + number * MINUTE_MS
    return PurchaseMessage(
        v=1,
        event_id=f"event-{number:04}",
        user_id=user_id,
        session_id="s",
        item_id=item_id,
        ts_ms=at_ms,
        received_ms=at_ms,
    )


def small(seed: int = 1) -> list[Message]:
    return list(log(SMALL, random.Random(seed).random))


def items_of(messages: list[Message]) -> set[str]:
    return {message.item_id for message in messages if not isinstance(message, ImpressionMessage)}


def test_each_event_is_predicted_before_it_is_learnt() -> None:
    """Two tests: `c` is not known yet; then it is, and `b` stands third, for `c` and `a` were bought later."""
    messages = [purchase(0, "u1", "b"), purchase(60 * 24, "u2", "a")]
    messages += [purchase(60 * 24 + 1, "u3", "c"), purchase(60 * 24 + 2, "u4", "b")]
    result = score(messages, last=0.5)
    assert (result.tests, result.hit_rate) == (2, 0.5)
    assert result.ndcg == pytest.approx(0.5 / 2)
    assert result.coverage == 1.0


def test_an_item_that_always_follows_is_predicted() -> None:
    messages = [purchase(2 * n + place, f"u{n}", item) for n in range(50) for place, item in enumerate(("a", "b"))]
    result = score(messages, last=0.5)
    assert (result.tests, result.hit_rate) == (50, 1.0)
    assert 0.6 < result.ndcg <= 1.0
    assert result.coverage == 1.0


def test_a_frozen_state_is_judged_by_all_that_each_known_user_chose_later() -> None:
    """`ann` can be offered `b` alone, and takes it, and `z`, which nobody could know; `new` is passed over."""
    messages = [purchase(0, "ann", "a"), purchase(1, "bob", "b"), purchase(2, "bob", "a")]
    messages += [purchase(3, "ann", "b"), purchase(4, "ann", "z"), purchase(5, "new", "a")]
    result = score(messages, last=0.5, frozen=True)
    assert (result.tests, result.hit_rate) == (1, 1.0)
    assert result.ndcg == pytest.approx(1.0 / (1.0 + SECOND_PLACE))


def test_frozen_learns_nothing_of_what_it_is_tested_on() -> None:
    messages = [purchase(n, f"u{n % 5}", "old") for n in range(50)] + [purchase(50 + n, "u1", "new") for n in range(10)]
    result = score(messages, last=1 / 6, frozen=True)
    assert (result.tests, result.hit_rate) == (1, 0.0)


def test_the_memory_learns_what_the_tables_would() -> None:
    memory = Memory()
    memory.learn([purchase(0, "ann", "a")])
    memory.learn([purchase(1, "ann", "b"), purchase(2, "bob", "a")])
    assert [seed.item_id for seed in Profile(memory.history("ann")).seeds] == ["b", "a"]
    assert memory.recommend("bob", now_ms=LANDMARK_MS + 3 * MINUTE_MS, k=5) == ["b"]
    assert memory.recommend("nobody", now_ms=LANDMARK_MS + 3 * MINUTE_MS, k=5) == ["a", "b"]


def test_a_page_beyond_what_is_popular_is_filled_as_served() -> None:
    """First what is popular, then what was met last; without what the user has."""
    memory = Memory()
    memory.learn([purchase(n, f"u{n}", f"item-{n:03}") for n in range(POPULAR_LIMIT + 20)])
    served = memory.recommend("u3", now_ms=LANDMARK_MS + (POPULAR_LIMIT + 20) * MINUTE_MS, k=POPULAR_LIMIT + 5)
    assert sorted(served[:POPULAR_LIMIT]) == [f"item-{n:03}" for n in range(20, POPULAR_LIMIT + 20)]
    assert served[POPULAR_LIMIT:] == [f"item-{n:03}" for n in (19, 18, 17, 16, 15)]


def test_drifting_tastes_new_items_and_new_users_are_followed() -> None:
    messages = small()
    begin = round(len(messages) * 0.8)
    assert items_of(messages[begin:]) - items_of(messages[:begin])
    assert {m.user_id for m in messages[begin:]} - {m.user_id for m in messages[:begin]}
    served, popularity = score(messages), score(messages, BASELINE)
    assert served.tests == popularity.tests == 600
    assert served.hit_rate > 2 * popularity.hit_rate
    assert served.hit_rate > score(messages, ABLATIONS["the latest item only"]).hit_rate
    assert served.coverage > popularity.coverage


def test_the_same_seed_makes_the_same_log() -> None:
    assert small(7) == small(7)
    assert small(7) != small(8)
    assert [message.ts_ms for message in small()] == sorted(message.ts_ms for message in small())


def test_every_constant_is_tried_to_either_side() -> None:
    changed = [
        (name, getattr(model, name) > getattr(MODEL, name))
        for model in SENSITIVITY.values()
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
    assert found["scores"].keys() == {AS_SERVED, POPULARITY}
    assert found["scores"][AS_SERVED]["tests"] == tests
    assert found["scores"][AS_SERVED]["hit_rate"] == 1.0


def test_the_command_prints_a_table_of_what_each_ingredient_is_worth(shop: Path) -> None:
    ended = CliRunner().invoke(
        main, ["evaluate", str(shop), "--event-type", "view", "--ablate"], env={"COLUMNS": "120"}
    )
    assert ended.exit_code == 0, ended.output
    assert all(name in ended.stdout for name in (AS_SERVED, "hit rate@20", *ABLATIONS))
    assert "1 rows are not valid events" in ended.stderr


@pytest.mark.parametrize("both", [False, True])
def test_one_log_is_wanted(shop: Path, both: bool) -> None:
    ended = CliRunner().invoke(main, ["evaluate", *((str(shop), "--synthetic", "1") if both else ())])
    assert ended.exit_code == 2
    assert "but not both" in ended.stderr


def test_a_log_that_is_too_short_says_so(tmp_path: Path) -> None:
    file = tmp_path / "log.csv"
    file.write_text("user_id,session_id,item_id,event_type,occurred_at\nann,s,a,view,2020-01-01T00:00:00Z\n")
    ended = CliRunner().invoke(main, ["evaluate", str(file)])
    assert ended.exit_code == 2
    assert "too few" in ended.stderr
