"""How many events there are of each type, to compare what was counted with what could be counted again."""

from msgspec import Struct, structs


class EventNumbers(Struct, frozen=True):
    """Impressions are left out. `other`: of all types but the four that are counted apart."""

    view: int
    click: int
    purchase: int
    watch: int
    other: int

    def missing_of(self, counted: "EventNumbers") -> dict[str, int]:
        """By type, how many of the `counted` ones are not among these."""
        found = {name: getattr(counted, name) - number for name, number in structs.asdict(self).items()}
        return {name: number for name, number in found.items() if number > 0}
