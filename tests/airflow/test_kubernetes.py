"""Pods for KubernetesExecutor: what the site says is in them, and Kubernetes' own models know every field."""

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from pipeline.airflow.kubernetes import executor_config, home_claim, pod_override, pod_template
from pipeline.config.site import AirflowSite, KubernetesSite, PodSite
from pipeline.rounds import STAGES
from tests.airflow.conftest import REPOSITORY, Driver

SITE = KubernetesSite(
    image="registry.example/star:1",
    secret="star-secrets",
    storage_class="nfs",
    gpu=PodSite(cpu="8", memory="64Gi", gpus=2, node_selector={"gpu": "h100"}),
)
DAGS = """
import json, sys
from airflow.dag_processing.dagbag import DagBag
from airflow.serialization.serialized_objects import DagSerialization
bag = DagBag(sys.argv[1])
def limits(task):
    config = task.partial_kwargs["executor_config"] if task.is_mapped else task.executor_config
    return config["pod_override"].spec.containers[0].resources.limits
tasks = [task for dag in bag.dags.values() for task in dag.tasks if task.task_id not in ("launch", "next_round")]
kept = sum(str(DagSerialization.to_dict(dag)).count("nvidia.com/gpu") for dag in bag.dags.values())
print(json.dumps({"errors": bag.import_errors, "limits": {task.task_id: limits(task) for task in tasks}, "kept": kept}))
"""
HAS_CLIENT = all(
    importlib.util.find_spec(name) for name in ("kubernetes", "airflow.providers.cncf.kubernetes")
)


def container(pod: dict[str, Any]) -> dict[str, Any]:
    (only,) = pod["spec"]["containers"]
    assert only["name"] == "base"  # by this name Airflow merges a pod with its template
    return dict(only)


def test_pod_override_of_a_gpu_stage_requests_gpus_and_tolerates_their_nodes() -> None:
    pod = pod_override(SITE, SITE.gpu)
    amounts = {"cpu": "8", "memory": "64Gi", "nvidia.com/gpu": "2"}
    assert container(pod)["resources"] == {"requests": amounts, "limits": amounts}
    assert pod["spec"]["nodeSelector"] == {"gpu": "h100"}
    assert pod["spec"]["tolerations"][0]["key"] == "nvidia.com/gpu"


def test_pod_override_of_another_stage_requests_no_gpu() -> None:
    pod = pod_override(SITE, SITE.cpu)
    assert set(container(pod)["resources"]["requests"]) == {"cpu", "memory"}
    assert set(pod["spec"]) == {"containers"}


def test_pod_template_shares_the_home_and_takes_secrets_by_reference_only() -> None:
    pod = pod_template(SITE)
    assert container(pod)["env"] == [{"name": "STAR_HOME", "value": "/star"}]
    assert container(pod)["envFrom"] == [{"secretRef": {"name": "star-secrets"}}]
    claims = [volume.get("persistentVolumeClaim") for volume in pod["spec"]["volumes"]]
    assert {"claimName": home_claim(SITE)["metadata"]["name"]} in claims
    mounted = {mount["name"] for mount in container(pod)["volumeMounts"]}
    assert mounted == {volume["name"] for volume in pod["spec"]["volumes"]}
    assert home_claim(SITE)["spec"]["accessModes"] == ["ReadWriteMany"]


@pytest.mark.parametrize(
    ("made", "model"),
    [
        (pod_template(SITE), "V1Pod"),
        (pod_override(SITE, SITE.gpu), "V1Pod"),
        (pod_override(SITE, SITE.cpu), "V1Pod"),
        (home_claim(SITE), "V1PersistentVolumeClaim"),
    ],
)
def test_manifests_pass_through_the_models_of_kubernetes_unchanged(made: dict[str, Any], model: str) -> None:
    client = pytest.importorskip("kubernetes.client", reason="the extra [kubernetes] is not installed")
    api = client.ApiClient()

    class Answer:
        data = json.dumps(made)

    read = api.deserialize(Answer(), model)
    assert api.sanitize_for_serialization(read) == made  # a field that no model knows would be lost


def test_executor_config_is_a_pod_that_airflow_can_merge_with_the_template() -> None:
    if not HAS_CLIENT:
        pytest.skip("the extra [kubernetes] is not installed")
    from airflow.providers.cncf.kubernetes.pod_generator import PodGenerator

    override = executor_config(AirflowSite(kubernetes=SITE), gpu=True)["pod_override"]
    template = PodGenerator.deserialize_model_dict(pod_template(SITE))
    merged = PodGenerator.reconcile_pods(template, override)
    (only,) = merged.spec.containers
    assert only.image == "registry.example/star:1"
    assert only.resources.limits["nvidia.com/gpu"] == "2"
    assert {mount.name for mount in only.volume_mounts} == {"home", "shm"}
    assert executor_config(AirflowSite(), gpu=True) == {}


def test_dags_of_a_site_with_a_cluster_ask_for_gpus_where_a_model_is_loaded(
    tmp_path: Path, drive: Driver
) -> None:
    if not HAS_CLIENT:
        pytest.skip("the extra [kubernetes] is not installed")
    site = tmp_path / "cluster.yaml"
    site.write_text("airflow: {kubernetes: {image: star, gpu: {gpus: 2}}}\n")
    told = drive(DAGS, str(REPOSITORY / "dags"), STAR_SITE=str(site))
    assert told.returncode == 0, told.stderr
    found = json.loads(told.stdout.strip().splitlines()[-1])
    assert found["errors"] == {}
    with_gpus = {task for task, limits in found["limits"].items() if limits.get("nvidia.com/gpu") == "2"}
    assert with_gpus == {
        "write",
        *(stage.name for stage in STAGES if stage.gpu and stage.name in found["limits"]),
    }
    assert found["kept"] >= len(with_gpus)  # what the scheduler reads has them too


def test_manifests_are_printed_as_yaml_and_asked_for_in_vain_without_a_site(
    tmp_path: Path, repository: Path
) -> None:
    def printed(kind: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "pipeline.airflow.kubernetes", kind],
            env={**os.environ, "STAR_HOME": str(tmp_path), "PYTHONPATH": str(repository)},
            capture_output=True,
            text=True,
            timeout=120,
        )

    refused = printed("pod")
    assert refused.returncode == 64
    assert "has no airflow.kubernetes; set at least its image" in refused.stderr
    (tmp_path / "site.yaml").write_text("airflow: {kubernetes: {image: star}}\n")
    assert yaml.safe_load(printed("pod").stdout)["spec"]["containers"][0]["image"] == "star"
    assert yaml.safe_load(printed("home").stdout)["kind"] == "PersistentVolumeClaim"
    assert "expected one of home, pod" in printed("node").stderr
