"""What `reco doctor` says of the replica of DATABASE_READ_URL."""

import re

import psycopg

from app.checks import doctor
from app.checks.findings import Finding
from tests.support.postgres_servers import primary_and_standby


async def told(url: str, primary_url: str, *, max_lag_sec: float = 0.2) -> Finding:
    (found,) = [
        finding async for finding in doctor.replica(url, primary_url, has_sessions=True, max_lag_sec=max_lag_sec)
    ]
    return found


async def test_late_or_paused_replica_and_absent_primary_are_told() -> None:
    with primary_and_standby() as (primary, standby):
        standby.await_replay(primary)
        found = await told(standby.url, primary.url, max_lag_sec=60.0)
        # Postgres writes to its log now and then without being asked.
        assert found.level == "ok"
        assert re.fullmatch(r"has replayed the log up to the last [\d,]+ bytes", found.text)
        with psycopg.connect(standby.url, autocommit=True) as reader, psycopg.connect(primary.url) as writer:
            # What is replayed waits for this lock.
            writer.execute("CREATE TABLE held ()")
            writer.commit()
            standby.await_replay(primary)
            with reader.transaction():
                reader.execute("SELECT FROM held")
                writer.execute("DROP TABLE held")
                writer.commit()
                found = await told(standby.url, primary.url)
                assert found.level == "warn"
                assert "is behind by more than the 0.2 s of DATABASE_READ_MAX_LAG_SEC" in found.text
        standby.pause_replay()
        found = await told(standby.url, primary.url)
        assert (found.level, found.text) == ("warn", "its replay is paused")
        standby.resume_replay()
        primary.kill()
        found = await told(standby.url, primary.url)
        assert (found.level, found.text.partition(";")[0]) == ("warn", "answers")
        assert "since the primary does not answer" in found.text
