"""When Instacart's users ordered: the rows of its orders name neither user nor time, its file of orders has both.

The file has no dates, but the days between two orders of a user. A user's first order is taken to be of 1 January 2016.
"""

from array import array
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, ClassVar, Final

from app.errors import UserError
from app.importing.delimited import Splitter
from app.importing.lines import read_lines
from app.importing.streams import is_there
from app.importing.values import Refused, number_of

_NEEDED: Final = ("order_id", "user_id", "order_number", "order_hour_of_day", "days_since_prior_order")
_FIRST_MS: Final = int(datetime(2016, 1, 1, tzinfo=UTC).timestamp() * 1000)
_HOUR_MS: Final = 3_600_000
_MOST_DIGITS: Final = 8
_HOURS: Final = 1 << 20  # more than a user's history has


class OrderTimes:
    """Who placed an order, and when, by its number: eight bytes each of the file's 3.4 million."""

    COLUMNS: ClassVar[tuple[str, ...]] = ("user_id", "ordered_at")

    def __init__(self, path: Path) -> None:
        """Raises `UserError` if the file is missing or is another one."""
        if not is_there(path):
            packed = sorted(path.parent.glob(path.name + ".*"))
            if not packed:
                raise UserError(f"{path} is missing: Instacart's orders are joined with it; put it beside this file")
            path = packed[0]
        lines = read_lines(path)
        splitter = Splitter(",")
        first = next(lines, None)
        header = [] if first is None else splitter.split(first.raw.decode(errors="replace").strip(), 0) or []
        if not set(_NEEDED) <= set(header):
            raise UserError(f"{path} is not Instacart's file of orders: it lacks {', '.join(_NEEDED)}")
        places = [header.index(name) for name in _NEEDED]
        self._orders = array("q")
        user, day = "", 0.0
        for line in lines:
            values = splitter.split(line.raw.decode(errors="replace").strip(), len(header))
            if values is None or len(values) != len(header):
                continue
            order_id, of_user, _, hour, days = (values[place] for place in places)
            if not all(text.isdecimal() and len(text) <= _MOST_DIGITS for text in (order_id, of_user, hour)):
                continue  # then the rows of the order are refused
            # A user's orders follow each other in their order.
            day = day + (number_of(days) or 0.0) if of_user == user else 0.0
            user = of_user
            self._put(int(order_id), int(of_user) * _HOURS + int(day) * 24 + int(hour))

    def add(self, values: dict[str, Any]) -> None:
        """Adds `user_id` and `ordered_at` to a row. Raises `Refused` for an order that the file lacks."""
        try:
            packed = self._orders[int(values["order_id"])]
        except (KeyError, ValueError, IndexError):
            packed = 0
        if not packed:
            raise Refused(f"order_id: {values.get('order_id')!r} is not among the orders")
        user, hours = divmod(packed, _HOURS)
        values["user_id"] = str(user)
        values["ordered_at"] = _FIRST_MS + hours * _HOUR_MS

    def _put(self, order_id: int, packed: int) -> None:
        missing = order_id + 1 - len(self._orders)
        if missing > 0:
            self._orders.extend(array("q", bytes(8 * (missing + len(self._orders) // 2))))
        self._orders[order_id] = packed
