"""`reco users links`: which ids are joined into one person."""

from functools import partial

import click

from app.adapters import user_links
from app.commands.json_output import json_lines_option, write_json
from app.commands.on_postgres import run_on_postgres


@click.group()
def users() -> None:
    """What links the ids of users."""


@users.command()
@click.argument("user_id")
@json_lines_option
def links(user_id: str, as_json: bool) -> None:
    """The anonymous ids whose histories are joined into that of USER_ID, and the users that it is joined into.

    POST and DELETE /users/USER_ID/merge change them, and `reco audit --action merge_users` says who did.
    """
    found = run_on_postgres(partial(user_links.of_user, user_id=user_id))
    for link in found:
        if as_json:
            write_json(link)
        else:
            since, until = (f"{time:%Y-%m-%d %H:%M} UTC" for time in (link.linked_at, link.undo_until))
            click.echo(f"{link.anonymous_id} -> {link.user_id}  (since {since}, to be undone until {until})")
    if not found and not as_json:
        click.echo("Nothing there.")
