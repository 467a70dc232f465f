"""Times without an end: refused where a client sends them, and no harm where somebody has put them into a row."""

import psycopg

from tests.support.service import Service, eventually, running

_FIRST = "0001-01-01T00:00:00Z"
_LAST = "9999-12-31T23:59:59.999999Z"


def test_infinite_times_stop_no_list(environment: dict[str, str], database_url: str) -> None:
    """Postgres' driver takes the first and the last datetime for infinity, which is no number of milliseconds."""
    rule = {"action": "boost", "item_id": "ended", "factor": 2.0}
    with running({**environment, "ROLE": "api"}) as service:
        for time in (_FIRST, _LAST):
            for target, body, field in (
                ("/items/shoe", {}, "published_at"),
                ("/items/shoe", {}, "expires_at"),
                ("/rules/more", rule, "starts_at"),
                ("/rules/more", rule, "ends_at"),
            ):
                answer = service.client.put(target, json={**body, field: time})
                assert (answer.status_code, answer.json()["errors"][0]["path"]) == (422, f"$.{field}")
        assert service.client.put("/items/shoe", json={"expires_at": "9999-12-31T23:59:59Z"}).status_code == 201
        for item in ("endless", "ended", "old", "never"):
            assert service.client.put(f"/items/{item}", json={"title": item}).status_code == 201
        assert service.client.put("/rules/more", json=rule).status_code == 201
        with psycopg.connect(database_url) as database:
            for item, field, value in (
                ("endless", "expires_at", "infinity"),
                ("ended", "expires_at", "-infinity"),
                ("old", "published_at", "-infinity"),
                ("never", "published_at", "infinity"),
            ):
                database.execute(f"UPDATE items SET {field} = '{value}' WHERE item_id = '{item}'")
            database.execute("UPDATE serving_rules SET starts_at = '-infinity', ends_at = 'infinity'")
        eventually(lambda: served(service) == {"shoe", "endless", "old"}, describe=service.describe)
        assert service.client.get("/items/endless").json()["expires_at"] == _LAST
        found = service.client.get("/rules/more").json()
        assert (found["starts_at"], found["ends_at"], found["active"]) == (_FIRST, _LAST, True)


def served(service: Service) -> set[str]:
    answer = service.client.get("/reco?user_id=zoe&k=9")
    return {item["item_id"] for item in answer.json()["items"]} if answer.status_code == 200 else set()
