"""The option `--json`: what a command reports, as JSON on stdout."""

import sys
from typing import Any, Final

import click
import msgspec

json_option: Final = click.option("--json", "as_json", is_flag=True, help="The report as JSON on stdout.")
json_lines_option: Final = click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")


def write_json(report: Any) -> None:
    """Writes the report on a line of its own: bytes in base64, times in RFC 3339."""
    sys.stdout.buffer.write(msgspec.json.encode(report, enc_hook=str) + b"\n")
    sys.stdout.buffer.flush()
