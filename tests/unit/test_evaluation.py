"""A log with a known structure tells whether predict-then-learn measures what it says."""

import random
from pathlib import Path

import msgspec
import pytest
from click.testing import CliRunner

from app.cli import main
from app.core.evaluation import BASELINE, Score, Trial, play
from app.core.messages import Message, PurchaseMessage
from app.core.model import MODEL, Model
from app.core.signals import LANDMARK_MS
from app.core.synthetic import World, log

SMALL = World(events=3_000, users=120, items=200, groups=10)


def score(messages: list[Message], model: Model = MODEL, *, last: float = 0.2, frozen: bool = False) -> Score:
    trial = Trial(model)
    *_, done = play(messages, trial, last=last, frozen=frozen)
    assert done <= len(messages)
    return trial.score()


def purchase(number: int, user_id: str, item_id: str) -> Message:
    return PurchaseMessage(
        v=1,
        event_id=f"event-{number:04}",
        user_id=user_id,
        session_id="s",
        item_id=item_id,
        ts_ms=LANDMARK_MS + number * 60_000,
        received_ms=LANDMARK_MS,
    )


def test_what_always_follows_is_predicted() -> None:
    messages = [purchase(2 * n + place, f"u{n}", item) for n in range(50) for place, item in enumerate(("a", "b"))]
    result = score(messages, last=0.5)
    assert (result.tests, result.hit_rate) == (50, 1.0)
    assert 0.6 < result.ndcg <= 1.0
    assert result.coverage == 1.0


def test_tastes_are_found_where_popularity_sees_none() -> None:
    messages = list(log(SMALL, random.Random(1).random))
    served, popularity = score(messages), score(messages, BASELINE)
    assert served.tests == popularity.tests > 500
    assert served.hit_rate > 2 * popularity.hit_rate
    assert served.coverage > popularity.coverage


def test_frozen_learns_nothing_of_what_it_is_tested_on() -> None:
    messages = [purchase(n, f"u{n % 5}", "old") for n in range(50)] + [purchase(50 + n, "u1", "new") for n in range(10)]
    assert score(messages, last=1 / 6, frozen=True).hit_rate == 0.0


def test_the_same_seed_makes_the_same_log() -> None:
    first, second = (list(log(SMALL, random.Random(7).random)) for _ in range(2))
    assert first == second
    assert [message.ts_ms for message in first] == sorted(message.ts_ms for message in first)


@pytest.mark.parametrize("options", [[], ["--frozen"]])
def test_the_command_evaluates_a_file(tmp_path: Path, options: list[str]) -> None:
    rows = [f"u{n // 2},{'ab'[n % 2]},{1_700_000_000 + n * 60},purchase" for n in range(200)]
    file = tmp_path / "log.csv"
    file.write_text("\n".join(["user,item,ts,type", *rows]))
    ended = CliRunner().invoke(main, ["evaluate", str(file), "--json", *options])
    assert ended.exit_code == 0, ended.output
    scores = msgspec.json.decode(ended.stdout)
    assert "hit_rate" in msgspec.json.encode(scores).decode()
