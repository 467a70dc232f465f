"""The revision of a build, from the environment or from the files of a checkout."""

import shutil
import subprocess
from pathlib import Path

import pytest

from app.build import UNKNOWN, find_revision

HASH = "0123456789abcdef0123456789abcdef01234567"


def write(folder: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return folder


@pytest.mark.parametrize(
    "files",
    [
        {".git/HEAD": f"{HASH}\n"},
        {".git/HEAD": "ref: refs/heads/main\n", ".git/refs/heads/main": f"{HASH}\n"},
        {".git/HEAD": "ref: refs/heads/main\n", ".git/packed-refs": f"# pack-refs\n{HASH} refs/heads/main\n"},
        {
            ".git": "gitdir: elsewhere/worktrees/one\n",
            "elsewhere/worktrees/one/HEAD": "ref: refs/heads/one\n",
            "elsewhere/worktrees/one/commondir": "../..\n",
            "elsewhere/refs/heads/one": f"{HASH}\n",
        },
    ],
    ids=["detached", "branch", "packed", "worktree"],
)
def test_a_checkout_names_its_commit(tmp_path: Path, files: dict[str, str]) -> None:
    assert find_revision({}, write(tmp_path, files)) == HASH


def test_the_environment_wins_over_the_checkout(tmp_path: Path) -> None:
    checkout = write(tmp_path, {".git/HEAD": HASH})
    assert find_revision({"RECO_REVISION": "v1.2"}, checkout) == "v1.2"
    assert find_revision({"RECO_REVISION": " "}, checkout) == HASH


@pytest.mark.parametrize("files", [{}, {".git/HEAD": "ref: refs/heads/new\n"}, {".git": "gitdir: nowhere\n"}])
def test_without_a_commit_the_revision_is_unknown(tmp_path: Path, files: dict[str, str]) -> None:
    assert find_revision({}, write(tmp_path, files)) == UNKNOWN


@pytest.mark.skipif(shutil.which("git") is None, reason="git is not installed")
def test_a_real_checkout_has_the_revision_that_git_tells(tmp_path: Path) -> None:
    def git(*arguments: str) -> str:
        command = ["git", "-c", "user.name=t", "-c", "user.email=t@example.org", *arguments]
        return subprocess.run(command, cwd=tmp_path, check=True, capture_output=True, text=True).stdout.strip()

    git("init", "-q")
    git("commit", "-q", "--allow-empty", "-m", "first")
    assert find_revision({}, tmp_path) == git("rev-parse", "HEAD")
    git("pack-refs", "--all")
    assert find_revision({}, tmp_path) == git("rev-parse", "HEAD")
