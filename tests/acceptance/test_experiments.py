"""An experiment from its start to its end by two API processes: nothing is restarted or rolled up by hand."""

import json
from typing import Any, Final

import psycopg
import pytest
from click.testing import CliRunner, Result

from app.cli import main
from app.devstack.ports import choose
from tests.support.database import ask
from tests.support.service import Service, eventually, running

_USERS: Final = [f"user-{number}" for number in range(40)]
_SHOWN: Final = {"X-Autolog-Impressions": "true"}
_NEW: Final = {
    "name": "bold",
    "hypothesis": "The latest item alone is a better seed.",
    "variants": [{"name": "latest", "share": 0.5, "weights": {"seeds": 1}}],
    "primary": "ctr",
    "guards": ["conversion"],
    "window_days": 1,
}
# So many users click on half of what they are shown, and those of control on a quarter.
MANY: Final = """
INSERT INTO experiment_users (run, user_id, variant, exposed_at, shown, clicked)
SELECT run, 'of a year ' || number, variant, now() - interval '2 days', 20, (array[5, 10])[1 + number % 2]
FROM generate_series(1, 4000) AS number,
LATERAL (SELECT max(run) AS run FROM experiment_users) AS runs,
LATERAL (SELECT (array['control', 'latest'])[1 + number % 2] AS variant) AS variants
"""


@pytest.mark.slow
@pytest.mark.shows("reco experiments list", "reco experiments show", "reco experiments stop")
def test_an_experiment_starts_is_read_and_ends_without_a_restart(
    environment: dict[str, str], database_url: str
) -> None:
    api = {**environment, "ROLE": "api", "HTTP_PORT": str(choose())}
    with running(environment) as one, running(api) as other:
        put = one.client.post("/items", json={"items": [{"item_id": name, "title": name} for name in ("a", "b", "c")]})
        assert put.status_code == 200
        eventually(lambda: reco(one, "nobody")["items"] and reco(other, "nobody")["items"])
        planned = one.client.post("/experiments:sample-size", json={"metric": "conversion", "baseline": 0.05}).json()
        assert planned["control"] == planned["variant"] > 10_000
        assert one.client.post("/experiments", json=_NEW).status_code == 201
        eventually(lambda: reco(other, "nobody").get("experiment") == "bold.1")

        names = {user: served(one, user) for user in _USERS}
        assert names == {user: served(other, user) for user in _USERS}
        assert set(names.values()) == {"control", "latest"}
        ranked = other.client.post("/rank", json={"user_id": _USERS[0], "items": ["a"]}).json()
        assert "experiment" not in ranked  # other lists
        assert {row["name"] for row in other.client.get("/variants").json()["variants"]} == {"latest", "control"}
        preview = reco(other, _USERS[0], variant="latest")
        assert (preview["variant"], "experiment" in preview) == ("preview", False)

        for user in _USERS:
            answer = reco(other, user, headers=_SHOWN)
            click = {"user_id": user, "session_id": "s", "item_id": answer["items"][0]["item_id"]}
            click |= {"event_type": "click", "request_id": answer["request_id"]}
            assert one.client.post("/event", json=click).status_code == 202
        eventually(lambda: exposed(other) == counts(names), describe=one.describe)
        clicked = "SELECT count(*) FROM experiment_users WHERE clicked > 0"
        eventually(lambda: ask(database_url, clicked) == len(_USERS), describe=one.describe)
        (shown,) = other.client.get(f"/users/{_USERS[0]}").json()["experiments"]
        assert {**shown, "exposed_at": ""} == {
            "experiment": "bold.1",
            "lists": "reco",
            "variant": names[_USERS[0]],
            "exposed_at": "",
        }
        assert shown["exposed_at"] is not None
        # A day later.
        with psycopg.connect(database_url, autocommit=True) as database:
            database.execute("UPDATE experiment_users SET exposed_at = exposed_at - interval '2 days'")
        found = figures(other)["latest"]
        assert (found["metrics"]["ctr"]["users"], found["metrics"]["ctr"]["active"]) == (exposed(other)["latest"],) * 2
        assert found["verdict"]["decision"] == "wait"
        assert "Too early" in found["verdict"]["words"]
        with psycopg.connect(database_url, autocommit=True) as database:
            database.execute(MANY)
        eventually(lambda: figures(other)["latest"]["verdict"]["decision"] == "better", describe=other.describe)
        assert "latest raises the click-through rate (+" in figures(other)["latest"]["verdict"]["words"]
        with psycopg.connect(database_url, autocommit=True) as database:
            database.execute("DELETE FROM experiment_users WHERE user_id LIKE 'of a year %'")
        assert other.client.delete(f"/users/{_USERS[0]}").status_code == 200
        assert sum(exposed(one).values()) == len(_USERS) - 1

        grown = other.client.put("/experiments/bold/shares", json={"shares": {"latest": 0.75}})
        assert grown.json()["experiment"] == "bold.2"
        eventually(lambda: reco(one, "nobody").get("experiment") == "bold.2")
        now = {user: served(one, user) for user in _USERS}
        # Only users of control have moved.
        assert {names[user] for user in _USERS if now[user] != names[user]} == {"control"}

        def run(*arguments: str) -> Result:
            done = CliRunner().invoke(main, ["experiments", *arguments], env=environment)
            assert done.exit_code == 0, done.output
            return done

        assert "latest 75.0%" in run("list").stdout
        assert "Too early" in run("show", "bold").stdout
        assert json.loads(run("show", "bold", "--json").stdout)["experiment"]["name"] == "bold"
        run("stop", "bold", "--conclusion", "no difference")
        eventually(lambda: "experiment" not in reco(one, "nobody") and "experiment" not in reco(other, "nobody"))
        assert one.client.get("/experiments").json()["experiments"][0]["conclusion"] == "no difference"
        with psycopg.connect(database_url, autocommit=True) as database:
            query = "SELECT action FROM audit_log WHERE 'bold' = ANY (targets) ORDER BY recorded_at"
            actions = [row[0] for row in database.execute(query)]
        assert actions == ["start_experiment", "change_experiment", "stop_experiment"]


def reco(service: Service, user: str, headers: dict[str, str] | None = None, **query: str) -> dict[str, Any]:
    answer = service.client.get("/reco", params={"user_id": user, **query}, headers=headers)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def served(service: Service, user: str) -> str:
    return str(reco(service, user)["variant"])


def counts(names: dict[str, str]) -> dict[str, int]:
    return {name: list(names.values()).count(name) for name in ("control", "latest")}


def figures(service: Service) -> dict[str, dict[str, Any]]:
    answer = service.client.get("/experiments/bold")
    assert answer.status_code == 200, answer.text
    return {row["variant"]: row for row in answer.json()["variants"]}


def exposed(service: Service) -> dict[str, int]:
    return {name: row["exposed"] for name, row in figures(service).items()}
