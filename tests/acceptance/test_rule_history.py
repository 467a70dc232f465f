"""Who changed a rule, and how a change is undone, by the running service."""

from typing import Any, Final

from app.core import keys
from tests.support.service import Service, eventually, running

_BOOST: Final = {"action": "boost", "category": "camping", "factor": 2.0, "starts_at": "2026-11-01T10:00:00+02:00"}


def test_changes_of_rules_are_listed_and_undone_unless_the_rule_has_changed_since(environment: dict[str, str]) -> None:
    made = {name: keys.make(name, ["read", "catalogue"], name[0] * 43) for name in ("ann", "bob")}
    entries = ",".join(key.entry() for key, _ in made.values())
    with running({**environment, "ROLE": "api", "API_KEYS": entries}) as service:
        ann, bob = ({"x-api-key": token} for _, token in made.values())

        def send(method: str, path: str, who: dict[str, str], **body: Any) -> Any:
            answer = service.client.request(method, path, headers=who, **body)
            assert answer.is_success, answer.text
            return answer.json() if answer.content else None

        def history() -> list[dict[str, Any]]:
            found: list[dict[str, Any]] = send("GET", "/rules:history", ann)["changes"]
            return found

        send("PUT", "/rules/camp", ann, json=_BOOST)
        send("PUT", "/rules/camp", bob, json={**_BOOST, "factor": 0.5})
        stale = service.client.put("/rules/camp", json=_BOOST, headers={**ann, "if-match": '"of before"'})
        assert (stale.status_code, stale.json()["code"]) == (412, "state_changed")
        send("DELETE", "/rules/camp", ann)
        deleted, replaced, created = history()
        assert [(one["did"], one["actor"]) for one in (deleted, replaced, created)] == [
            ("deleted", "ann"),
            ("replaced", "bob"),
            ("created", "ann"),
        ]
        assert (replaced["before"]["factor"], replaced["after"]["factor"], deleted["after"]) == (2.0, 0.5, None)

        refused = service.client.post("/rules:undo", json={"change_id": replaced["change_id"]}, headers=bob)
        assert (refused.status_code, refused.json()["code"]) == (409, "rule_changed")
        assert "camp has changed since" in refused.json()["detail"]
        # One after the other, from the last.
        for change, factor in ((deleted, 0.5), (replaced, 2.0)):
            undone = send("POST", "/rules:undo", bob, json={"change_id": change["change_id"]})
            assert undone["undoes"] == change["change_id"]
            assert send("GET", "/rules/camp", ann)["factor"] == factor
        assert send("GET", "/rules/camp", ann)["starts_at"] == "2026-11-01T08:00:00Z"
        send("POST", "/rules:undo", bob, json={"change_id": created["change_id"]})
        assert send("GET", "/rules", ann)["rules"] == []
        assert [one["actor"] for one in history()[:3]] == ["bob"] * 3
        # Another undo of the same change finds another rule.
        again = service.client.post("/rules:undo", json={"change_id": created["change_id"]}, headers=bob)
        assert again.status_code == 409
        assert send("GET", f"/rules:history?before={deleted['change_id']}&limit=1", ann)["changes"] == [replaced]
        assert send("GET", "/rules:history?rule_id=other", ann)["changes"] == []
        act_on_a_rule_of_an_undo(service, ann)


def act_on_a_rule_of_an_undo(service: Service, ann: dict[str, str]) -> None:
    """An undo acts on the lists, as any change does."""
    for name in ("a", "b"):
        assert service.client.put(f"/items/{name}", json={"title": name}, headers=ann).is_success

    def first() -> str:
        items = service.client.get("/reco?user_id=nobody", headers=ann).json()["items"]
        return str(items[0]["item_id"]) if items else ""

    eventually(lambda: first() in ("a", "b"))
    other = "b" if first() == "a" else "a"
    pin = {"action": "pin", "item_id": other, "position": 1}
    assert service.client.put("/rules/pin", json=pin, headers=ann).is_success
    eventually(lambda: first() == other)
    (change,) = service.client.get("/rules:history?rule_id=pin", headers=ann).json()["changes"]
    assert service.client.post("/rules:undo", json={"change_id": change["change_id"]}, headers=ann).is_success
    eventually(lambda: first() != other)
