"""A rebuild of tables that an operator has moved to other tablespaces."""

import psycopg
import pytest

from tests.support.postgres_servers import own_postgres
from tests.support.rebuilding import start_rebuild

_PLACES = (
    "SELECT c.relname, t.spcname FROM pg_class AS c JOIN pg_tablespace AS t ON t.oid = c.reltablespace "
    "WHERE c.relnamespace = 'public'::regnamespace ORDER BY c.relname"
)


@pytest.mark.slow
def test_new_tables_and_indexes_stay_where_the_old_ones_were() -> None:
    with own_postgres({}) as server:
        output, _ = start_rebuild(server.url, "--drop").communicate(timeout=60)  # it applies the migrations
        assert "No rebuild is unfinished now." in output
        with psycopg.connect(server.admin_url.rpartition("/")[0] + "/reco", autocommit=True) as connection:
            connection.execute("SET allow_in_place_tablespaces = on")
            connection.execute("CREATE TABLESPACE large LOCATION ''")
            connection.execute("ALTER TABLE item_pairs SET TABLESPACE large")
            connection.execute("ALTER INDEX item_stats_pkey SET TABLESPACE large")
            places = connection.execute(_PLACES).fetchall()
            process = start_rebuild(server.url)
            output, _ = process.communicate(timeout=120)
            assert process.returncode == 2, output
            assert "are in the tablespace large, where this user may not create" in output
            assert "Run GRANT CREATE ON TABLESPACE" in output
            connection.execute("GRANT CREATE ON TABLESPACE large TO reco")
            process = start_rebuild(server.url)
            output, _ = process.communicate(timeout=120)
            assert process.returncode == 0, output
            assert connection.execute(_PLACES).fetchall() == places
            assert places == [("item_pairs", "large"), ("item_stats_pkey", "large")]
