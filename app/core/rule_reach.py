"""What a rule reaches, and what it names that nobody knows: a mistyped id changes nothing, and nobody is told."""

from msgspec import Struct

from app.core.field_errors import FieldError
from app.core.rules import Rule


class Reach(Struct, frozen=True, kw_only=True):
    """`touched`: how many items of the catalogue the rule moves. Of what the rule names: whether the item is in the
    catalogue and has events, and whether an item has the category, the tag, and the category that the rule is within.
    """

    touched: int
    in_catalogue: bool
    has_events: bool
    category: bool
    tag: bool
    within: bool


def items_touched(rule: Rule, reach: Reach) -> int:
    """With an item that the catalogue does not have and users met: it has no category to be within."""
    alone = rule.item_id is not None and not reach.in_catalogue and reach.has_events and rule.within is None
    return reach.touched + alone


def warnings_of(rule: Rule, reach: Reach) -> list[FieldError]:
    """What the rule names and nobody knows; empty when there is nothing to say."""
    found = []
    if rule.item_id is not None and not reach.in_catalogue:
        said = "not in the catalogue" if reach.has_events else "not in the catalogue, and no event names it"
        found.append(FieldError("$.item_id", said))
    for name in ("category", "tag", "within"):
        if getattr(rule, name) is not None and not getattr(reach, name):
            what = "tag" if name == "tag" else "category"
            found.append(FieldError(f"$.{name}", f"no item of the catalogue has this {what}"))
    if not found and not items_touched(rule, reach):
        found.append(FieldError("$.within", "what the rule names is not in this category"))
    return found
