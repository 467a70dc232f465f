"""Processes of one role, beside each other."""

from collections.abc import Mapping

from app.devstack.ports import choose


def role(environment: Mapping[str, str], name: str, **changes: str) -> dict[str, str]:
    """The environment of a process of this role, with a port of its own and the settings that differ."""
    return {**environment, "ROLE": name, "HTTP_PORT": str(choose()), **changes}
