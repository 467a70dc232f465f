"""An event that Postgres refuses for its values costs itself alone, and its client learns why."""

import psycopg

from tests.support.database import ask
from tests.support.service import running

VIEW = {"event_type": "view", "user_id": "ann", "session_id": "s", "item_id": "tent"}


def test_an_event_that_postgres_refuses_is_told_why_and_its_batch_is_stored(
    environment: dict[str, str], database_url: str
) -> None:
    with psycopg.connect(database_url, autocommit=True) as database:
        database.execute(
            "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN IF NEW.user_id = 'bad' THEN "
            "RAISE EXCEPTION 'out of range' USING ERRCODE = '22003'; END IF; RETURN NEW; END $$; "
            "CREATE TRIGGER refuse BEFORE INSERT ON events FOR EACH ROW EXECUTE FUNCTION refuse()"
        )
    with running({**environment, "ROLE": "api"}) as service:
        refused = service.client.post("/event", json={**VIEW, "user_id": "bad"})
        assert refused.status_code == 422
        assert refused.json()["detail"] == "Postgres refused the event: out of range"
        batch = service.client.post("/log/batch", json=[VIEW, {**VIEW, "user_id": "bad"}, VIEW]).json()
        assert [result["status"] for result in batch["results"]] == ["accepted", "invalid", "accepted"]
        assert "out of range" in batch["results"][1]["errors"][0]["message"]
    assert ask(database_url, "SELECT count(*) FROM events") == 2
