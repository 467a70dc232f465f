"""An experiment from the setting to the figures, by the whole service as it runs: nothing is rolled up by hand."""

import time
from typing import Any, Final

import msgspec
import pytest

from app.core.variants import Variants, parse
from tests.support.service import Service, eventually, running

# Control reads the latest 20 items of a history, `first` the latest alone.
EXPERIMENT: Final = msgspec.json.encode([{"name": "first", "share": 0.5, "weights": {"seeds": 1}}]).decode()
SHOWN: Final = {"X-Autolog-Impressions": "true"}


@pytest.mark.slow
def test_a_variant_shows_other_lists_and_its_figures_come_of_themselves(environment: dict[str, str]) -> None:
    names = {user: Variants("1", parse(EXPERIMENT)).of(user).name for user in (f"user-{n}" for n in range(12))}
    assert set(names.values()) == {"first", "control"}
    with running({**environment, "VARIANTS": EXPERIMENT}) as service:
        for number in range(3):
            buy(service, f"both-{number}", "alien", "aliens")
            buy(service, f"other-{number}", "heat", "ronin")
        for user in names:
            buy(service, user, "heat", "alien")
        # Every history is counted before the first answer is asked for.
        for user in names:
            eventually(lambda user=user: len(stored_history(service, user)) == 2, describe=service.describe)
        for user, name in names.items():
            # What goes with the item before the latest is known to control alone; to the other it is merely popular.
            wanted = {"aliens": "covisitation", "ronin": "covisitation" if name == "control" else "popular"}
            eventually(
                lambda user=user, wanted=wanted: wanted.items() <= sources(reco(service, user)).items(),
                describe=service.describe,
            )
            answer = reco(service, user, headers=SHOWN)
            assert answer["variant"] == name
            click = {"user_id": user, "session_id": "s", "item_id": "aliens", "event_type": "click"}
            sent = service.client.post("/event", json={**click, "request_id": answer["request_id"]})
            assert sent.status_code == 202
        found = eventually(lambda: all_clicked(service, len(names)), 30, service.describe)
    for row in found:
        users = list(names.values()).count(row["variant"])
        assert (row["users"], row["clicked"]) == (users, users)
        assert row["ctr_at_20"]["low"] < row["ctr_at_20"]["value"] < row["ctr_at_20"]["high"]
    control, first = found
    assert (control["variant"], first["variant"]) == ("control", "first")
    assert first["ctr_at_20_difference"]["low"] < first["ctr_at_20_difference"]["high"]


def buy(service: Service, user: str, *items: str) -> None:
    """The last one is the latest, a minute after the one before."""
    now_ms = time.time_ns() // 1_000_000
    for ago, item in enumerate(reversed(items)):
        bought = {"item_id": item, "event_type": "purchase", "ts_ms": now_ms - ago * 60_000}
        event = {"user_id": user, "session_id": "s", **bought}
        assert service.client.post("/event", json=event).status_code == 202


def reco(service: Service, user: str, **more: Any) -> dict[str, Any]:
    answer = service.client.get(f"/reco?user_id={user}", **more)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def sources(answer: dict[str, Any]) -> dict[str, str]:
    return {item["item_id"]: item["source"] for item in answer["items"]}


def stored_history(service: Service, user: str) -> list[Any]:
    answer = service.client.get(f"/users/{user}")
    found: list[Any] = answer.json()["history"] if answer.status_code == 200 else []
    return found


def all_clicked(service: Service, users: int) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = service.client.get("/analytics/baseline").json()["by_variant"]
    return rows if sum(row["clicked"] for row in rows) == users else []
