"""Sums up refused keys for the audit log: any number of requests makes few rows. And names keys that pages use."""

import asyncio
from typing import Final

from msgspec import Struct

from app.adapters import audit
from app.adapters.audit import AuditedAction, AuditEntry
from app.adapters.postgres import Database
from app.errors import DependencyDown, describe
from app.supervisor import Progress, wait_for_stop

_EVERY_SEC: Final = 10.0
# Of actor and outcome. There are as many as keys and scopes; what is more than this is one row without an actor.
_MAX_KINDS: Final = 100
_MORE: Final[tuple[AuditedAction, None, str]] = ("refuse_key", None, "more")


class _Refusals(Struct):
    """The first call that was refused so, its request, and how many there were."""

    call: str
    request_id: str
    count: int = 0


class RefusedKeys:
    """`run` is the supervised task; `add` and `expose` count and never wait.

    A row for each key and reason every ten seconds. While Postgres is away the counts go on; a crash loses those of the
    last ten seconds.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._found: dict[tuple[AuditedAction, str | None, str], _Refusals] = {}
        self._exposed: set[str] = set()

    def add(self, actor: str | None, outcome: str, call: str, request_id: str) -> None:
        """`actor`: the name of a key that is valid and lacks the scope. `outcome`: why the call was refused."""
        kind: tuple[AuditedAction, str | None, str] = "refuse_key", actor, outcome
        if kind not in self._found and len(self._found) >= _MAX_KINDS:
            kind = _MORE
        found = self._found.setdefault(kind, _Refusals(call, request_id))
        found.count += 1

    def expose(self, key: str, call: str, request_id: str) -> None:
        """A page uses this key, which is none for browsers: a row for each key and process, as long as it runs."""
        if key not in self._exposed:
            self._exposed.add(key)
            self._found["expose_key", key, "a page in a browser has it"] = _Refusals(call, request_id, 1)

    async def run(self, stop: asyncio.Event, progress: Progress) -> None:
        """Writes until `stop`, and once more then."""
        while not stop.is_set():
            await wait_for_stop(stop, _EVERY_SEC)
            try:
                await self._write()
                progress.beat()
            except DependencyDown as error:
                progress.beat(f"waiting: {describe(error)}")

    async def _write(self) -> None:
        if not self._found:
            return
        found = dict(self._found)
        entries = [
            AuditEntry(
                actor=actor,
                action=action,
                targets=[refusals.call],
                outcome=outcome,
                request_id=refusals.request_id,
                count=refusals.count,
            )
            for (action, actor, outcome), refusals in found.items()
        ]
        async with self._database.connection() as connection, connection.transaction():
            await audit.record(connection, entries)
        for kind, entry in zip(found, entries, strict=True):
            # What came while these were written stays for the next time.
            self._found[kind].count -= entry.count
            if not self._found[kind].count:
                del self._found[kind]
            audit.log(entry)
