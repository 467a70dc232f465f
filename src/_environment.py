"""Runs the `reco` command from a plain checkout, with whatever Python was at hand."""

import os
import sys
from pathlib import Path

_ROOT = Path(__file__).resolve().parents[1]


def reco(*arguments: str) -> None:
    """Goes over to the checkout's own environment where this Python lacks what the command needs."""
    sys.path.insert(0, str(_ROOT))
    try:
        import app.commands.replay  # noqa: F401
        from app.cli import main
    except ImportError as error:
        own = _ROOT / ".venv" / "bin" / "python"
        if own.exists() and Path(sys.prefix).resolve() != (_ROOT / ".venv").resolve():
            os.execv(own, [str(own), *sys.argv])  # noqa: S606 - the same script in the environment made for it
        lacks = f"{sys.executable} lacks {error.name or error}"
        sys.exit(f"{lacks}: run scripts/bootstrap.sh, then .venv/bin/python {sys.argv[0]}")
    main([*arguments, *sys.argv[1:]], prog_name=f"python {sys.argv[0]}")
