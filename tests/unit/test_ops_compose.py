"""compose.yaml and the settings agree."""

import re
from pathlib import Path
from typing import Any, Final

import yaml

from app.settings import Settings

ROOT: Final = Path(__file__).resolve().parents[2]
COMPOSE: Final[dict[str, Any]] = yaml.safe_load((ROOT / "compose.yaml").read_text())
RECO: Final = ("migrate", "api", "outbox-relay", "feature-consumer")

# Each service sets ROLE itself; the rest is of no use inside the compose network.
# A broker that is secured is not that of compose.yaml.
SECURITY: Final = ("KAFKA_SECURITY_PROTOCOL", "KAFKA_SASL_", "KAFKA_OAUTH_", "KAFKA_SSL_")
NOT_PASSED: Final = {"ROLE", "HTTP_HOST", "HTTP_REUSE_PORT", "API_KEYS_FILE", "USER_TOKEN_SECRETS_FILE"} | {
    name.upper() for name in Settings.__struct_fields__ if name.upper().startswith(SECURITY)
}


def test_every_setting_can_be_given_and_no_other() -> None:
    known = {name.upper() for name in Settings.__struct_fields__}
    assert set(COMPOSE["x-settings"]) == known - NOT_PASSED


def test_the_environment_of_each_service_makes_settings() -> None:
    for service in RECO:
        given = COMPOSE["services"][service]["environment"]
        environ = {
            name: str(value).replace("${POSTGRES_PASSWORD:-reco}", "reco") for name, value in given.items() if value
        }
        assert Settings.from_env(environ).role <= {"api", "relay", "consumer"}


def test_a_stop_is_given_longer_than_the_drain() -> None:
    drain_sec = Settings(database_url="").shutdown_timeout_sec
    for service in RECO:
        grace = COMPOSE["services"][service]["stop_grace_period"]
        assert float(grace.removesuffix("s")) > drain_sec


def test_only_one_compose_service_builds_the_image() -> None:
    assert [name for name, service in COMPOSE["services"].items() if "build" in service] == ["migrate"]


def test_settings_named_by_the_scaling_page_exist() -> None:
    page = (ROOT / "docs" / "scaling.md").read_text()
    known = {name.upper() for name in Settings.__struct_fields__}
    assert set(re.findall(r"`((?:[A-Z]+_)+[A-Z]+)(?:=[^`]*)?`", page)) <= known


def test_the_example_environment_names_what_compose_reads() -> None:
    text = (ROOT / "compose.yaml").read_text()
    lines = (ROOT / ".env.example").read_text().splitlines()
    names = [
        line.removeprefix("#").partition("=")[0] for line in lines if "=" in line and " " not in line.partition("=")[0]
    ]
    assert "RECO_TAG" in names
    for name in names:
        assert f"${{{name}:-" in text or f"  {name}:\n" in text


def test_the_ports_are_open_to_this_host_only_unless_told_otherwise() -> None:
    published = [port for service in COMPOSE["services"].values() for port in service.get("ports", ())]
    assert len(published) == 3
    for port in published:
        assert port.startswith(("127.0.0.1:", "${HTTP_BIND_ADDRESS:-127.0.0.1}:"))


def test_each_image_of_others_is_pinned_by_a_digest_of_the_same_tag() -> None:
    pinned = yaml.safe_load((ROOT / "ops" / "compose" / "pinned.yaml").read_text())["services"]
    base = re.search(r"^ARG PYTHON_VERSION=(.+)$", (ROOT / "Dockerfile").read_text(), re.MULTILINE)
    assert base is not None
    tags = {name: service["image"] for name, service in COMPOSE["services"].items() if name not in RECO}
    tags["migrate"] = f"python:{base[1]}"
    images = {name: one.get("image") or one["build"]["args"]["PYTHON_IMAGE"] for name, one in pinned.items()}
    assert images.keys() == tags.keys()
    for name, image in images.items():
        assert re.fullmatch(re.escape(tags[name]) + r"(\.[\w.-]+)?@sha256:[0-9a-f]{64}", image), image
