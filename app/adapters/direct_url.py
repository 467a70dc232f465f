"""DATABASE_DIRECT_URL beside DATABASE_URL: whether both lead to one database, and to what the settings say."""

from typing import Final

import psycopg

from app.adapters import migrations, poolers
from app.errors import DependencyDown, UserError, describe

_ANOTHER: Final = (
    "DATABASE_URL leads to the database {}, and DATABASE_DIRECT_URL to another one, {}: events would be stored in one "
    "and migrations, LISTEN and commands would use the other. Correct the one that is wrong"
)


def check_direct_url(url: str, direct_url: str, *, has_sessions: bool) -> None:
    """`has_sessions`: `url` leads to no pooler in transaction mode, as the settings say.

    Raises `UserError` where that is not so, or where the two are different databases; `DependencyDown` without one.
    """
    if url == direct_url:
        return
    try:
        with migrations.open_connection(direct_url) as direct, migrations.open_connection(url) as connection:
            if has_sessions and poolers.is_pooled(connection):
                with migrations.open_connection(url) as another:
                    poolers.check_session(connection, another, "DATABASE_URL")
            name, direct_name = _database(connection), _database(direct)
            if name != direct_name:
                raise UserError(_ANOTHER.format(name, direct_name))
    except (psycopg.errors.InsufficientPrivilege, psycopg.errors.UndefinedFunction):
        return  # a server that does not tell which cluster it is: nothing tells whether it is another one
    except psycopg.OperationalError as error:
        raise DependencyDown("postgres", describe(error)) from error


def _database(connection: psycopg.Connection) -> str:
    """Its name, and the number of its cluster, which all standbys share."""
    row = connection.execute(
        "SELECT format('%s of cluster %s', current_database(), system_identifier) FROM pg_control_system()",
        prepare=False,
    ).fetchone()
    assert row is not None
    return str(row[0])
