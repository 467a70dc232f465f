"""A consumer that is far behind."""

from contextlib import closing

import httpx
import pytest

from app.devstack.ports import choose
from tests.faults.checker import Client, check
from tests.support.database import ask
from tests.support.service import eventually, running

USERS, ITEMS, EVENTS = 20, 61, 2500
PAIRS_OF_NEW_ITEMS = (
    "SELECT count(*) FROM item_pairs AS p "
    "JOIN item_stats AS a ON a.item_key = p.item_a JOIN item_stats AS b ON b.item_key = p.item_b "
    "WHERE starts_with(a.item_id, 'new-') AND starts_with(b.item_id, 'new-')"
)


@pytest.mark.slow
@pytest.mark.shows("FEATURE_CONSUMER_THIN_PAIRS_LAG")
def test_backlog_is_thinned_and_afterwards_all_pairs_count(
    environment: dict[str, str], database_url: str, redis_url: str
) -> None:
    """The backlog's pairs are right on average, all else is exact; what comes later has all of its pairs."""
    front = {**environment, "ROLE": "api,relay"}
    behind = {
        **environment,
        "ROLE": "consumer",
        "HTTP_PORT": str(choose()),
        "FEATURE_CONSUMER_MEMBERS": "1",
        "FEATURE_CONSUMER_MAX_POLL_RECORDS": "50",
        "FEATURE_CONSUMER_THIN_PAIRS_LAG": "500",
    }
    with running(front) as api, closing(Client(api.url, users=USERS, items=ITEMS)) as client:
        for _ in range(0, EVENTS, 500):
            client.send_batch(500)
        eventually(lambda: ask(database_url, "SELECT count(*) FROM event_outbox") == 0, 30.0, api.describe)
        with running(behind) as consumer:
            check(
                client,
                database_url=database_url,
                redis_url=redis_url,
                within_sec=60.0,
                environment=environment,
                thinned=True,
            )
            assert "pairs_thinned" in consumer.log()
            eventually(
                lambda: consumer.metric("reco_feature_consumer_thins_pairs", member="1") == 0, 10.0, consumer.describe
            )
            assert "all_pairs_counted" in consumer.log()
            for number in range(25):
                event = {"event_type": "view", "user_id": "ann", "session_id": "s1", "item_id": f"new-{number}"}
                assert httpx.post(f"{api.url}/event", json=event).status_code == 202
            # Each of the 25 is paired with the 20 before it.
            eventually(lambda: ask(database_url, PAIRS_OF_NEW_ITEMS) == 290, 20.0, consumer.describe)
