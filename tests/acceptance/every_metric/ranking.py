"""The step in which the ranking is worse than popularity alone: weights that are the wrong way round are pinned."""

import json
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from app.core.events import TOPIC_INTERACTIONS
from app.core.named_weights import named
from app.core.weights import START
from tests.acceptance.every_metric.run import Run
from tests.support.pipeline import message

# As many as the alert asks for; five of one user teach in an hour.
_TESTS: Final = 500
_USERS: Final = 20
_ITEMS: Final = 40


def ranking_behind(run: Run) -> None:
    with TemporaryDirectory() as folder:
        file = Path(folder) / "weights.json"
        file.write_text(json.dumps({"weights": named(-START)}))
        run.reco("model", "import", str(file))
    run.reco("model", "pin", "2")
    turn = 0
    # Of the pinned version alone: what came before the service had heard of it does not count for the alert.
    while run.metric("reco_ranking_version_tests") < _TESTS:
        turn += 1
        assert turn < 200, run.service.describe()
        for user in range(_USERS):
            for item in {(user + turn) % 3, (user * turn) % _ITEMS}:
                event = f"rank-{turn}-{user}-{item}"
                text = message(event, event_type="click", user_id=f"{turn}-{user}", item_id=f"liked-{item}")
                run.kafka.produce(run.topic(TOPIC_INTERACTIONS), text, key=f"{user}".encode())
        assert run.kafka.flush(20.0) == 0
        run.until(lambda: run.metric("reco_feature_consumer_partition_lag") == 0)
        run.recording.scrape()
    # Of both answers from now on, one reads what was pinned.
    assert run.client.get("/reco?user_id=ann").is_success
    run.until(
        lambda: (
            run.metric("reco_ranking_ndcg", contender="served", items="all")
            < run.metric("reco_ranking_ndcg", contender="popularity", items="all")
        )
    )
    run.recording.steps["ranking behind"] = run.recording.scrape(), run.recording.scrape()
    run.reco("model", "promote", "1")
    run.reco("model", "unpin")
