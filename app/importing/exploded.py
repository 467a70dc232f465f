"""Makes a row of each entry of a list: of a session's events, an order's lines or a basket's items."""

from collections.abc import Iterator

from app.importing.contents import Values, bad_row
from app.importing.lines import FileLine
from app.importing.rows import BadRow
from app.importing.values import as_list, finder

Lists = tuple[str, bool] | None
"""The column with the lists, and whether their entries may be ids of items; None where there are no lists."""


def exploded(values: Values, line: FileLine, lists: Lists) -> Iterator[Values | BadRow]:
    """The values of each entry, with what it lacks from around it; without a list, the values.

    An object has values of its own. Any other entry, where ids are taken, is the value of the list's column.
    """
    found = None if lists is None else finder(lists[0])(values)
    if lists is None or found is None:
        yield values
        return
    nested, of_ids = lists
    inner = as_list(found)
    if inner is None and not of_ids:
        yield bad_row(line, f"{nested}: a list of objects is expected", values)
        return
    around = {name: value for name, value in values.items() if name != nested}
    for entry in [found] if inner is None else inner:
        if isinstance(entry, dict):
            yield around | entry
        elif of_ids:
            yield around | {nested: entry}
        else:
            yield bad_row(line, f"{nested}: a list of objects is expected", entry)
