"""The map of a Redis Cluster: what is missing in it, and which servers serve a slot group."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.core.redis_slots import GROUPS, SLOTS, Master, SlotMap, SlotRange, group_of, parse, shown
from app.core.redis_url import check_redis_url, cluster_of
from app.errors import UserError
from app.settings import Settings

ONE, TWO = Master("one", "10.0.0.1", 6379), Master("two", "10.0.0.2", 6379)
HALVES = SlotMap({ONE: [SlotRange(0, 8191)], TWO: [SlotRange(8192, 16383)]})


@given(st.lists(st.integers(0, SLOTS), min_size=2, max_size=8, unique=True))
def test_slots_are_served_or_missing_and_never_both(bounds: list[int]) -> None:
    cuts = sorted(bounds)
    ranges = [SlotRange(first, last - 1) for first, last in zip(cuts[::2], cuts[1::2], strict=False)]
    slots = SlotMap({ONE: ranges[::2], TWO: ranges[1::2]})
    missing = {slot for part in slots.missing() for slot in range(part.first, part.last + 1)}
    assert missing == {slot for slot in range(SLOTS) if slots.master_of(slot) is None}


def test_answer_is_read_with_replicas_and_without_a_host() -> None:
    answer = [
        [0, 100, [b"10.0.0.1", 6379, b"one"], [b"10.0.0.9", 6379, b"replica"]],
        [102, 16383, [b"10.0.0.1", 6379, b"one", [b"hostname", b"a"]]],
        [101, 101, [None, 6380, b"three", []]],
    ]
    slots = parse(answer, "asked.example")
    assert slots.master_of(100) == slots.master_of(102) == ONE
    assert slots.master_of(101) == Master("three", "asked.example", 6380)
    assert slots.missing() == []
    for wrong in ([[0, 1]], [[0, 1, [b"x", "port", b"id"]]], "text", None, [[0, 1, [b"x"]]]):
        with pytest.raises(ValueError, match="cannot be read"):
            parse(wrong, "asked.example")


def test_groups_name_all_servers_of_their_slots_or_are_left_out() -> None:
    groups = HALVES.servers_of_groups({ONE: "a", TWO: "b"})
    assert groups[0] == "0-255 a"
    assert groups[GROUPS - 1] == "16128-16383 b"
    assert HALVES.servers_of_groups({ONE: "a"}).keys() == HALVES.groups_of(ONE) == set(range(32))
    moved = SlotMap({ONE: [SlotRange(0, 8190)], TWO: [SlotRange(8191, 16382)]})
    assert moved.servers_of_groups({ONE: "a", TWO: "b"})[31] == "7936-8190 a, 8191 b"
    assert group_of(8191) not in moved.servers_of_groups({ONE: "a"})
    assert shown(moved.missing()) == "16383"


def test_url_of_a_cluster_names_nodes_and_no_database() -> None:
    address = cluster_of("rediss+cluster://ann:a%2Fb@one,two:7000,[::1]/?ssl_ca_certs=/etc/ca.pem")
    assert address is not None
    assert address.nodes == (("one", 6379), ("two", 7000), ("::1", 6379))
    assert (address.user, address.password) == ("ann", "a/b")
    assert address.tls == {"ssl_ca_certs": "/etc/ca.pem"}
    assert cluster_of("redis://one/3") is None
    with pytest.raises(ValueError, match="database 0 alone"):
        check_redis_url("redis+cluster://one/3")
    with pytest.raises(ValueError, match="unknown parameter sentinel_username"):
        check_redis_url("redis+cluster://one?sentinel_username=x")
    with pytest.raises(ValueError, match=r"for nodes of a cluster redis\+cluster://a,b,c"):
        check_redis_url("redis://one,two")


def test_prefix_that_would_bring_all_keys_to_one_slot_is_refused() -> None:
    given = {
        "DATABASE_URL": "postgresql://reco@localhost/reco",
        "KAFKA_BOOTSTRAP_SERVERS": "localhost:9092",
        "ONLINE_CACHE_KEY_PREFIX": "{shop}",
    }
    assert Settings.from_env(given).online_cache_key_prefix == "{shop}"
    with pytest.raises(UserError, match=r"ONLINE_CACHE_KEY_PREFIX: a \{ in it"):
        Settings.from_env({**given, "ONLINE_CACHE_REDIS_URL": "redis+cluster://one"})
