"""Which build runs: the version of the package and the revision of the source it was made from."""

import os
import re
from collections.abc import Mapping
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Final

VERSION: Final = version("reco")
UNKNOWN: Final = "unknown"

_CHECKOUT: Final = Path(__file__).resolve().parents[1]
_HASH: Final = re.compile(r"[0-9a-f]{40,64}")


@cache
def current_revision() -> str:
    """The revision of this process: from `RECO_REVISION`, which the image sets, else from the checkout."""
    return find_revision(os.environ, _CHECKOUT)


def find_revision(environ: Mapping[str, str], checkout: Path) -> str:
    """A commit hash, or `unknown`. Reads the files of git, since the program may be missing where this runs."""
    given = environ.get("RECO_REVISION", "").strip()
    return given or _of_checkout(checkout) or UNKNOWN


def _of_checkout(checkout: Path) -> str | None:
    try:
        folder = checkout / ".git"
        if folder.is_file():  # a worktree: the file names its folder
            folder = checkout / folder.read_text().removeprefix("gitdir:").strip()
        shared = folder / "commondir"
        common = folder / shared.read_text().strip() if shared.is_file() else folder
        head = (folder / "HEAD").read_text().strip()
        if _HASH.fullmatch(head):
            return head
        name = head.removeprefix("ref:").strip()
        for place in (folder, common):
            if (place / name).is_file():
                return (place / name).read_text().strip()
        packed = common / "packed-refs"
        lines = packed.read_text().splitlines() if packed.is_file() else []
        return next((line.split()[0] for line in lines if line.endswith(f" {name}")), None)
    except (OSError, UnicodeDecodeError):
        return None
