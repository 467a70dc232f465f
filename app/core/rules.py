"""Serving rules: an operator pins items to positions, boosts or buries scores, or excludes items.

A rule acts from its start until its end, in answers to one category or in all. The set of active rules changes only at
those boundaries, so it is computed once for each interval between two of them.
"""

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from math import prod
from typing import Final, Literal

from msgspec import Struct

from app.core.catalogue import Card
from app.core.field_errors import FieldError

MAX_RULES: Final = 1_000
MAX_POSITION: Final = 200
MAX_FACTOR: Final = 10.0

# Products of factors are clamped, so that a score stays finite and only a factor of 0 excludes an item.
_SMALLEST: Final = 1e-6
_LARGEST: Final = 1e6

Action = Literal["pin", "boost"]


class Rule(Struct, frozen=True, kw_only=True):
    """Pins an item to a place, or multiplies scores.

    A pin has an `item_id` and a `position`, from 1. A boost has a `factor` from 0 to 10 (below 1 buries, 0 never
    serves) and one of `item_id`, `category`, `tag`. `within`: the rule acts in answers to `category=within` only; None:
    in every answer. It acts from `starts_ms` until before `ends_ms`, where those are given.
    """

    rule_id: str
    action: Action
    item_id: str | None = None
    category: str | None = None
    tag: str | None = None
    position: int | None = None
    factor: float | None = None
    within: str | None = None
    starts_ms: int | None = None
    ends_ms: int | None = None
    note: str | None = None

    def active(self, now_ms: int) -> bool:
        if self.starts_ms is not None and now_ms < self.starts_ms:
            return False
        return self.ends_ms is None or now_ms < self.ends_ms

    def acts(self, now_ms: int, category: str | None) -> bool:
        """Whether it acts now, in answers to `category` (None: in those to no category)."""
        return self.active(now_ms) and self.within in (None, category)


def field_errors(rule: Rule) -> list[FieldError]:
    """The errors of a rule; empty when it is valid."""
    found = []
    targets = [name for name in ("item_id", "category", "tag") if getattr(rule, name) is not None]
    if rule.action == "pin":
        found += [FieldError(f"$.{name}", "a pin has an item_id alone") for name in targets if name != "item_id"]
        if rule.item_id is None:
            found.append(FieldError("$.item_id", "a pin needs one"))
        if rule.position is None or not 1 <= rule.position <= MAX_POSITION:
            found.append(FieldError("$.position", f"a pin needs one from 1 to {MAX_POSITION}"))
        if rule.factor is not None:
            found.append(FieldError("$.factor", "a pin has none"))
    else:
        if len(targets) != 1:
            given = f", not {' and '.join(targets)}" if targets else ""
            found.append(FieldError("$", f"a boost needs one of item_id, category and tag{given}"))
        if rule.factor is None or not 0.0 <= rule.factor <= MAX_FACTOR:
            found.append(FieldError("$.factor", f"a boost needs one from 0 to {MAX_FACTOR:g}"))
        if rule.position is not None:
            found.append(FieldError("$.position", "a boost has none"))
    if rule.starts_ms is not None and rule.ends_ms is not None and rule.ends_ms <= rule.starts_ms:
        found.append(FieldError("$.ends_at", "not after starts_at"))
    return found


class _Acting(Struct, frozen=True):
    """The rules active between two boundaries for one category: pins, and factors by item, category and tag."""

    pins: tuple[tuple[int, str], ...] = ()
    items: dict[str, tuple[float, ...]] = {}
    categories: dict[str, tuple[float, ...]] = {}
    tags: dict[str, tuple[float, ...]] = {}
    named: dict[tuple[str, str], tuple[str, ...]] = {}
    """By what a rule names (`pin`, `item_id`, `category`, `tag`) and its value: the ids of the rules."""
    greatest_of_items: float = 1.0
    greatest_of_cards: float = 1.0
    """No item's factors of categories and tags have a greater product."""


_NOTHING: Final = _Acting()


class TooManyRules(ValueError):
    """There would be more than `MAX_RULES` rules."""


