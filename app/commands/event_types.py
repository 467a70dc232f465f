"""`reco event-types`: the event types that are in use, and what each counts."""

import click
from msgspec import structs

from app.adapters import event_types as stored_types
from app.adapters.event_types import StoredEventType
from app.commands.json_output import json_lines_option, write_json
from app.commands.on_postgres import run_on_postgres


@click.command("event-types")
@json_lines_option
def event_types(as_json: bool) -> None:
    """The event types beside view, click, purchase, watch, impression and cancel, and what an event of each counts.

    PUT and DELETE /event-types/NAME change them.
    """
    for stored in run_on_postgres(stored_types.read_all):
        if as_json:
            write_json(structs.asdict(stored.type) | {"updated_at": stored.updated_at})
        else:
            click.echo(_line(stored))


def _line(stored: StoredEventType) -> str:
    one = stored.type
    pairs = "makes pairs" if one.pairs else "makes no pairs"
    offer = ", ends the offer" if one.ends_offer else ""
    scale = one.rating_scale
    rated = "" if scale is None else f", by a rating from {scale.worst:g} (worst) to {scale.best:g} (best)"
    since = "comes with the service" if stored.updated_at is None else f"since {stored.updated_at:%Y-%m-%d %H:%M} UTC"
    return f"{one.name:<32}  {one.weight:<4g} {one.meaning:<11}  {pairs}{offer}{rated}  ({since})"
