"""What the figures of an experiment are said to mean."""

from typing import Final

import pytest

from app.core.experiments import ExperimentBody, Metric, VariantBody
from app.core.sequential import Moments
from app.core.verdicts import VariantSample, broken, changes, verdict

BODY: Final = ExperimentBody(
    name="bold",
    hypothesis="It sells more.",
    variants=[VariantBody(name="newer", share=0.5)],
    primary="conversion",
    guards=["ctr"],
    minimum_effect=0.1,
)


def sample(users: int, buyers: int, clickers: int) -> VariantSample:
    moments: dict[Metric, Moments] = {
        name: Moments(users, active, active, users, active, users, active)
        for name, active in (("conversion", buyers), ("ctr", clickers))
    }
    return VariantSample(users, moments)


CONTROL: Final = sample(100_000, 5_000, 20_000)


@pytest.mark.parametrize(
    ("ours", "decision", "words"),
    [
        (sample(150, 9, 30), "wait", "Too early: each side needs 200 users"),
        (sample(100_000, 5_050, 20_000), "wait", "by less than the 10.0% that is looked for"),
        (sample(2_000, 105, 400), "wait", "No difference yet"),
        (sample(100_000, 6_000, 20_000), "better", "newer raises the share of users who buy (+20.0%"),
        (sample(100_000, 4_000, 20_000), "worse", "newer lowers the share of users who buy (-20.0%"),
        (sample(100_000, 6_000, 15_000), "guard", "Stop: newer makes the click-through rate (-25.0%"),
    ],
)
def test_figures_are_put_into_words(ours: VariantSample, decision: str, words: str) -> None:
    said = verdict("newer", BODY, changes(BODY, ours, CONTROL), CONTROL, ours)
    assert said.decision == decision
    assert words in said.words


def test_a_guard_that_is_not_known_yet_is_named_beside_what_is_better() -> None:
    ours = sample(100_000, 6_000, 20)
    said = verdict("newer", BODY, changes(BODY, ours, CONTROL), CONTROL, ours)
    assert said.decision == "better"
    assert "Not sure yet of the click-through rate" in said.words


def test_numbers_of_users_that_do_not_fit_the_shares_are_named() -> None:
    assert broken([50_000, 50_200], [0.5, 0.5]) is None
    found = broken([50_000, 45_000], [0.5, 0.5])
    assert found is not None
    assert "control first: 52.6% in place of 50.0%, 47.4% in place of 50.0%" in found
