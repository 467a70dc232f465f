"""An event that Postgres refuses for its values costs itself alone, and its client learns why."""

import psycopg

from tests.support.database import ask
from tests.support.service import eventually, running

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


def test_a_constraint_that_every_users_events_break_means_not_ready_until_it_is_gone(
    environment: dict[str, str], database_url: str
) -> None:
    """The probe's own event would be stored, so that only theirs tell."""
    with (
        psycopg.connect(database_url, autocommit=True) as database,
        running({**environment, "ROLE": "api"}) as service,
    ):
        database.execute("ALTER TABLE events ADD CONSTRAINT no_session CHECK (session_id <> 's')")
        for user in ("ann", "bob", "cid"):
            assert service.client.post("/event", json={**VIEW, "user_id": user}).status_code == 503
        eventually(lambda: service.status("/readyz") == 503, 15.0, service.describe)
        assert "no_session" in service.readiness()["tasks"]["ingest-buffer"]["error"]
        database.execute("ALTER TABLE events DROP CONSTRAINT no_session")
        eventually(lambda: service.status("/readyz") == 200, 15.0, service.describe)
        assert service.client.post("/event", json=VIEW).status_code == 202
