"""Three brokers are restarted one after the other, again and again, under load."""

import os
from typing import Final

import pytest

from tests.faults.checker import Client, check_service
from tests.support.service import running
from tests.support.three_brokers import three_brokers

ROUNDS: Final = int(os.environ.get("RECO_BROKER_ROUNDS", "3"))


@pytest.mark.slow
@pytest.mark.timeout(300 + 60 * ROUNDS)
def test_three_brokers_rolled_under_load(environment: dict[str, str]) -> None:
    """As an upgrade of the brokers does. `RECO_BROKER_ROUNDS` says how often; a round takes 50 s on two cores."""
    with three_brokers() as kafka:
        environment = {
            **environment,
            "KAFKA_BOOTSTRAP_SERVERS": kafka.url,
            "KAFKA_TOPIC_REPLICATION_FACTOR": "3",
        }
        with running(environment) as service, Client(service.url) as client:
            client.await_more(20)
            for _ in range(ROUNDS):
                for broker in kafka.brokers:
                    kafka.await_replicas()
                    broker.restart()
                    client.await_more(20)
            kafka.await_replicas()
            client.finish()
            assert set(client.statuses) == {202}
            check_service(client, environment, within_sec=60.0)
