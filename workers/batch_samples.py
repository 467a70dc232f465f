"""Samples of a batch, of histories as the API would rank them: those of all ids of a person are one."""

from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING

from app.adapters import features, user_links
from app.core import persons
from app.core.features import NO_HISTORY, History
from app.core.history import standing
from app.core.messages import Message
from app.core.model import Model
from app.core.ranking_samples import RankingSample
from workers.sampler import BatchSampler, failed

if TYPE_CHECKING:
    from app.adapters.postgres import Connection


class BatchSamples:
    """`taken`: the samples so far. `look` is for each chunk of the batch, in the transaction that counts it."""

    def __init__(
        self, connection: "Connection", sampler: BatchSampler | None, linked: Collection[str], model: Model
    ) -> None:
        """`linked`: the users to whose ids others are linked."""
        self._connection = connection
        self._sampler = sampler
        self._linked = linked
        self._model = model
        self.taken: list[RankingSample] = []

    async def look(self, chunk: Sequence[Message], histories: Mapping[str, History]) -> None:
        """`histories`: those that the transaction has read or made so far, of before the chunk."""
        if self._sampler is None:
            return
        picks = self._sampler.picks(chunk)
        if linked := {pick.message.user_id for pick in picks}.intersection(self._linked):
            try:
                async with self._connection.transaction():  # a savepoint: the batch goes on after an error
                    joined = await self._joined(self._sampler, linked, histories)
            except Exception as error:
                picks = [pick for pick in picks if pick.message.user_id not in linked]
                failed(error, len(linked))
            else:
                histories = {**histories, **joined}
        self.taken += self._sampler.take(picks, histories)

    async def _joined(
        self, sampler: BatchSampler, user_ids: Collection[str], known: Mapping[str, History]
    ) -> dict[str, History]:
        """`known`: histories that may not be written yet."""
        found = await user_links.all_joined(self._connection, user_ids)
        ids = {user_id: (user_id, *linked)[: persons.MAX_IDS] for user_id, linked in found.items()}
        unread = {one for some in ids.values() for one in some}.difference(known)
        stored = await features.read_histories(self._connection, list(unread)) if unread else {}
        with sampler.at_work():
            histories = {**{user_id: features.history_of(entry) for user_id, entry in stored.items()}, **known}
            return {
                user_id: persons.join([standing(histories.get(one, NO_HISTORY)) for one in some], self._model)
                for user_id, some in ids.items()
            }
