"""Histories made of entries."""

from collections.abc import Iterable

from app.core.history import Entry, History, HistoryBuilder
from app.core.model import MODEL


def merge_history(history: History, entries: Iterable[Entry]) -> History:
    """The history with `entries` added."""
    builder = HistoryBuilder(history, MODEL)
    for entry in entries:
        builder.insert(entry, builder.held(entry.item_id))
    return builder.finish()
