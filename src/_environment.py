"""Runs the `reco` command from a plain checkout, with whatever Python was at hand."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

_ROOT = Path(__file__).resolve().parents[1]


def reco(*arguments: str) -> None:
    """Goes over to the checkout's own environment where this Python lacks what the command needs."""
    if "DATABASE_URL" not in os.environ and _compose_stack_is_up():
        _in_compose()
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


def _compose_stack_is_up() -> bool:
    """Whether this checkout's Postgres runs in a container. Where it does not, nothing may be created by asking."""
    if not (_ROOT / "compose.yaml").exists() or not shutil.which("docker"):
        return False
    ask = ["docker", "compose", "ps", "-q", "postgres"]
    answer = subprocess.run(ask, cwd=_ROOT, stdin=subprocess.DEVNULL, capture_output=True, check=False)
    return answer.returncode == 0 and bool(answer.stdout.strip())


def _in_compose() -> None:
    """Without a database of our own to name, use the one of the compose stack, whether its API runs or not."""
    print("DATABASE_URL is not set: running in a container of the compose stack", file=sys.stderr, flush=True)
    script = f"src/{Path(sys.argv[0]).name}"
    run = ["docker", "compose", "run", "--rm", "-T", "--no-deps", "--entrypoint", "python", "api", script]
    os.chdir(_ROOT)
    os.execvp(run[0], [*run, *sys.argv[1:]])  # noqa: S606 - a list of arguments, no shell
