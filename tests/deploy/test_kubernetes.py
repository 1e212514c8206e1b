"""The manifests are what Kubernetes takes, and a store that is away does not bring the pods down."""

from __future__ import annotations

import json
import re
import shutil
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from lb.config import load
from lb.config.addresses import ListenAddress
from lb.config.environment import warnings
from tests.deploy.files import DEPLOY, document, documents, needs, run
from tests.integration.balancer import Balancer
from tests.integration.engines import ACL_RULE, Node
from tests.integration.fleet import ok
from tests.integration.load import Client
from tests.integration.servers import servers
from tests.support import eventually

KUBERNETES = DEPLOY / "kubernetes"
FILES = [path for path in sorted(KUBERNETES.rglob("*.yaml")) if path.name != "kustomization.yaml"]
OBJECTS = [found for path in FILES for found in documents(path)]
#: The oldest that is still maintained by distributions, and the newest whose schema is there.
VERSIONS = ("1.28", kubernetes_validate.latest_version())
SECRETS = {name: name[0].lower() * 32 for name in ("STORE_PASSWORD", "ADMIN_TOKEN", "READ_TOKEN")}
PASSWORD = SECRETS["STORE_PASSWORD"]


def found(kind: str, name: str) -> dict[str, Any]:
    (only,) = (one for one in OBJECTS if (one["kind"], one["metadata"]["name"]) == (kind, name))
    return only


def pod(kind: str, name: str) -> dict[str, Any]:
    spec: dict[str, Any] = found(kind, name)["spec"]["template"]["spec"]
    return spec


PODS = [("Deployment", "lb"), ("StatefulSet", "servers"), ("StatefulSet", "valkey")]
BALANCER = pod("Deployment", "lb")
(CONTAINER,) = BALANCER["containers"]


@pytest.mark.parametrize("version", VERSIONS)
def test_kubernetes_takes_the_manifests(version: str) -> None:
    for one in OBJECTS:
        kubernetes_validate.validate(one, version, strict=True)


def test_they_fit_into_any_namespace() -> None:
    assert [one["metadata"]["name"] for one in OBJECTS if "namespace" in one["metadata"]] == []
    assert not any("namespace" in document(path) for path in KUBERNETES.rglob("kustomization.yaml"))


@pytest.mark.parametrize(("kind", "name"), PODS)
def test_pods_may_do_little(kind: str, name: str) -> None:
    """What the Pod Security Standard calls restricted, and a file system that cannot be written to."""
    spec = pod(kind, name)
    assert spec["securityContext"]["runAsNonRoot"]
    assert spec["securityContext"]["runAsUser"] > 0
    assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert spec["automountServiceAccountToken"] is False
    for container in spec["containers"]:
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }
        assert "cpu" in container["resources"]["requests"]
        assert "memory" in container["resources"]["limits"]


@pytest.mark.parametrize(("kind", "name"), PODS)
def test_pods_get_no_variables_of_services(kind: str, name: str) -> None:
    """Those of a Service named `lb` have names of settings."""
    assert pod(kind, name)["enableServiceLinks"] is False
    assert warnings({"LB_PORT": "tcp://10.0.0.7:80"}, ["LB_PORT"]) != []


def test_the_image_is_the_one_that_is_built() -> None:
    dockerfile = (DEPLOY / "Dockerfile").read_text()
    user = BALANCER["securityContext"]["runAsUser"], BALANCER["securityContext"]["runAsGroup"]
    assert re.findall(r"^USER (\d+):(\d+)$", dockerfile, re.MULTILINE) == [tuple(map(str, user))]
    exposed = {str(port["containerPort"]) for port in CONTAINER["ports"]}
    assert {*re.findall(r"^EXPOSE (.*)$", dockerfile, re.MULTILINE)[0].split()} == exposed


def test_only_the_startup_probe_asks_for_the_store(valkey_of_pods: Node) -> None:
    """A store that is away must neither take pods out of the Service nor kill them."""
    assert CONTAINER["startupProbe"]["httpGet"]["path"] == "/health"
    probes = {name: probe for name, probe in CONTAINER.items() if name in ("readinessProbe", "livenessProbe")}
    assert [probe["tcpSocket"] for probe in probes.values()] == [{"port": "http"}] * 2
    with servers(1) as (server,):
        server.behaviour = ok
        config = {"servers": [f"http://localhost:{server.port}"], "redis": url(valkey_of_pods)}
        with Balancer(config) as balancer:
            assert health(balancer) == 200
            valkey_of_pods.kill()
            eventually(lambda: health(balancer) == 503, what="an API that misses the store")
            with Client(balancer.url) as client:  # what the other probes do, and what clients get
                assert client.ask("GET", "/").status == 200
            valkey_of_pods.start()


def test_the_end_has_the_time_it_needs() -> None:
    (sleep,) = CONTAINER["lifecycle"]["preStop"]["exec"]["command"][1:]
    config = load(KUBERNETES / "base/config.json", variables(), {})
    needed = int(sleep) + config.graceful_timeout_seconds + 1 + 5 + 5  # farewell, helpers, slack
    assert BALANCER["terminationGracePeriodSeconds"] >= needed


