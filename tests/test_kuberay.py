"""`deploy/kuberay` is what Kubernetes, KubeRay, Ray and this project's own command line take.

Holds: every field is one that the schemas know (misspell any and the test fails), every command, option and variable is ours,
secrets come from a secret, names that refer to each other agree. Leaves out what the operator does with it, as no cluster is
at hand.
"""

from __future__ import annotations

import copy
import importlib.util
import re
import shlex
import tomllib
from collections.abc import Iterator
from typing import Any

import pytest
import typer
from packaging.requirements import Requirement
from ray.scripts.scripts import start as ray_start

from durable_ray.actors.store.urls import for_a_hub
from durable_ray.cli.app import app
from durable_ray.config import ClientSettings
from durable_ray.http.settings import GatewaySettings
from durable_ray.orchestrations.authoring import decorators
from durable_ray.orchestrations.authoring.catalog import DefinitionCatalog
from durable_ray.testing import TestHub
from tests.kuberay_schema import Manifest, cluster_of, crd_folder, crd_problems, groups, manifests, problems
from tests.sources import ROOT

FOLDER = ROOT / "deploy" / "kuberay"
MANIFESTS = manifests()
RAY = [manifest for manifest in MANIFESTS.values() if manifest["apiVersion"] == "ray.io/v1"]
#: Maps whose keys are free for the schemas; what they must say is held below.
FREE = {"labels", "matchLabels", "selector", "requests", "limits", "rayStartParams", "capabilities"}
SECRET = {"DURABLE_RAY_HTTP_KEY", "DURABLE_RAY_HTTP_READ_ONLY_KEY", "DURABLE_RAY_KEY", "RAY_AUTH_TOKEN"}


def named(manifest: Manifest) -> str:
    return f"{manifest['kind']}/{manifest['metadata']['name']}"


def containers(manifest: Manifest) -> Iterator[Manifest]:
    for group in groups(manifest):
        yield from group["template"]["spec"]["containers"]


