"""The `reco` command: each subcommand is one module of `app.commands`, loaded when it is asked for."""

import importlib
from keyword import iskeyword
from typing import Final

import click
from click.exceptions import NoSuchCommand
from click.shell_completion import CompletionItem

from app import build
from app.errors import UserError

# Each with the first sentence of its help: to import them all takes seconds.
_COMMANDS: Final = {
    "serve": "Run the service for ROLE until SIGTERM.",
    "dev": "Run the whole service with its own PostgreSQL, Redis and Kafka; Ctrl-C ends all of it.",
    "migrate": "Apply missing migrations.",
    "import": "Import logs of events, or with --items catalogues.",
    "export": "Write what is stored as files to FOLDER/events, FOLDER/impressions or FOLDER/features.",
    "rebuild": "Make the features anew from the stored events, with the parameters of this release, and serve them.",
    "evaluate": "Play a log of events in time order: recommend before each event, count the hits, then learn from it.",
    "load": "Measure the service: rates, latencies, freshness.",
    "replay": "Replay dead rows, dead letters or lost events.",
    "outbox": "Dead outbox rows, which Kafka refused too often.",
    "key": "API keys.",
    "token": "Tokens by which an application tells the service who uses a page.",
    "audit": "The audit log, newest first: what API keys and commands changed, and refused keys.",
    "users": "What links the ids of users.",
    "event-types": "The event types beside view, click, purchase, watch, impression and cancel, and what an event of "
    "each counts.",
    "experiments": "Experiments: list them, read what their figures say, and stop them.",
    "status": "Show tasks and dependencies of the process at URL, as /readyz has them.",
    "smoke": "Send one event of each kind through the service at URL, with timings.",
    "check": "Compare the service's SLA window and KPIs with the targets of its contract.",
    "doctor": "Check the settings, and each dependency as seen from here: version, latency, permissions, clock, "
    "schema.",
    "dlq": "Messages that the consumer could not count.",
    "cache": "Choose the backend of the cache of histories.",
    "model": "The learned ranking: list its versions, compare them, and choose which one serves.",
}
# Those without a module of their own.
_MODULES: Final = {"outbox": "inspect_rows", "dlq": "inspect_rows"}


class _Failure(click.ClickException):
    exit_code = 2


class _LazyGroup(click.Group):
    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _COMMANDS:
            return None
        name = f"{cmd_name}_" if iskeyword(cmd_name) else cmd_name.replace("-", "_")
        try:
            command = getattr(importlib.import_module(f"app.commands.{_MODULES.get(cmd_name, name)}"), name)
        except ModuleNotFoundError as error:
            if (error.name or "").partition(".")[0] in ("app", "workers"):
                raise
            return _needs_extra(cmd_name, error.name)
        assert isinstance(command, click.Command)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        try:
            return super().resolve_command(ctx, args)
        except NoSuchCommand as error:
            raise NoSuchCommand(error.command_name, possibilities=_COMMANDS, ctx=ctx) from None

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(_COMMANDS.items()))

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        commands = _COMMANDS.items()
        found = [CompletionItem(name, help=sentence) for name, sentence in commands if name.startswith(incomplete)]
        return found + click.Command.shell_complete(self, ctx, incomplete)

    def invoke(self, ctx: click.Context) -> object:
        try:
            return super().invoke(ctx)
        except UserError as error:
            raise _Failure(str(error)) from error


def _needs_extra(name: str, package: str | None) -> click.Command:
    """A placeholder for a command whose package is missing in the runtime image."""

    @click.command(name, add_help_option=False, context_settings={"ignore_unknown_options": True})
    @click.argument("arguments", nargs=-1)
    def command(arguments: tuple[str, ...]) -> None:
        raise UserError(
            f"`reco {name}` needs the package {package}, which is not installed: use a checkout (scripts/dev "
            "sets one up), or install the project with its extra `dev`"
        )

    return command


@click.group(cls=_LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(f"{build.VERSION} (revision {build.current_revision()})", prog_name="reco")
def main() -> None:
    """Reco: a real-time recommendation backend. Settings come from the environment (docs/settings.md)."""


if __name__ == "__main__":
    main()
