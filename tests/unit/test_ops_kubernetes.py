"""The Kubernetes manifests build, agree with each other, and keep what the service relies on."""

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any, Final

import jsonschema
import kubernetes_validate
import pytest
import yaml

from app.core.redis_url import SentinelAddress, address_of
from app.settings import Settings

FOLDER: Final = Path(__file__).resolve().parents[2] / "ops" / "kubernetes"
TELEMETRY: Final = FOLDER.parents[1] / "docs" / "telemetry.md"
EXAMPLE: Final = "secret.example.yaml"
KEDA: Final = json.loads((FOLDER.parents[1] / "tests" / "support" / "keda.schema.json").read_text())
ROLES: Final = {"api": "api", "outbox-relay": "relay", "feature-consumer": "consumer"}


def documents() -> list[dict[str, Any]]:
    kustomization = yaml.safe_load((FOLDER / "kustomization.yaml").read_text())
    return [
        document for name in kustomization["resources"] for document in yaml.safe_load_all((FOLDER / name).read_text())
    ]


def secrets() -> dict[str, dict[str, str]]:
    """The Secrets of the example, by name."""
    found = yaml.safe_load_all((FOLDER / EXAMPLE).read_text())
    return {document["metadata"]["name"]: document["stringData"] for document in found}


def of_kind(kind: str) -> dict[str, dict[str, Any]]:
    return {document["metadata"]["name"]: document for document in documents() if document["kind"] == kind}


def container(document: dict[str, Any]) -> dict[str, Any]:
    (found,) = document["spec"]["template"]["spec"]["containers"]
    return dict(found)


def configuration() -> dict[str, str]:
    kustomization = yaml.safe_load((FOLDER / "kustomization.yaml").read_text())
    (generator,) = kustomization["configMapGenerator"]
    return dict(literal.split("=", 1) for literal in generator["literals"])


def test_each_role_has_a_deployment_and_a_disruption_budget() -> None:
    deployments = of_kind("Deployment")
    assert {name: container(d)["env"][0]["value"] for name, d in deployments.items()} == ROLES
    assert of_kind("PodDisruptionBudget").keys() == ROLES.keys()
    for document in (*deployments.values(), *of_kind("PodDisruptionBudget").values()):
        name = document["metadata"]["name"]
        assert document["spec"]["selector"]["matchLabels"] == {"app.kubernetes.io/component": name}
    for name, deployment in deployments.items():
        assert deployment["spec"]["template"]["metadata"]["labels"] == {"app.kubernetes.io/component": name}


def test_probes_ask_what_they_are_for() -> None:
    for deployment in of_kind("Deployment").values():
        asked = container(deployment)
        assert asked["livenessProbe"]["httpGet"]["path"] == "/healthz"
        assert asked["startupProbe"]["httpGet"]["path"] == "/healthz"
        assert asked["readinessProbe"]["httpGet"]["path"] == "/readyz"


def test_a_pods_grace_period_is_longer_than_its_drain() -> None:
    settings = configuration()
    for deployment in of_kind("Deployment").values():
        spec = deployment["spec"]["template"]["spec"]
        assert spec["terminationGracePeriodSeconds"] > float(settings["SHUTDOWN_TIMEOUT_SEC"])
        probe = container(deployment)["readinessProbe"]
        assert float(settings["SHUTDOWN_GRACE_SEC"]) > probe["periodSeconds"] * probe["failureThreshold"]


def test_containers_are_confined() -> None:
    for document in (*of_kind("Deployment").values(), *of_kind("Job").values()):
        confined = container(document)["securityContext"]
        assert confined["readOnlyRootFilesystem"] is True
        assert confined["allowPrivilegeEscalation"] is False
        assert confined["capabilities"] == {"drop": ["ALL"]}
        pod = document["spec"]["template"]["spec"]
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert pod["automountServiceAccountToken"] is False


def test_settings_exist_and_make_a_process_with_the_example_secret() -> None:
    secret = secrets()["reco"]
    known = {name.upper() for name in Settings.__struct_fields__}
    assert (configuration().keys() | secret.keys()) <= known
    for role in ROLES.values():
        environ = {**configuration(), **secret, "ROLE": role}
        assert Settings.from_env(environ).role == {role}


def test_autoscalers_lead_to_deployments_and_stay_within_the_partitions() -> None:
    scalers = {**of_kind("HorizontalPodAutoscaler"), **of_kind("ScaledObject")}
    assert scalers.keys() == ROLES.keys()
    for name, scaler in scalers.items():
        assert scaler["spec"]["scaleTargetRef"]["name"] == name
        assert "replicas" not in of_kind("Deployment")[name]["spec"]
    settings = Settings(database_url="")
    consumers = scalers["feature-consumer"]["spec"]
    assert consumers["maxReplicaCount"] * settings.feature_consumer_members == settings.kafka_topic_partitions
    assert consumers["triggers"][0]["metadata"]["consumerGroup"] == settings.feature_consumer_group


