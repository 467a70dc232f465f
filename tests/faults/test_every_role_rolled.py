"""Two processes of all roles on one port are restarted one after the other, twice, under load."""

from contextlib import ExitStack

import pytest

from tests.faults.checker import Client, check_service
from tests.support.service import running


@pytest.mark.slow
def test_two_processes_of_every_role_rolled_twice(environment: dict[str, str]) -> None:
    shared = {**environment, "HTTP_REUSE_PORT": "true", "SHUTDOWN_GRACE_SEC": "1"}
    with ExitStack() as processes:
        serving = [processes.enter_context(running(shared)) for _ in range(2)]
        with Client(serving[0].url) as client:
            for _ in range(2):
                for number in range(2):
                    client.await_more(20)
                    assert serving[number].terminate() == 0, serving[number].log()
                    serving[number] = processes.enter_context(running(shared))
            client.await_more(20)
            client.finish()
            assert set(client.statuses) == {202}
            check_service(client, environment, within_sec=30.0)
