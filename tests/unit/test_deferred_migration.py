"""A migration that takes longer than a probe."""

import asyncio
import threading

import pytest

from app.deferred_migration import DeferredMigration
from app.errors import DependencyDown, UserError


async def test_probes_share_one_migration_and_one_of_them_takes_its_result() -> None:
    goes_on, began = threading.Event(), []

    def migrate() -> None:
        began.append(1)
        goes_on.wait()

    async def waits_for() -> str | None:
        return "the table items" if len(began) == 1 else None

    migration = DeferredMigration(migrate, waits_for)
    probe = asyncio.create_task(migration.wait())
    while not began:
        await asyncio.sleep(0)
    probe.cancel()  # as its deadline does
    for _ in range(2):
        with pytest.raises(DependencyDown, match="migrates, and waits for the table items"):
            await migration.wait()
    goes_on.set()
    await migration.wait()
    assert began == [1]


async def test_migration_that_fails_is_told_and_begun_anew() -> None:
    outcomes = [UserError("changed"), DependencyDown("postgres", "away")]

    def migrate() -> None:
        if outcomes:
            raise outcomes.pop(0)

    async def waits_for() -> None:
        return None

    migration = DeferredMigration(migrate, waits_for)
    with pytest.raises(UserError, match="changed"):
        await migration.wait()
    with pytest.raises(DependencyDown, match="away"):
        await migration.wait()
    await migration.wait()