def keys_of(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The path of every key that a schema names."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield (*path, key)
            if key not in FREE:
                yield from keys_of(inner, (*path, key))
    elif isinstance(value, list):
        for number, inner in enumerate(value):
            yield from keys_of(inner, (*path, number))


def misspelt(manifest: Manifest, path: tuple[Any, ...]) -> Manifest:
    changed = copy.deepcopy(manifest)
    place: Any = changed
    for step in path[:-1]:
        place = place[step]
    place[f"{path[-1]}x"] = place.pop(path[-1])
    return changed


@pytest.mark.parametrize("name", MANIFESTS)
def test_the_schemas_accept_it(name: str) -> None:
    assert problems(MANIFESTS[name]) == []


@pytest.mark.parametrize("name", MANIFESTS)
def test_any_misspelt_field_is_refused(name: str) -> None:
    manifest = MANIFESTS[name]
    # A claim's or policy's spec is tried as whole as a pod's: the test above is no formality for any of them.
    passed = [path for path in keys_of(manifest) if not problems(misspelt(manifest, path))]
    assert passed == []


@pytest.mark.parametrize("manifest", RAY, ids=named)
def test_kuberays_whole_schema_accepts_it_and_no_misspelling(manifest: Manifest) -> None:
    folder = crd_folder()
    if folder is None:
        pytest.skip("KubeRay's schemas are not at hand: KUBERAY_CRDS=ray-operator/config/crd/bases of its repository")
    assert crd_problems(folder, manifest) == []
    top = [path for path in keys_of(manifest) if path[0] == "spec" and "template" not in path]
    assert [path for path in top if not crd_problems(folder, misspelt(manifest, path))] == []


@pytest.mark.parametrize("manifest", RAY, ids=named)
def test_ray_start_has_the_options(manifest: Manifest) -> None:
    options = {name.removeprefix("--") for option in ray_start.params for name in option.opts}
    for group in groups(manifest):
        assert group["rayStartParams"].keys() <= options
        assert all(isinstance(value, str) for value in group["rayStartParams"].values())


def commands(manifest: Manifest) -> Iterator[list[str]]:
    """The calls of our command line in a manifest, as words."""
    texts = [" ".join([*one.get("command", ()), *one.get("args", ())]) for one in containers(manifest)]
    texts.append(manifest["spec"].get("entrypoint", ""))
    for text in texts:
        for part in re.split(r"[;&|{}]|\bdo\b", text):
            words = shlex.split(part)
            if words and words[0] == "durable-ray":
                yield words[1:]


def parse(words: list[str]) -> None:
    """As the command line parses them, up to running the command."""
    group = typer.main.get_command(app)
    context = group.make_context("durable-ray", list(words))
    name, command, rest = group.resolve_command(context, [*context._protected_args, *context.args])  # type: ignore[attr-defined]
    command.make_context(name, rest, parent=context)


def test_our_command_line_takes_the_commands() -> None:
    found = [words for manifest in RAY for words in commands(manifest)]
    assert found == [["serve", "--host", "0.0.0.0"]]
    for words in found:
        parse(words)
        with pytest.raises(Exception, match="No such option"):
            parse([*words, "--hots=0.0.0.0"])


def test_kuberay_can_put_the_head_s_command_before_its_own() -> None:
    """It joins the two by `&&`, and leaves its own out if ours has the words `ray start` in it."""
    (head, *_) = containers(MANIFESTS["RayCluster/durable"])
    (command,) = head["command"]
    assert "ray start" not in command
    assert re.fullmatch(r"\{ .* & \}", command)


def variables(manifest: Manifest) -> dict[str, Any]:
    return {one["name"]: one for container in containers(manifest) for one in container.get("env", ())}


@pytest.mark.parametrize("manifest", RAY, ids=named)
def test_our_settings_take_the_variables(manifest: Manifest, monkeypatch: pytest.MonkeyPatch) -> None:
    known = {f"DURABLE_RAY_{name.upper()}" for name in ClientSettings.model_fields}
    known |= {f"DURABLE_RAY_HTTP_{name.upper()}" for name in GatewaySettings.model_fields}
    given = {name: one for name, one in variables(manifest).items() if name != "POD_NAMESPACE"}
    assert given.keys() <= known
    for name, one in given.items():
        value = one.get("value", "postgresql://hub@db.example/hub" if name.endswith("STORE") else "k" * 32)
        monkeypatch.setenv(name, value.replace("$(POD_NAMESPACE)", "flows"))
    client, gateway = ClientSettings(), GatewaySettings()
    assert client.store is not None
    for_a_hub(client.store)
    assert all(re.fullmatch(r"[\w.-]+", host) for host in gateway.allowed_hosts)


@pytest.mark.parametrize("manifest", RAY, ids=named)
def test_secrets_come_from_the_secret(manifest: Manifest) -> None:
    auth = cluster_of(manifest)["authOptions"]
    assert auth == {"mode": "token", "secretName": "durable-ray"}
    for name, one in variables(manifest).items():
        if name in SECRET or (name == "DURABLE_RAY_STORE" and not one.get("value", "").startswith("sqlite:")):
            assert one["valueFrom"]["secretKeyRef"]["name"] == auth["secretName"], name
    for container in containers(manifest):
        words = " ".join([*container.get("command", ()), *container.get("args", ())])
        assert not re.search(r"\$|--key|--store|://", words)


@pytest.mark.parametrize("manifest", RAY, ids=named)
def test_every_pod_has_resources_a_user_and_the_policy_s_label(manifest: Manifest) -> None:
    (policy,) = (one for one in MANIFESTS.values() if one["kind"] == "NetworkPolicy")
    label = policy["spec"]["podSelector"]["matchLabels"]
    assert label in [peer["podSelector"].get("matchLabels") for peer in policy["spec"]["ingress"][0]["from"]]
    for group in groups(manifest):
        template = group["template"]
        assert template["metadata"]["labels"] == label
        assert template["spec"]["securityContext"]["runAsNonRoot"] is True
        for container in template["spec"]["containers"]:
            assert container["resources"]["requests"].keys() >= {"cpu", "memory"}
            assert container["resources"]["limits"] == container["resources"]["requests"]
            assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}


