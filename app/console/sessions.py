"""Opens and finds the sessions of people who signed in at the console."""

import time

from app.adapters import console_secret
from app.adapters.postgres import Database
from app.core import console_session
from app.core.keys import Key, KeyRing


class ConsoleSessions:
    """Stateless but for the secret, which is read once from Postgres. Both calls raise `DependencyDown` until then."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._secret: bytes | None = None

    async def open(self, key: Key) -> str:
        """The value of the cookie for a session of this key."""
        return console_session.sign(await self._read(), key, int(time.time()) + console_session.LASTS_SEC)

    async def find(self, value: str, ring: KeyRing) -> Key | None:
        return console_session.find_key(await self._read(), ring, value, time.time())

    async def _read(self) -> bytes:
        if self._secret is None:
            async with self._database.connection() as connection:
                self._secret = await console_secret.read(connection)
        return self._secret
