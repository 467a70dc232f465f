"""The order of a user's erasures and of what was received of the user."""

from msgspec import Struct


class LastErasure(Struct, frozen=True):
    """`number`: among the erasures of all users; `erased_ms`: the time by the database's clock."""

    number: int
    erased_ms: int

    def came_after(self, erasures: int | None, received_ms: int) -> bool:
        """True when this erasure came after an event, which is then not counted.

        `erasures` is the number of the last erasure of any user when the event was stored. It is None for an event that
        an older release stored or published; then the API's time of receipt decides, as in that release.
        """
        return received_ms <= self.erased_ms if erasures is None else erasures < self.number

    def covers(self, ts_ms: int) -> bool:
        """True when this erasure came after what a file says the user did at `ts_ms`."""
        return ts_ms <= self.erased_ms
