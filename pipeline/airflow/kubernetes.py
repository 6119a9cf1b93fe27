"""Pods of tasks for Airflow's KubernetesExecutor, made from the site's settings.

`python -m pipeline.airflow.kubernetes home|pod` prints what a cluster needs beside Airflow itself: the claim
of the shared home, and the pod template. What a stage needs beyond the template (GPUs, memory, where) comes
with its task as `pod_override`.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

from pipeline.config.site import AirflowSite, KubernetesSite, PodSite, load_site
from pipeline.errors import ConfigError, StarError

BASE = "base"
"""The name by which Airflow knows the container that runs the task."""


def executor_config(site: AirflowSite, *, gpu: bool) -> dict[str, Any]:
    """What a task tells its executor: empty where the site names no cluster or its client is not installed.

    Other executors ignore it, so that one set of settings serves a laptop and a cluster.
    """
    if site.kubernetes is None:
        return {}
    try:
        # Seconds of imports, so only where the site asks for pods.
        from airflow.providers.cncf.kubernetes.pod_generator import PodGenerator
    except ImportError:
        return {}
    pod = pod_override(site.kubernetes, site.kubernetes.gpu if gpu else site.kubernetes.cpu)
    return {"pod_override": PodGenerator.deserialize_model_dict(pod)}


def pod_override(site: KubernetesSite, place: PodSite) -> dict[str, Any]:
    """How the pod of a task differs from the template: its resources, and the nodes it fits."""
    amounts = {"cpu": place.cpu, "memory": place.memory}
    if place.gpus:
        amounts[site.gpu_resource] = str(place.gpus)
    container = {"name": BASE, "resources": {"requests": amounts, "limits": amounts}}
    spec: dict[str, Any] = {"containers": [container]}
    if place.node_selector:
        spec["nodeSelector"] = dict(place.node_selector)
    if place.gpus:
        # Clusters keep other pods off their GPU nodes by this taint.
        spec["tolerations"] = [{"key": site.gpu_resource, "operator": "Exists", "effect": "NoSchedule"}]
    return {"apiVersion": "v1", "kind": "Pod", "spec": spec}


def pod_template(site: KubernetesSite) -> dict[str, Any]:
    """What all pods of tasks share: image, home, environment (`kubernetes_executor.pod_template_file`)."""
    mounts = [
        {"name": "home", "mountPath": site.home},
        {"name": "shm", "mountPath": "/dev/shm"},  # PyTorch's workers share tensors there; 64 MiB by default
    ]
    container: dict[str, Any] = {"name": BASE, "image": site.image, "volumeMounts": mounts}
    container["env"] = [{"name": "STAR_HOME", "value": site.home}]  # its site.yaml names the store
    if site.secret:
        container["envFrom"] = [{"secretRef": {"name": site.secret}}]
    volumes = [
        {"name": "home", "persistentVolumeClaim": {"claimName": site.claim}},
        {"name": "shm", "emptyDir": {"medium": "Memory", "sizeLimit": site.shared_memory}},
    ]
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "star-task", "namespace": site.namespace},
        "spec": {
            "restartPolicy": "Never",
            # A stage ends its processes within this, before the kubelet kills them.
            "terminationGracePeriodSeconds": 30,
            "containers": [container],
            "volumes": volumes,
        },
    }


def home_claim(site: KubernetesSite) -> dict[str, Any]:
    """The claim of the disk that all pods see as STAR_HOME."""
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": site.claim, "namespace": site.namespace},
        "spec": {
            "accessModes": ["ReadWriteMany"],
            **({"storageClassName": site.storage_class} if site.storage_class else {}),
            "resources": {"requests": {"storage": site.storage}},
        },
    }


def main(arguments: Sequence[str]) -> None:
    """Print a manifest as YAML: `home` (the claim) or `pod` (the template)."""
    import yaml

    loaded = load_site()
    site = loaded.config.airflow.kubernetes
    if site is None:
        raise ConfigError(
            f"{loaded.path} has no airflow.kubernetes; set at least its image (see docs/deploy.md)"
        )
    manifests = {"home": home_claim, "pod": pod_template}
    if len(arguments) != 1 or arguments[0] not in manifests:
        raise ConfigError(f"expected one of {', '.join(manifests)}, not {' '.join(arguments) or 'nothing'}")
    print(yaml.safe_dump(manifests[arguments[0]](site), sort_keys=False), end="")


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except StarError as error:
        print(f"error: {error}", file=sys.stderr)
        raise SystemExit(error.exit_code) from None
