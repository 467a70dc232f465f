"""What the context of an event may not be, which is any JSON object otherwise."""

from collections.abc import Sequence
from typing import Any, Final, TypeAlias

from msgspec import UnsetType

from app.core.field_errors import FieldError

MAX_CONTEXT_DEPTH: Final = 100

Context: TypeAlias = dict[str, Any] | UnsetType | None


def depth_faults(context: Context) -> Sequence[FieldError]:
    """Of one that is too deep to be encoded and searched recursively."""
    if not context or not _is_deep(context):
        return ()
    return (FieldError("$.context", f"nested more than {MAX_CONTEXT_DEPTH} levels deep"),)


def nul_faults(context: Context) -> Sequence[FieldError]:
    """Of one that Postgres could not store; of one that is too deep it says nothing. It looks at the whole context."""
    if not context or _is_deep(context) or not _has_nul(context):
        return ()
    return (FieldError("$.context", "the character U+0000 cannot be stored; leave it out"),)


def _is_deep(context: dict[str, Any]) -> bool:
    """Whether the context has more levels than may be stored: what is encoded or searched recursively has an end."""
    level: list[Any] = [context]
    for _ in range(MAX_CONTEXT_DEPTH):
        level = [
            inner
            for outer in level
            for inner in (outer.values() if isinstance(outer, dict) else outer)
            if isinstance(inner, dict | list)
        ]
        if not level:
            return False
    return True


def _has_nul(value: Any) -> bool:
    if isinstance(value, str):
        return "\x00" in value
    if isinstance(value, dict):
        return any(_has_nul(key) or _has_nul(inner) for key, inner in value.items())
    return isinstance(value, list) and any(map(_has_nul, value))
