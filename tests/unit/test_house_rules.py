"""Rules of the house that no linter knows. They read files, and need nothing but the checkout and the locked tools."""

import ast
import re
import tomllib
from collections import Counter
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[2]
MAX_MODULE_LINES = 300
# Put together here, so that this file does not hold them itself.
UNFINISHED = re.compile("|".join(("TO" + "DO", "FIX" + "ME", "X" * 3)))
LOCKS = {"requirements.lock": (), "requirements-dev.lock": ("dev",), "requirements-spark.lock": ("spark",)}


CODE = ("app", "workers", "src", "tests", "clients/python")


def modules(*folders: str) -> list[Path]:
    return [path for folder in folders for path in sorted((ROOT / folder).rglob("*.py"))]


# What a program writes has as many fields as the API.
GENERATED = ROOT / "clients/python/reco_client/models.py"


def test_modules_stay_small() -> None:
    written = set(modules(*CODE)) - {GENERATED}
    lines = {path: len(path.read_text(encoding="utf-8").splitlines()) for path in written}
    assert lines
    assert {str(path.relative_to(ROOT)): count for path, count in lines.items() if count > MAX_MODULE_LINES} == {}


def test_a_class_or_a_type_has_its_name_alone() -> None:
    """One word, one meaning. Parameters of calls (`app/api`) are named as the calls name them."""
    owners: dict[str, list[str]] = {}
    for path in modules("app/adapters", "app/core", "app/http", "app/ingest", "app/serving", "app/load", "workers"):
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                owners.setdefault(node.name, []).append(str(path.relative_to(ROOT)))
    assert {name: paths for name, paths in owners.items() if len(paths) > 1} == {}


def test_nothing_is_left_for_later() -> None:
    texts = [
        *modules(*CODE),
        *(ROOT / "app").rglob("*.sql"),
        *(path for folder in ("migrations", "scripts", "ops", "docs") for path in (ROOT / folder).rglob("*")),
    ]
    found = [
        f"{path.relative_to(ROOT)}:{number}: {line.strip()}"
        for path in texts
        if path.is_file() and "__pycache__" not in path.parts
        for number, line in enumerate(path.read_text(encoding="utf-8", errors="replace").splitlines(), start=1)
        if UNFINISHED.search(line)
    ]
    assert found == []


def test_decision_records_have_numbers_of_their_own_and_every_part() -> None:
    records = [path for path in sorted((ROOT / "docs" / "adr").glob("*.md")) if path.name != "README.md"]
    assert records
    assert [path.name for path in records if not re.fullmatch(r"\d{4}-[a-z0-9-]+\.md", path.name)] == []
    taken = Counter(path.name[:4] for path in records)
    assert [number for number, times in taken.items() if times > 1] == []
    for path in records:
        headings = re.findall(r"^## (.+)$", path.read_text(encoding="utf-8"), re.MULTILINE)
        assert {"Context", "Decision", "Consequences"} <= set(headings), path.name


def test_every_contract_of_the_layers_is_about_modules_that_exist() -> None:
    """A layer whose module was renamed would guard nothing, and import-linter passes over some of those in silence."""
    contracts = project()["tool"]["importlinter"]["contracts"]
    named = set()
    for contract in contracts:
        for key in ("layers", "modules", "source_modules"):
            named |= {name.strip() for entry in contract.get(key, ()) for name in re.split(r"[:|]", entry)}
    missing = [name for name in sorted(named) if not is_module(name)]
    assert missing == []
    top = {path.stem for path in (ROOT / "app").iterdir() if is_module(f"app.{path.stem}")} - {"__init__"}
    layers = next(contract["layers"] for contract in contracts if contract["type"] == "layers")
    placed = {name.strip() for entry in layers for name in re.split(r"[:|]", entry)}
    assert sorted(name for name in top if f"app.{name}" not in placed) == []


@pytest.mark.parametrize("lock", LOCKS)
def test_lock_holds_versions_and_hashes_and_no_address(lock: str) -> None:
    text = (ROOT / lock).read_text(encoding="utf-8")
    assert not re.search(r"://|^-|\bfile:|\bgit\+", text, re.MULTILINE)
    for name, entry in locked(lock).items():
        assert re.match(r"[A-Za-z0-9._\[\],-]+==[^ ;]+", entry), name
        assert "--hash=sha256:" in entry, name


@pytest.mark.parametrize(("lock", "extras"), LOCKS.items())
def test_lock_has_every_direct_dependency_in_a_version_that_fits(lock: str, extras: tuple[str, ...]) -> None:
    declared = project()["project"]
    wanted = [
        *declared["dependencies"],
        *(text for extra in extras for text in declared["optional-dependencies"][extra]),
    ]
    entries = locked(lock)
    errors = []
    for requirement in map(Requirement, wanted):
        entry = entries.get(canonicalize_name(requirement.name))
        version = entry and re.search(r"==([^ ;\\]+)", entry)
        if not version or not requirement.specifier.contains(version[1], prereleases=True):
            errors.append(f"{requirement}: locked is {version[1] if version else 'nothing'}; run scripts/lock")
    assert errors == []


@pytest.mark.parametrize("lock", ["requirements-dev.lock", "requirements-spark.lock"])
def test_locks_agree_with_each_other(lock: str) -> None:
    runtime, other = locked("requirements.lock"), locked(lock)
    assert {name: entry for name, entry in runtime.items() if pinned(other.get(name)) != pinned(entry)} == {}


def project() -> dict:
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


def locked(lock: str) -> dict[str, str]:
    """Normalized name → its whole entry, hashes included."""
    entries = re.split(r"\n(?=\S)", (ROOT / lock).read_text(encoding="utf-8").strip())
    return {canonicalize_name(re.split(r"[=\[ ]", entry, maxsplit=1)[0]): entry for entry in entries}


def pinned(entry: str | None) -> str | None:
    return entry and entry.split()[0]


def is_module(name: str) -> bool:
    path = ROOT.joinpath(*name.split("."))
    return path.with_suffix(".py").is_file() or (path / "__init__.py").is_file()