def test_kustomize_builds_it() -> None:
    if shutil.which("kubectl") is None:
        pytest.skip("kubectl is not installed")
    done = subprocess.run(["kubectl", "kustomize", str(FOLDER)], check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert len(re.findall(r"^kind:", done.stdout, re.MULTILINE)) == len(documents()) + 1


def test_every_file_is_applied_or_an_example() -> None:
    kustomization = yaml.safe_load((FOLDER / "kustomization.yaml").read_text())
    applied = {*kustomization["resources"], "kustomization.yaml", EXAMPLE}
    assert {path.name for path in FOLDER.iterdir()} == applied


@pytest.mark.parametrize(
    "document",
    [*documents(), *yaml.safe_load_all((FOLDER / EXAMPLE).read_text())],
    ids=lambda found: f"{found['kind']}/{found['metadata']['name']}",
)
def test_each_object_is_what_its_schema_asks_for(document: dict[str, Any]) -> None:
    if document["apiVersion"].startswith("keda.sh/"):
        jsonschema.validate(document, KEDA)
    else:
        kubernetes_validate.validate(document, "1.30", strict=True)


@pytest.mark.parametrize(
    "broken",
    [
        {"scaleTargetRef": {}},
        {"maxReplicas": 6},
        {"pollingInterval": "10s"},
        {"triggers": []},
        {"triggers": [{"type": "kafka", "metadata": {"consumerGroup": "g"}}]},
        {"triggers": [{"type": "postgresql", "metadata": {"query": "SELECT 1", "targetQueryValue": 1}}]},
        {"triggers": [{"type": "postgres", "metadata": {"query": "SELECT 1", "targetQueryValue": "1"}}]},
    ],
    ids=str,
)
def test_the_schema_of_keda_refuses_what_keda_refuses(broken: dict[str, Any]) -> None:
    sound = of_kind("ScaledObject")["feature-consumer"]
    jsonschema.validate(sound, KEDA)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(sound | {"spec": sound["spec"] | broken}, KEDA)


def test_objects_that_keda_refers_to_exist() -> None:
    for authentication in of_kind("TriggerAuthentication").values():
        for reference in authentication["spec"]["secretTargetRef"]:
            assert reference["key"] in secrets()[reference["name"]]
    for scaler in of_kind("ScaledObject").values():
        for trigger in scaler["spec"]["triggers"]:
            if "authenticationRef" in trigger:
                assert trigger["authenticationRef"]["name"] in of_kind("TriggerAuthentication")
            for name, variable in trigger["metadata"].items():
                if name.endswith("FromEnv"):
                    assert variable in configuration().keys() | secrets()["reco"].keys()


def test_keys_are_a_file_of_the_api_alone_and_in_no_environment() -> None:
    folder = Path(configuration()["API_KEYS_FILE"]).parent
    file = Path(configuration()["API_KEYS_FILE"]).name
    for name, deployment in of_kind("Deployment").items():
        mounts = {mount["mountPath"]: mount for mount in container(deployment)["volumeMounts"]}
        assert (str(folder) in mounts) == (name == "api")
    api = of_kind("Deployment")["api"]
    volumes = {volume["name"]: volume for volume in api["spec"]["template"]["spec"]["volumes"]}
    mounted = next(mount for mount in container(api)["volumeMounts"] if mount["name"] == "keys")
    # A file that is mounted alone (subPath) never changes, so keys would not rotate.
    assert (mounted["mountPath"], mounted["readOnly"], "subPath" in mounted) == (str(folder), True, False)
    assert file in secrets()[volumes["keys"]["secret"]["secretName"]]
    assert "API_KEYS" not in secrets()["reco"]


def test_no_pod_is_told_the_addresses_of_other_services() -> None:
    for document in (*of_kind("Deployment").values(), *of_kind("Job").values()):
        assert document["spec"]["template"]["spec"]["enableServiceLinks"] is False


def test_what_no_policy_allows_reaches_no_pod() -> None:
    policies = of_kind("NetworkPolicy")
    whole = policies["default"]["spec"]
    assert whole["podSelector"] == {}
    assert whole["policyTypes"] == ["Ingress", "Egress"]
    assert policies["api"]["spec"]["podSelector"]["matchLabels"] == {"app.kubernetes.io/component": "api"}
    (port,) = container(of_kind("Deployment")["api"])["ports"]
    for policy in policies.values():
        for rule in policy["spec"]["ingress"]:
            assert rule["from"]
            assert [allowed["port"] for allowed in rule["ports"]] == [port["containerPort"]]
    addresses = [url for name, url in secrets()["reco"].items() if name != "API_KEYS"]
    open_ports = {str(allowed["port"]) for rule in whole["egress"] for allowed in rule["ports"]}
    assert {re.findall(r":(\d+)", address)[-1] for address in addresses} <= open_ports
    sentinels = address_of("redis+sentinel://sentinel/service")
    assert isinstance(sentinels, SentinelAddress)
    (collector,) = set(re.findall(r"localhost:(\d+)", TELEMETRY.read_text(encoding="utf-8"))) - {"8080", "16686"}
    assert {str(sentinels.sentinels[0][1]), collector} <= open_ports
