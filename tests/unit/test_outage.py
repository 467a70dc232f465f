"""When an outage begins and ends, as one loop sees it."""

from app.errors import DependencyDown
from workers.outage import Outage

KAFKA, POSTGRES = DependencyDown("kafka", "refused"), DependencyDown("postgres", "refused")


def test_first_failure_of_each_dependency_is_worth_a_line() -> None:
    outage = Outage()
    assert [outage.failed(error) for error in (KAFKA, KAFKA, POSTGRES, KAFKA, POSTGRES)] == [
        True,
        False,
        True,
        False,
        False,
    ]
    assert outage.failures == 5
    assert outage.detail == "waiting: DependencyDown: postgres: refused"


def test_outage_goes_on_while_one_dependency_has_not_answered() -> None:
    outage = Outage()
    outage.failed(KAFKA)
    outage.failed(POSTGRES)
    assert outage.worked("postgres") == 0
    assert outage.detail is not None
    assert outage.failed(KAFKA) is False


def test_outage_ends_when_all_that_failed_has_answered() -> None:
    outage = Outage()
    outage.failed(KAFKA)
    assert outage.worked("postgres", "kafka") == 1
    assert (outage.failures, outage.detail) == (0, None)
    assert outage.failed(KAFKA) is True


def test_work_without_an_outage_ends_none() -> None:
    assert Outage().worked("postgres", "kafka") == 0


def test_error_of_another_kind_ends_with_the_outage() -> None:
    outage = Outage()
    outage.failed(ValueError("no such topic"))
    assert outage.ended() == 1
    assert outage.failed(ValueError("no such topic")) is True
