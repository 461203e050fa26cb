"""What Kubernetes and KubeRay say of a manifest, without a cluster: `problems(manifest)`.

Pods, volumes, services and policies are held to Kubernetes' own schemas, which `kubernetes-validate` carries. KubeRay's are
in no package, so the part of them that `deploy/kuberay` uses is here as data; where the whole is at hand, as KubeRay's
repository has it (`ray-operator/config/crd/bases`), `crd_problems` takes that. Unknown fields are refused everywhere.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import kubernetes_validate
import yaml

from tests.sources import ROOT

KUBERNETES = "1.37"
# It reads a megabyte of definitions for each look, and there are hundreds.
kubernetes_validate.utils.schema_contents = functools.cache(kubernetes_validate.utils.schema_contents)
Schema = dict[str, Any]
Manifest = dict[str, Any]

TEXT, FLAG, COUNT = {"type": "string"}, {"type": "boolean"}, {"type": "integer", "minimum": 0}
#: Held to Kubernetes' schemas, or to the options of `ray start`, elsewhere.
ELSEWHERE = {"type": "object"}


def fields(required: str = "", **properties: Schema) -> Schema:
    """An object with these fields and no others."""
    return {
        "type": "object",
        "properties": properties,
        "required": required.split(),
        "additionalProperties": False,
    }


def one_of(*values: str) -> Schema:
    return {"enum": list(values)}


RAY_CLUSTER = fields(
    "headGroupSpec",
    rayVersion=TEXT,
    upgradeStrategy=fields(type=one_of("Recreate", "None")),
    authOptions=fields(mode=one_of("disabled", "token"), secretName=TEXT),
    enableInTreeAutoscaling=FLAG,
    autoscalerOptions=fields(version=one_of("v1", "v2"), idleTimeoutSeconds=COUNT, resources=ELSEWHERE),
    headGroupSpec=fields("template", rayStartParams=ELSEWHERE, template=ELSEWHERE),
    workerGroupSpecs={
        "type": "array",
        "items": fields(
            "groupName maxReplicas minReplicas template",
            groupName=TEXT,
            replicas=COUNT,
            minReplicas=COUNT,
            maxReplicas=COUNT,
            idleTimeoutSeconds=COUNT,
            rayStartParams=ELSEWHERE,
            template=ELSEWHERE,
        ),
    },
)
RAY_JOB = fields(
    entrypoint=TEXT,
    submissionMode=one_of("K8sJobMode", "HTTPMode", "SidecarMode"),
    backoffLimit=COUNT,
    activeDeadlineSeconds=COUNT,
    shutdownAfterJobFinishes=FLAG,
    ttlSecondsAfterFinished=COUNT,
    rayClusterSpec=RAY_CLUSTER,
)
SPECS = {"RayCluster": RAY_CLUSTER, "RayJob": RAY_JOB}


def resource(spec: Schema) -> Schema:
    return fields(
        "apiVersion kind metadata spec", apiVersion=one_of("ray.io/v1"), kind=TEXT, metadata=ELSEWHERE, spec=spec
    )


def manifests() -> dict[str, Manifest]:
    """Each document of `deploy/kuberay`, by kind and name."""
    found: dict[str, Manifest] = {}
    for file in sorted((ROOT / "deploy" / "kuberay").glob("*.yaml")):
        for document in yaml.safe_load_all(file.read_text(encoding="utf-8")):
            found[f"{document['kind']}/{document['metadata']['name']}"] = document
    return found


def cluster_of(manifest: Manifest) -> Manifest:
    """The specification of the Ray cluster in a RayCluster or RayJob."""
    spec: Manifest = manifest["spec"]
    return spec["rayClusterSpec"] if manifest["kind"] == "RayJob" else spec


def groups(manifest: Manifest) -> list[Manifest]:
    """The head and the groups of workers."""
    cluster = cluster_of(manifest)
    return [cluster["headGroupSpec"], *cluster["workerGroupSpecs"]]


def problems(manifest: Manifest) -> list[str]:
    """What is wrong with a manifest, as far as the schemas know."""
    kind = manifest.get("kind", "")
    if kind not in SPECS:
        return list(_kubernetes(manifest))
    found = [error.message for error in jsonschema.Draft7Validator(resource(SPECS[kind])).iter_errors(manifest)]
    if found:
        return found
    found += _kubernetes({"apiVersion": "v1", "kind": "ConfigMap", "metadata": manifest["metadata"]})
    for group in groups(manifest):
        found += _kubernetes({"apiVersion": "v1", "kind": "Pod", "metadata": {}} | group["template"])
    for options in (cluster_of(manifest).get("autoscalerOptions", {}),):
        container = {"name": "autoscaler", "resources": options.get("resources", {})}
        found += _kubernetes({"apiVersion": "v1", "kind": "Pod", "spec": {"containers": [container]}})
    return found


def _kubernetes(manifest: Manifest) -> Iterator[str]:
    try:
        kubernetes_validate.validate(manifest, KUBERNETES, strict=True)
    except (kubernetes_validate.ValidationError, kubernetes_validate.SchemaNotFoundError) as error:
        yield str(error)
    except KeyError as error:  # of kind or apiVersion, without which no schema is found
        yield f"{error} is missing"


def crd_folder() -> Path | None:
    """Where KubeRay's own schemas are: `KUBERAY_CRDS`, or a folder of them beside this checkout; None: nowhere."""
    named = os.environ.get("KUBERAY_CRDS")
    beside = sorted(ROOT.parent.glob("*/kuberay/ray.io_rayclusters.yaml"))
    return Path(named) if named else beside[0].parent if beside else None


def crd_problems(folder: Path, manifest: Manifest) -> list[str]:
    """What is wrong with a RayCluster or RayJob by the whole of KubeRay's schema."""
    return [error.message for error in _crd(folder / f"ray.io_{manifest['kind'].lower()}s.yaml").iter_errors(manifest)]


@functools.cache
def _crd(file: Path) -> Any:
    versions = yaml.safe_load(file.read_text(encoding="utf-8"))["spec"]["versions"]
    (schema,) = (one["schema"]["openAPIV3Schema"] for one in versions if one["name"] == "v1")
    # What the API server holds for every kind, and a schema therefore leaves out.
    schema["properties"]["metadata"] = ELSEWHERE
    return jsonschema.Draft7Validator(_strict(schema))


def _strict(schema: Any) -> Any:
    """The same schema, refusing fields that it does not name, as the API server does in its strict mode."""
    if isinstance(schema, list):
        return [_strict(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    strict = {key: _strict(value) for key, value in schema.items()}
    if (
        isinstance(schema.get("properties"), dict)
        and "type" in schema
        and "x-kubernetes-preserve-unknown-fields" not in schema
    ):
        strict["additionalProperties"] = False
    return strict
