"""Rules: which act when and where, and what they make of an item."""

from math import isclose, prod

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.core.catalogue import UNKNOWN, Card
from app.core.rules import MAX_RULES, NO_RULES, Rule, Rules, field_errors

NAMES = st.sampled_from("abc")
TIMES = st.integers(0, 6)
FILM = Card(categories=frozenset({"film", "space"}), tags=frozenset({"1979", "classic"}))


def pin(rule_id: str, item_id: str, position: int, **more: object) -> Rule:
    return Rule(rule_id=rule_id, action="pin", item_id=item_id, position=position, **more)


def boost(rule_id: str, factor: float, **more: object) -> Rule:
    return Rule(rule_id=rule_id, action="boost", factor=factor, **more)


@st.composite
def some_rules(draw: st.DrawFn) -> list[Rule]:
    found = []
    for number in range(draw(st.integers(0, 12))):
        starts_ms = draw(st.none() | TIMES)
        when = {
            "within": draw(st.none() | NAMES),
            "starts_ms": starts_ms,
            "ends_ms": draw(st.none() | TIMES.map(lambda length, start=starts_ms: (start or 0) + 1 + length)),
        }
        rule_id = f"r{number}"
        if draw(st.booleans()):
            found.append(pin(rule_id, draw(NAMES), draw(st.integers(1, 4)), **when))
        else:
            target = draw(st.sampled_from(["item_id", "category", "tag"]))
            found.append(boost(rule_id, draw(st.sampled_from([0.0, 0.5, 2.0, 3.0])), **{target: draw(NAMES)}, **when))
    return draw(st.permutations(found))


def acting(rules: list[Rule], now_ms: int, category: str | None) -> list[Rule]:
    """Said once more, one rule after the other."""
    return [
        rule
        for rule in sorted(rules, key=lambda rule: rule.rule_id)
        if (rule.within is None or rule.within == category)
        and (rule.starts_ms is None or rule.starts_ms <= now_ms)
        and (rule.ends_ms is None or now_ms < rule.ends_ms)
    ]


@given(
    some_rules(),
    st.lists(st.tuples(st.integers(-1, 14), st.none() | st.sampled_from("abx")), min_size=1, max_size=6),
    st.frozensets(NAMES),
    st.frozensets(NAMES),
)
def test_active_rules_do_not_depend_on_the_order_of_the_rules(
    rules: list[Rule],
    asked: list[tuple[int, str | None]],
    categories: frozenset[str],
    tags: frozenset[str],
) -> None:
    compiled = Rules(rules)
    assert bool(compiled) == bool(rules)
    card = Card(categories=categories, tags=tags)
    for now_ms, category in asked:
        act = acting(rules, now_ms, category)
        boosts = [rule for rule in act if rule.action == "boost"]

        pins = compiled.pins(now_ms, category)
        assert pins == sorted(pins, key=lambda place: place[0])
        assert {item_id for _, item_id in pins} == {rule.item_id for rule in act if rule.action == "pin"}
        assert len({item_id for _, item_id in pins}) == len(pins)
        for position, item_id in pins:
            assert position == min(rule.position for rule in act if rule.action == "pin" and rule.item_id == item_id)

        by_item = {name: [rule.factor for rule in boosts if rule.item_id == name] for name in "abc"}
        assert compiled.boosted_items(now_ms, category) == {
            name: prod(found) for name, found in by_item.items() if found
        }
        assert compiled.needs_cards(now_ms, category) == any(rule.item_id is None for rule in boosts)
        for item_id in "abx":
            met = [
                rule.factor
                for rule in boosts
                if rule.item_id == item_id or rule.category in categories or rule.tag in tags
            ]
            assert isclose(compiled.factor(item_id, card, now_ms, category), prod(met))


def test_pins_of_one_place_stand_in_the_order_of_their_ids() -> None:
    rules = Rules([pin("z", "first", 1), pin("b", "late", 2), pin("a", "early", 2), pin("c", "early", 9)])
    assert rules.pins(0, None) == [(1, "first"), (2, "early"), (2, "late")]


