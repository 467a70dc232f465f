"""What npm builds of `clients/javascript`, and what Node makes of it."""

import gzip
import json
import shutil
import subprocess
from pathlib import Path
from typing import Final

import pytest

from tests.browser.shop import SERVER_TOKEN, SOURCE
from tests.support.database import ask
from tests.support.npm import npm
from tests.support.service import Service

pytestmark = pytest.mark.slow

MAX_GZIPPED_BYTES: Final = 5_000
RECORD: Final = Path(__file__).parents[2] / "docs" / "adr" / "0043-clients-of-our-own.md"
FROM_NODE: Final = """\
import { Client } from "./dist/reco.js";
const asked = [];
const { fetch } = globalThis;
globalThis.fetch = (url, request) => (asked.push(String(url)), fetch(url, request));
const reco = new Client({ url: process.env.URL, key: process.env.KEY });
reco.identify("node");
for (let number = 0; number < 250; number++) reco.send({ event_type: "purchase", item_id: `item-${number}` });
await reco.flush();
const { items } = await reco.recommend({ k: 5, exclude: ["item-0", "one, two"] });
const excluded = asked.at(-1).split("&").filter((part) => part.startsWith("exclude"));
const wanted = ["item-1", "one, two"];
const ranked = await reco.rank(wanted, { explain: true });
const among = await reco.recommend({ candidates: wanted, exclude: ["one, two"], repeats: "allow" });
const placed = [ranked.items.map((one) => one.item_id).sort(), among.items.map((one) => one.item_id)];
const refused = await reco.similar("a/b", { k: 500 }).catch(error => error);
const { status, problem } = refused;
console.log(JSON.stringify([items.length <= 5, status, problem.errors[0].path, reco.waiting, excluded, placed]));
"""


def test_bundle_is_small_and_typed_and_the_queue_keeps_its_promises(built: Path) -> None:
    bundles = (built / "dist" / name for name in ("reco.js", "reco.global.js"))
    module, script = (len(gzip.compress(bundle.read_bytes())) for bundle in bundles)
    assert max(module, script) < MAX_GZIPPED_BYTES
    assert f"{module / 1000:.1f} KB gzipped as a module and {script / 1000:.1f} KB as a script" in RECORD.read_text()
    assert "export interface ClientOptions" in (built / "dist" / "client.d.ts").read_text()
    assert "pass" in npm(built, "test")
    packed = json.loads(npm(built, "pack", "--dry-run", "--json"))[0]["files"]
    assert {file["path"] for file in packed} >= {"dist/reco.js", "dist/reco.global.js", "dist/index.d.ts", "README.md"}
    lock = (SOURCE / "package-lock.json").read_text()
    assert "://" not in lock
    assert '"integrity"' in lock


def test_node_sends_and_asks(built: Path, service: Service) -> None:
    (built / "use.mjs").write_text(FROM_NODE)
    environment = {"URL": service.url, "KEY": SERVER_TOKEN}
    node = str(shutil.which("node"))
    ended = subprocess.run(
        [node, "use.mjs"], cwd=built, env=environment, capture_output=True, text=True, timeout=60, check=False
    )
    assert (ended.returncode, ended.stderr) == (0, "")
    excluded = ["exclude=item-0", "exclude_id=one%2C+two"]
    placed = [["item-1", "one, two"], ["item-1"]]
    assert json.loads(ended.stdout) == [True, 422, "$.k", 0, excluded, placed]
    stored = "SELECT count(*) FROM events WHERE user_id = 'node'"
    assert ask(service.environment["DATABASE_URL"], stored) == 250
