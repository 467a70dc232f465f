"""The stored sums are rebuilt under load while processes die: nothing is lost, and nothing counts twice."""

import psycopg
import pytest

from tests.faults.checker import Client, check_service
from tests.faults.roles import role
from tests.support.database import ask
from tests.support.rebuilding import start_rebuild
from tests.support.service import eventually, running

_GENERATION = "SELECT generation FROM feature_generations WHERE state = 'serving'"
# The lock is of the process at work: what it builds outlasts it.
_AT_WORK = (
    "SELECT count(*) FROM feature_generations, pg_locks WHERE state = 'building' "
    "AND locktype = 'advisory' AND granted AND classid = 0 AND objid = 7236353 AND objsubid = 1 "
    "AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
)


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_rebuild_under_load_while_it_and_a_consumer_are_killed(environment: dict[str, str]) -> None:
    url = environment["DATABASE_URL"]
    with (
        running(role(environment, "api,relay")) as api,
        running(role(environment, "consumer")) as steady,
        Client(api.url, threads=4) as client,
    ):
        client.await_more(500)
        for _ in range(3):
            with running(role(environment, "consumer")) as guest:
                killed = start_rebuild(url)
                eventually(lambda: ask(url, _AT_WORK) == 1, 60.0, steady.describe)
                client.await_more(20)
                guest.kill()
                killed.kill()
                killed.communicate(timeout=30)
                eventually(lambda: ask(url, _AT_WORK) == 0, 30.0, steady.describe)
        for generation in (2, 3):
            output, _ = (finished := start_rebuild(url)).communicate(timeout=100)
            assert finished.returncode == 0, output
            assert ask(url, _GENERATION) == generation
            client.await_more(100)
        client.finish()
        client.settle()
        check_service(client, environment, within_sec=30.0)
    assert set(client.statuses) == {202}


@pytest.mark.slow
def test_sums_that_the_release_cannot_honour_mean_not_ready_until_they_are_rebuilt(environment: dict[str, str]) -> None:
    url = environment["DATABASE_URL"]
    with running(environment) as service:
        with psycopg.connect(url, autocommit=True) as connection:
            # Another release has rebuilt them meanwhile.
            connection.execute("UPDATE feature_generations SET state = 'retired'")
            connection.execute(
                "INSERT INTO feature_generations (generation, state, parameters) "
                "SELECT 2, 'serving', parameters || '{\"fold\": 99}' FROM feature_generations"
            )
        eventually(lambda: service.status("/readyz") == 503, 10.0, service.describe)
        error = service.readiness()["dependencies"]["postgres"]["error"]
        assert "cannot count into generation 2 of the stored sums" in error
        assert "fold is 99 in the stored sums and 1 in this release" in error
        assert "`reco rebuild`" in error
        assert "fold is 99" in service.log()
        with Client(service.url) as client:
            client.finish()
            client.send(10)
            output, _ = (finished := start_rebuild(url)).communicate(timeout=100)
            assert finished.returncode == 0, output
            eventually(lambda: service.status("/readyz") == 200, 10.0, service.describe)
            check_service(client, environment, within_sec=30.0)
