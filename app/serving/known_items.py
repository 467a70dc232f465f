"""Which items the catalogue has."""

from collections.abc import Collection

from app.adapters import catalogue
from app.adapters.postgres import Database
from app.core.catalogue import NEVER_SERVED, UNKNOWN, Card
from app.serving.fresh_cache import FreshCache


class KnownItems:
    """`cards`: of the lists, with one of two cards for all items that the catalogue does not have."""

    def __init__(self, database: Database, cards: FreshCache[Card]) -> None:
        self._database = database
        self._cards = cards

    async def among(self, item_ids: Collection[str]) -> Collection[str]:
        """Those that the catalogue has. Raises `DependencyDown`."""
        cards = await self._cards.get_many(item_ids, allow_partial=False)
        absent = [item_id for item_id, card in cards.items() if card is UNKNOWN or card is NEVER_SERVED]
        if not absent:
            return item_ids
        # The lists may not have seen yet what was put into the catalogue a moment ago.
        async with self._database.connection() as connection:
            found = await catalogue.read_cards(connection, absent)
        return cards.keys() - set(absent).difference(found)