def test_names_agree() -> None:
    cluster, service = MANIFESTS["RayCluster/durable"], MANIFESTS["Service/durable-gateway"]
    pod = cluster["spec"]["headGroupSpec"]["template"]["spec"]
    (head,) = pod["containers"]
    ports = {one["name"]: one["containerPort"] for one in head["ports"]}
    assert ports["gateway"] == GatewaySettings.model_fields["port"].default == service["spec"]["ports"][0]["port"]
    assert service["spec"]["selector"] == {"ray.io/cluster": "durable", "ray.io/node-type": "head"}
    assert variables(cluster)["DURABLE_RAY_HTTP_ALLOWED_HOSTS"]["value"].split(",")[0] == service["metadata"]["name"]
    assert f"PersistentVolumeClaim/{pod['volumes'][0]['persistentVolumeClaim']['claimName']}" in MANIFESTS
    assert head["volumeMounts"][0]["name"] == pod["volumes"][0]["name"]
    store = variables(cluster)["DURABLE_RAY_STORE"]["value"]
    assert store.startswith(f"sqlite:///{head['volumeMounts'][0]['mountPath']}/hub/")


def test_gpu_nodes_come_from_zero() -> None:
    cpu, gpu = MANIFESTS["RayCluster/durable"]["spec"]["workerGroupSpecs"]
    assert cpu["minReplicas"] >= 1
    assert (gpu["replicas"], gpu["minReplicas"], gpu["rayStartParams"]) == (0, 0, {"num-cpus": "0"})
    assert "nvidia.com/gpu" in gpu["template"]["spec"]["containers"][0]["resources"]["limits"]


def test_one_image_one_version() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    base, quoted = re.findall(
        r"^FROM rayproject/ray:([\d.]+)-py311$|'([^']+)'", (FOLDER / "Dockerfile").read_text(), re.M
    )
    durable_ray = Requirement(quoted[1])
    assert str(durable_ray.specifier) == f"=={project['version']}"
    assert durable_ray.extras <= project["optional-dependencies"].keys()
    needed = next(Requirement(line) for line in project["dependencies"] if Requirement(line).name == "ray")
    assert needed.specifier.contains(base[0])
    assert {cluster_of(manifest)["rayVersion"] for manifest in RAY} == {base[0]}
    assert {one["image"].rpartition(":")[2] for manifest in RAY for one in containers(manifest)} == {project["version"]}


def test_the_job_s_driver_starts_a_run_once_and_finds_it_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """The retry of the Job calls it with the same argument, while the run is under way or when it has ended."""
    spec = importlib.util.spec_from_file_location("nightly", FOLDER / "nightly.py")
    assert spec is not None
    assert spec.loader is not None
    nightly = importlib.util.module_from_spec(spec)
    decorated = DefinitionCatalog()
    monkeypatch.setattr(decorators, "catalog", decorated)
    spec.loader.exec_module(nightly)
    with TestHub(definitions=decorated) as hub:
        expected = sum(part * part for part in range(100))
        assert nightly.main(hub.client, "monday") == expected
        first = hub.client.get_status("monday")
        assert nightly.main(hub.client, "monday") == expected
        assert hub.client.get_status("monday") == first
        assert nightly.main(hub.client, "tuesday") == expected
        assert {status.instance_id for status in hub.client.list_instances()} == {"monday", "tuesday"}
    (command,) = (manifest["spec"]["entrypoint"] for manifest in RAY if "entrypoint" in manifest["spec"])
    assert shlex.split(command)[:2] == ["python", "/home/ray/app/nightly.py"]
    assert "COPY nightly.py /home/ray/app/nightly.py" in (FOLDER / "Dockerfile").read_text()
