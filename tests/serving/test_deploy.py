"""The manifests of serving: of models that a cluster knows, hardened, and with secrets for the agent alone."""

import cluster
import pytest
import yaml

from strandline import settings

MANIFESTS = list(yaml.safe_load_all((settings.REPOSITORY / "deploy" / "kubernetes" / "serving.yaml").read_text()))
COMPOSE = yaml.safe_load((settings.REPOSITORY / "docker-compose.yml").read_text())
MODELS = {"HorizontalPodAutoscaler": "V2HorizontalPodAutoscaler"}
PODS = {one["metadata"]["name"]: one["spec"]["template"]["spec"] for one in MANIFESTS if one["kind"] == "Deployment"}


@pytest.mark.parametrize("manifest", MANIFESTS, ids=lambda one: f"{one['kind']} {one['metadata']['name']}")
def test_a_cluster_knows_every_field(manifest):
    cluster.load(manifest, MODELS.get(manifest["kind"], f"V1{manifest['kind']}"))


@pytest.mark.parametrize("name", PODS)
def test_a_pod_may_do_nothing_that_it_need_not(name):
    (container,) = PODS[name]["containers"]
    assert PODS[name]["automountServiceAccountToken"] is False
    assert PODS[name]["securityContext"]["runAsNonRoot"] is True
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "capabilities": {"drop": ["ALL"]},
        "readOnlyRootFilesystem": True,
    }
    mounted = {mount["name"]: mount.get("readOnly", False) for mount in container["volumeMounts"]}
    assert mounted["store"] is True
    assert mounted.keys() == {volume["name"] for volume in PODS[name]["volumes"]}


def test_what_answers_has_no_secret_and_no_way_out():
    serve, agent = PODS["strandline-serve"], PODS["strandline-serving-agent"]
    assert "secret" not in str(serve).lower()
    assert "strandline-serving" in str(agent["volumes"])
    closed = [
        one for one in MANIFESTS if one["kind"] == "NetworkPolicy" and one["metadata"]["name"] == "strandline-serve"
    ]
    assert closed[0]["spec"]["policyTypes"] == ["Ingress", "Egress"]
    assert "egress" not in closed[0]["spec"]
    service = COMPOSE["services"]["serve"]
    assert service["networks"] == ["ports"]
    assert "secrets" not in service
    assert "environment" not in service
    assert (service["read_only"], service["cap_drop"]) == (True, ["ALL"])


def test_the_agent_holds_one_role_of_the_ledger():
    assert COMPOSE["services"]["serving-agent"]["secrets"] == [{"source": "pgpass-serving", "target": "pgpass"}]
