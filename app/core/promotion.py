"""When learned weights serve, and when they no longer do: by the paired differences of NDCG on the same events.

The differences are looked at again and again, so a look asks for more than a single test would: at three standard
errors and a look every hundred tests, two rankings that are equally good are taken for different about once in twenty
thousand tests, and the gain that a promotion needs besides makes that rarer still.
"""

from typing import Final, Literal

from msgspec import Struct

from app.core.rolling_figures import Contender, Difference, RollingFigures

LEAST_TESTS: Final = 500
"""No decision before so many tests of what serves."""

LOOK_EVERY: Final = 100
"""Tests from one look to the next."""

Z: Final = 3.0
"""A difference counts when it is so many standard errors from 0."""

LEAST_GAIN: Final = 0.01
"""A difference counts from this share of the NDCG of what serves on: not each small step is a version."""


class Verdict(Struct, frozen=True):
    """What to do, and why, in words with the figures."""

    action: Literal["promote", "roll_back"]
    reason: str


def is_due(since: int) -> bool:
    """Whether to look, so many tests after what serves began to serve."""
    return since >= LEAST_TESTS and since % LOOK_EVERY == 0


def verdict(figures: RollingFigures, since: int) -> Verdict | None:
    """None: leave what serves. `since`: tests since it began to serve."""
    if since < LEAST_TESTS:
        return None
    gained = figures.difference("learned", "served", last=since)
    served = figures.figures("served", last=since).ndcg
    if _counts(gained, served) and figures.difference("fixed", "learned", last=since).mean <= 0.0:
        return Verdict("promote", f"what is learned is {_in_words(gained)} better than what serves")
    others: dict[Contender, str] = {"fixed": "the fixed constants", "before": "what served before"}
    for name, words in others.items():
        lost = figures.difference(name, "served", last=since)
        if _counts(lost, served):
            return Verdict("roll_back", f"what serves is {_in_words(lost)} worse than {words}")
    return None


def goes_back_to(figures: RollingFigures, since: int) -> Literal["before", "fixed"]:
    """Where a rollback leads: to what served before, or to the constants where those are better."""
    return "fixed" if figures.difference("fixed", "before", last=since).mean > 0.0 else "before"


def _counts(found: Difference, served: float) -> bool:
    return found.mean > max(Z * found.error, LEAST_GAIN * served)


def _in_words(found: Difference) -> str:
    return f"{found.mean:.4f} (standard error {found.error:.4f}) of NDCG@20 over {found.tests} tests"
