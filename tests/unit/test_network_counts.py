"""Counts by address: what is one address, and how many are told apart."""

import pytest

from app.core.network_counts import MAX_ADDRESSES, OTHERS, NetworkCounts, network_of, parse_networks


@pytest.mark.parametrize(
    ("address", "network"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2:ffff::1", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("/run/reco.sock", "/run/reco.sock"),
    ],
)
def test_addresses_of_one_client_count_as_one(address: str, network: str) -> None:
    assert network_of(address) == network


def test_each_address_counts_for_itself() -> None:
    guesses = NetworkCounts()
    assert [guesses.add(address) for address in ("a", "b", "a", "a")] == [1, 1, 2, 3]
    assert guesses.clear(10) == [("a", 3), ("b", 1)]
    assert guesses.clear(10) == []
    assert guesses.add("a") == 1


def test_addresses_beyond_the_bound_count_together() -> None:
    guesses = NetworkCounts()
    for number in range(MAX_ADDRESSES):
        guesses.add(str(number))
    assert [guesses.add("one more"), guesses.add("and one more"), guesses.add("0")] == [1, 2, 2]
    assert guesses.clear(2) == [("0", 2), ("1", 1), (OTHERS, MAX_ADDRESSES)]


def test_networks_are_named_one_by_one() -> None:
    assert parse_networks(" 10.0.0.0/8, ::1 ,") == ("10.0.0.0/8", "::1")
    with pytest.raises(ValueError, match=r"10\.0\.0\.1/8"):
        parse_networks("10.0.0.1/8")
    with pytest.raises(ValueError, match="networks, such as"):
        parse_networks("*")
