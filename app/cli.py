"""The `reco` command: each subcommand is one module of `app.commands`, loaded when it is asked for."""

import importlib
from typing import Final

import click

from app import build
from app.errors import UserError

# command → (module of app.commands, attribute)
_COMMANDS: Final = {
    "serve": ("serve", "serve"),
    "dev": ("dev", "dev"),
    "migrate": ("migrate", "migrate"),
    "import": ("import_", "import_"),
    "export": ("export", "export"),
    "rebuild": ("rebuild", "rebuild"),
    "evaluate": ("evaluate", "evaluate"),
    "load": ("load", "load"),
    "replay": ("replay", "replay"),
    "outbox": ("inspect_rows", "outbox"),
    "key": ("key", "key"),
    "token": ("token", "token"),
    "audit": ("audit", "audit"),
    "users": ("users", "users"),
    "event-types": ("event_types", "event_types"),
    "experiments": ("experiments", "experiments"),
    "status": ("status", "status"),
    "smoke": ("smoke", "smoke"),
    "check": ("check", "check"),
    "doctor": ("doctor", "doctor"),
    "dlq": ("inspect_rows", "dlq"),
    "cache": ("cache", "cache"),
    "model": ("model", "model"),
}


class _Failure(click.ClickException):
    exit_code = 2


class _LazyGroup(click.Group):
    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _COMMANDS:
            return None
        module, attribute = _COMMANDS[cmd_name]
        try:
            command = getattr(importlib.import_module(f"app.commands.{module}"), attribute)
        except ModuleNotFoundError as error:
            if (error.name or "").partition(".")[0] in ("app", "workers"):
                raise
            return _needs_extra(cmd_name, error.name)
        assert isinstance(command, click.Command)
        return command

    def invoke(self, ctx: click.Context) -> object:
        try:
            return super().invoke(ctx)
        except UserError as error:
            raise _Failure(str(error)) from error


def _needs_extra(name: str, package: str | None) -> click.Command:
    """A placeholder for a command whose package is missing in the runtime image; help still lists it."""

    @click.command(name, add_help_option=False, context_settings={"ignore_unknown_options": True})
    @click.argument("arguments", nargs=-1)
    def command(arguments: tuple[str, ...]) -> None:
        raise UserError(
            f"`reco {name}` needs the package {package}, which is not installed: use a checkout (scripts/dev "
            "sets one up), or install the project with its extra `dev`"
        )

    command.short_help = "(needs the extra `dev`)"
    return command


@click.group(cls=_LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(f"{build.VERSION} (revision {build.current_revision()})", prog_name="reco")
def main() -> None:
    """Reco: a real-time recommendation backend. Settings come from the environment (docs/settings.md)."""


if __name__ == "__main__":
    main()