def test_the_configuration_is_valid() -> None:
    config = load(KUBERNETES / "base/config.json", variables(), {})
    assert config.redis == f"redis://lb:{PASSWORD}@valkey:6379"
    assert (config.worker_count, config.admin.listen) == (2, ListenAddress("", 8081))
    assert config.port.port == CONTAINER["ports"][0]["containerPort"]
    demo = load(KUBERNETES / "try/servers.json", {}, {})
    named = {spec.id.rpartition(":")[2] for spec in demo.servers}
    assert {spec.id for spec in config.servers} == {f"servers-0.servers:{port}" for port in named}


def test_selectors_find_their_pods() -> None:
    labels = {name: found(kind, name)["spec"]["template"]["metadata"]["labels"] for kind, name in PODS}
    for kind, name in PODS:
        assert found(kind, name)["spec"]["selector"]["matchLabels"] == labels[name]
    selected = {"lb": "lb", "lb-admin": "lb", "lb-pods": "lb", "servers": "servers", "valkey": "valkey"}
    for service, name in selected.items():
        assert found("Service", service)["spec"]["selector"] == labels[name]
    assert found("PodDisruptionBudget", "lb")["spec"]["selector"]["matchLabels"] == labels["lb"]
    for name in ("lb", "valkey"):
        assert found("NetworkPolicy", name)["spec"]["podSelector"]["matchLabels"] == labels[name]
    for constraint in BALANCER["topologySpreadConstraints"]:
        assert constraint["labelSelector"]["matchLabels"] == labels["lb"]
    scaled = found("HorizontalPodAutoscaler", "lb")["spec"]["scaleTargetRef"]
    assert (scaled["kind"], scaled["name"]) == ("Deployment", "lb")


def test_no_secret_is_shipped() -> None:
    example = (KUBERNETES / "base/secret.env.example").read_text()
    names = dict(re.findall(r"^(\w+)=(.*)$", example, re.MULTILINE))
    assert names == dict.fromkeys(SECRETS, "")
    used = {
        source["secretKeyRef"]["key"]
        for kind, name in PODS
        for container in pod(kind, name)["containers"]
        for source in (variable.get("valueFrom", {}) for variable in container.get("env", []))
        if "secretKeyRef" in source
    }
    assert used == set(names)
    assert not any(one["kind"] == "Secret" for one in OBJECTS)


@needs("kubectl")
@pytest.mark.parametrize("which", ["base", "try"])
def test_kustomize_puts_it_together(which: str, tmp_path: Path) -> None:
    shutil.copytree(KUBERNETES, tmp_path / "kubernetes")
    secrets = tmp_path / "kubernetes/base/secret.env"
    secrets.write_text("".join(f"{name}={value}\n" for name, value in SECRETS.items()))
    done = run("kubectl", "kustomize", tmp_path / "kubernetes" / which)
    assert done.returncode == 0, done.stderr
    made = [*yaml.safe_load_all(done.stdout)]
    for one in made:
        kubernetes_validate.validate(one, VERSIONS[-1], strict=True)
    by_name = {one["metadata"]["name"].rpartition("-")[0]: one for one in made if "data" in one}
    (deployment,) = (one for one in made if one["kind"] == "Deployment")
    text = json.dumps(deployment)
    for name in ("lb-config", "lb-secrets"):  # under their generated names
        assert f'"{by_name[name]["metadata"]["name"]}"' in text
    assert set(by_name["lb-secrets"]["data"]) == set(SECRETS)
    assert '"image": "lb:0.1.0"' in text


@pytest.fixture
def valkey_of_pods(tmp_path: Path):
    """The store, started with the configuration of the manifest."""
    (container,) = pod("StatefulSet", "valkey")["containers"]
    script = container["command"][2]
    lines = script.split("<<END\n")[1].removesuffix("END\n").replace("$STORE_PASSWORD", PASSWORD).splitlines()
    assert script.startswith("exec valkey-server - <<END")  # the signal that ends the pod is for the server
    node = PasswordNode(tmp_path, "store", *(line for line in lines if not line.startswith("dir ")))
    node.start()
    yield node
    node.close()


class PasswordNode(Node):
    """A node that nobody may ask without the password."""

    def answers(self) -> bool:
        self.client.connection_pool.connection_kwargs |= {"username": "lb", "password": PASSWORD}
        return super().answers()


def test_the_store_gives_lb_the_rights_that_it_needs() -> None:
    rule = re.findall(r"user lb on >\S+ (.*)", (KUBERNETES / "try/valkey.yaml").read_text())
    without_engines = ACL_RULE.removesuffix(" +role +cluster|slots")
    assert rule == [without_engines]


def url(node: Node) -> str:
    return f"redis://lb:{PASSWORD}@127.0.0.1:{node.port}"


def health(balancer: Balancer) -> int:
    try:
        with urllib.request.urlopen(f"{balancer.admin_url}/health", timeout=30) as answer:
            status: int = answer.status
    except urllib.error.HTTPError as error:
        with error:
            return error.code
    return status


def variables() -> dict[str, str]:
    """The environment of the balancer's container, as the kubelet makes it."""
    made: dict[str, str] = {}
    for variable in CONTAINER["env"]:
        value = variable.get("value")
        if value is None:
            source = variable["valueFrom"]
            cpu = CONTAINER["resources"]["requests"]["cpu"]
            value = cpu if "resourceFieldRef" in source else SECRETS[source["secretKeyRef"]["key"]]
        made[variable["name"]] = re.sub(r"\$\((\w+)\)", lambda match: made[match[1]], value)
    return made
