"""Counts by the address that requests came from, within one minute: wrong API keys, and ids of new visitors."""

from collections import Counter
from ipaddress import IPv6Address, ip_address, ip_network
from typing import Final

MAX_ADDRESSES: Final = 10_000
OTHERS: Final = "others"
_SITE_BITS: Final = 64


def network_of(address: str) -> str:
    """What counts as one address: an IPv4 address, or the /64 of an IPv6 address, all of which one client may have."""
    try:
        parsed = ip_address(address.partition("%")[0])
    except ValueError:
        return address  # a socket in the file system has none
    if isinstance(parsed, IPv6Address):
        if parsed.ipv4_mapped is not None:
            return str(parsed.ipv4_mapped)
        return str(ip_network((parsed, _SITE_BITS), strict=False))
    return str(parsed)


def parse_networks(text: str) -> tuple[str, ...]:
    """A comma list of addresses and networks. Raises `ValueError`."""
    found = tuple(part.strip() for part in text.split(",") if part.strip())
    for network in found:
        try:
            ip_network(network)
        except ValueError as error:
            raise ValueError(f"{error}; a comma list of addresses and networks, such as 10.0.0.0/8") from None
    return found


class NetworkCounts:
    """Counts by network. Those beyond the bound are counted together, and so are limited together."""

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()

    def add(self, network: str) -> int:
        """How many there are of this network by now."""
        if network not in self._counts and len(self._counts) >= MAX_ADDRESSES:
            network = OTHERS
        self._counts[network] += 1
        return self._counts[network]

    def clear(self, shown: int) -> list[tuple[str, int]]:
        """Ends the minute. The counts of the `shown` networks with most guesses, then that of all others together."""
        others = self._counts.pop(OTHERS, 0)
        most = self._counts.most_common(shown)
        others += self._counts.total() - sum(count for _, count in most)
        self._counts.clear()
        return [*most, (OTHERS, others)] if others else most
