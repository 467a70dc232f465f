"""What became of a batch of messages."""

from msgspec import Struct, field

from app.adapters.history_cache import Versioned
from app.core.ranking_samples import RankingSample


class Applied(Struct):
    """What became of a batch: events counted, duplicates, dead letters; histories to write through to the cache, the
    keys of the events that they count by now (`own_writes.keys_of`), and samples for the learner.

    A dead letter that is not kept, since it is stored already or of before an erasure, is a duplicate. `done`: how many
    records that is, from the first one on. `generation`: the one of the histories.
    """

    counted: int = 0
    duplicates: int = 0
    dead: int = 0
    done: int = 0
    histories: dict[str, Versioned] = field(default_factory=dict)
    event_keys: dict[str, bytes] = field(default_factory=dict)
    samples: list[RankingSample] = field(default_factory=list)
    generation: int | None = None

    def add(self, other: "Applied") -> None:
        self.counted += other.counted
        self.duplicates += other.duplicates
        self.dead += other.dead
        self.done += other.done
        if other.histories:
            if other.generation != self.generation:
                self.histories, self.generation = {}, other.generation  # those of before are read from the new tables
            self.histories.update(other.histories)
            for user_id, keys in other.event_keys.items():
                self.event_keys[user_id] = self.event_keys.get(user_id, b"") + keys
        self.samples += other.samples
