"""What a backlog teaches: a history that is imported is one."""

from app.adapters.postgres import Database
from app.core.item_index import ItemIndex
from app.core.item_table import ItemTable
from app.core.model import MODEL
from app.core.neighbours import NO_NEIGHBOURS
from app.core.popularity import NO_POPULAR
from tests.support.consuming import incoming
from tests.support.pipeline import message
from workers.batch import FeatureWriter
from workers.sampler import Sampler


async def test_events_whose_pairs_are_thinned_teach(opened: Database) -> None:
    sampler = Sampler(
        lambda seeds, _: (dict.fromkeys(seeds, NO_NEIGHBOURS), NO_POPULAR, None), ItemTable(ItemIndex(), MODEL)
    )
    sampler.is_active = True
    writer = FeatureWriter(opened, max_retries=1, sampler=sampler)
    writer.counting.thins_pairs = True
    applied = await writer.apply(incoming(*(message(f"event-{n:04}", user_id=f"user-{n}") for n in range(5))))
    assert len(applied.samples) == 5