def test_a_rule_acts_from_its_start_until_before_its_end_and_time_may_go_back() -> None:
    rules = Rules([boost("a", 2.0, item_id="i", starts_ms=10, ends_ms=20)])
    found = [rules.factor("i", UNKNOWN, now_ms, None) for now_ms in (9, 10, 19, 20, 15)]
    assert found == [1.0, 2.0, 2.0, 1.0, 2.0]


def test_item_category_and_tag_multiply() -> None:
    rules = Rules(
        [
            boost("a", 2.0, item_id="alien"),
            boost("b", 3.0, category="film"),
            boost("c", 0.5, tag="classic"),
            boost("d", 10.0, category="space", within="film"),
        ]
    )
    assert rules.factor("alien", FILM, 0, None) == 3.0
    assert rules.factor("alien", FILM, 0, "film") == 30.0
    assert rules.factor("alien", UNKNOWN, 0, None) == 2.0
    assert rules.factor("heat", UNKNOWN, 0, "film") == 1.0


@pytest.mark.parametrize(("factor", "found"), [(10.0, 1e6), (1e-3, 1e-6)])
def test_however_many_multiply_it_stays_a_number_and_only_0_is_0(factor: float, found: float) -> None:
    many = [boost(f"r{number}", factor, item_id="i") for number in range(MAX_RULES - 1)]
    assert Rules(many).factor("i", UNKNOWN, 0, None) == found
    assert Rules([*many, boost("none", 0.0, item_id="i")]).factor("i", UNKNOWN, 0, None) == 0.0


def test_without_rules_nothing_happens() -> None:
    assert not NO_RULES
    assert NO_RULES.pins(0, "film") == []
    assert NO_RULES.boosted_items(0, None) == {}
    assert not NO_RULES.needs_cards(0, None)
    assert NO_RULES.factor("alien", FILM, 0, "film") == 1.0


def test_returned_rules_are_copies() -> None:
    rules = Rules([pin("a", "i", 1), boost("b", 2.0, item_id="i")])
    rules.pins(0, None).clear()
    rules.boosted_items(0, None).clear()
    assert rules.pins(0, None) == [(1, "i")]
    assert rules.boosted_items(0, None) == {"i": 2.0}


def test_too_many_and_two_of_one_id_are_refused() -> None:
    many = [boost(f"r{number}", 2.0, item_id="i") for number in range(MAX_RULES + 1)]
    with pytest.raises(ValueError, match="1001 rules; at most 1000"):
        Rules(many)
    with pytest.raises(ValueError, match="same id"):
        Rules([pin("a", "i", 1), pin("a", "j", 2)])


@pytest.mark.parametrize(
    ("rule", "paths"),
    [
        (pin("a", "i", 1), []),
        (pin("a", "i", 200, starts_ms=1, ends_ms=2), []),
        (boost("a", 0.0, tag="t"), []),
        (boost("a", 10.0, category="c", within="d"), []),
        (pin("a", "i", 0), ["$.position"]),
        (pin("a", "i", 201), ["$.position"]),
        (pin("a", "i", 1, category="c", tag="t", factor=1.0), ["$.category", "$.tag", "$.factor"]),
        (Rule(rule_id="a", action="pin"), ["$.item_id", "$.position"]),
        (boost("a", 2.0), ["$"]),
        (boost("a", 2.0, item_id="i", tag="t"), ["$"]),
        (boost("a", 10.5, item_id="i"), ["$.factor"]),
        (boost("a", float("nan"), item_id="i", position=1), ["$.factor", "$.position"]),
        (Rule(rule_id="a", action="boost", item_id="i"), ["$.factor"]),
        (boost("a", 1.0, item_id="i", starts_ms=5, ends_ms=5), ["$.ends_at"]),
    ],
)
def test_field_errors_name_their_paths(rule: Rule, paths: list[str]) -> None:
    assert [error.path for error in field_errors(rule)] == paths