class Rules:
    """Up to 1,000 compiled rules; immutable, and false when empty. Times are milliseconds; `category` None is a request
    without a category.
    """

    def __init__(self, rules: Iterable[Rule] = ()) -> None:
        """The rules must be valid. Raises `TooManyRules`, and `ValueError` for duplicate ids."""
        self._rules = tuple(sorted(rules, key=lambda rule: rule.rule_id))
        if len(self._rules) > MAX_RULES:
            raise TooManyRules(f"{len(self._rules)} rules; at most {MAX_RULES}")
        if len({rule.rule_id for rule in self._rules}) < len(self._rules):
            raise ValueError("two rules have the same id")
        self._boundaries = sorted(
            {at_ms for rule in self._rules for at_ms in (rule.starts_ms, rule.ends_ms) if at_ms is not None}
        )
        self._withins = frozenset(rule.within for rule in self._rules if rule.within is not None)
        self._interval = -1
        self._acting: dict[str | None, _Acting] = {}

    def __bool__(self) -> bool:
        return bool(self._rules)

    def pins(self, now_ms: int, category: str | None) -> list[tuple[int, str]]:
        """Positions (from 1) and items, by position, then rule id. An item pinned twice keeps its first position."""
        return list(self._at(now_ms, category).pins)

    def boosted_items(self, now_ms: int, category: str | None) -> dict[str, float]:
        """Item → product of the factors of the rules that name it."""
        return {item_id: _product(factors) for item_id, factors in self._at(now_ms, category).items.items()}

    def factor(self, item_id: str, card: Card, now_ms: int, category: str | None) -> float:
        """The factor for the item's score: the product of the rules of the item, its categories and its tags.

        0 when one of them is 0, and otherwise from 1e-6 to 1e6.
        """
        acting = self._at(now_ms, category)
        found = acting.items.get(item_id, ())
        if acting.categories:
            for name in card.categories:
                found += acting.categories.get(name, ())
        if acting.tags:
            for name in card.tags:
                found += acting.tags.get(name, ())
        return _product(found) if found else 1.0

    def acting_on(self, item_id: str, card: Card, now_ms: int, category: str | None, *, pinned: bool) -> list[str]:
        """The ids of the rules that move this item, in order. `pinned`: whether a pin put it at its place."""
        named = self._at(now_ms, category).named
        asked = [("pin", item_id)] if pinned else [("item_id", item_id)]
        if not pinned:
            asked += [("category", name) for name in card.categories] + [("tag", name) for name in card.tags]
        return sorted({rule_id for key in asked for rule_id in named.get(key, ())})

    def with_rule(self, rule: Rule) -> "Rules":
        """As it is with this rule, in the place of the one with its id. Raises `ValueError` for too many rules."""
        return Rules([*(other for other in self._rules if other.rule_id != rule.rule_id), rule])

    def needs_cards(self, now_ms: int, category: str | None) -> bool:
        """Whether an active rule names a category or tag, so that `factor` needs the items' cards."""
        acting = self._at(now_ms, category)
        return bool(acting.categories or acting.tags)

    def greatest_factor(self, now_ms: int, category: str | None, *, with_items: bool) -> float:
        """No `factor` is greater than this, which is at least 1. Without items, it bounds what the rules of categories
        and tags multiply by.
        """
        acting = self._at(now_ms, category)
        return acting.greatest_of_cards * (acting.greatest_of_items if with_items else 1.0)

    def _at(self, now_ms: int, category: str | None) -> _Acting:
        if not self._rules:
            return _NOTHING
        interval = bisect_right(self._boundaries, now_ms)
        if interval != self._interval:
            self._interval, self._acting = interval, {}
        asked = category if category in self._withins else None
        acting = self._acting.get(asked)
        if acting is None:
            acting = self._acting[asked] = _compile(rule for rule in self._rules if rule.acts(now_ms, asked))
        return acting


NO_RULES: Final = Rules()


def _compile(rules: Iterable[Rule]) -> _Acting:
    places: dict[str, int] = {}
    items: dict[str, tuple[float, ...]] = {}
    categories: dict[str, tuple[float, ...]] = {}
    tags: dict[str, tuple[float, ...]] = {}
    named: dict[tuple[str, str], tuple[str, ...]] = {}
    pins = []
    for rule in rules:
        for kind in ("item_id", "category", "tag"):
            if (value := getattr(rule, kind)) is not None:
                key = ("pin" if rule.action == "pin" else kind, value)
                named[key] = (*named.get(key, ()), rule.rule_id)
        if rule.position is not None and rule.item_id is not None:
            pins.append((rule.position, rule.rule_id, rule.item_id))
        elif rule.factor is not None:
            for factors, name in ((items, rule.item_id), (categories, rule.category), (tags, rule.tag)):
                if name is not None:
                    factors[name] = (*factors.get(name, ()), rule.factor)
    for position, _, item_id in sorted(pins):
        places.setdefault(item_id, position)
    return _Acting(
        tuple((position, item_id) for item_id, position in places.items()),
        items,
        categories,
        tags,
        named,
        max((1.0, *map(_product, items.values()))),
        min(
            _LARGEST,
            prod(factor for of_one in (*categories.values(), *tags.values()) for factor in of_one if factor > 1.0),
        ),
    )


def _product(factors: Sequence[float]) -> float:
    """Multiplies in sorted order, so that rounding does not depend on the order of the rules."""
    if 0.0 in factors:
        return 0.0
    return min(_LARGEST, max(_SMALLEST, prod(sorted(factors))))
