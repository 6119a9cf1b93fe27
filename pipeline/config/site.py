"""Settings of a site, not of an experiment: how Airflow runs stages here, and what a GPU hour costs."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from pydantic import field_validator, model_validator

from pipeline.config.load import SITE_FILE, leaves, read_yaml, validate_as
from pipeline.config.section import Section, option
from pipeline.config.store_url import StoreUrl
from pipeline.errors import ConfigError
from pipeline.paths import Home, package_data


class ScheduleSite(Section):
    """When Airflow starts experiments by itself. Off unless `cron` or `asset` is set."""

    cron: str | None = option(None, pattern=r"^\S+( \S+){4}$")
    """Five fields, in `timezone`, for example `0 2 * * *`."""
    asset: str | None = option(None, pattern=r"^[a-z][a-z0-9+.-]*://\S+$")
    """URI of an Airflow asset, for example `s3://problems/math`: every update of it starts an experiment."""
    timezone: str = option("UTC")
    """Of `cron`, as in the IANA database."""
    config: str | None = option(None)
    """Name of the config that a firing runs. None: the first of the trigger form."""
    continue_newest: bool = option(False)
    """Go on with the newest experiment of that config where new problems have arrived (and do nothing where
    none have), instead of starting a new experiment named by date."""

    @model_validator(mode="after")
    def _one_of_two(self) -> ScheduleSite:
        if self.cron is not None and self.asset is not None:
            raise ValueError("schedule.cron and schedule.asset exclude each other; set one of them to null")
        return self


class PlaceSite(Section):
    """Where the tasks of one kind run, and for how long."""

    pool: str = option("default_pool")
    """Airflow pool. It must exist (`airflow pools set gpu 1 GPUs`): tasks of a pool that does not exist
    wait for ever. `make airflow` creates those named here."""
    slots: int = option(1, ge=1)
    """Slots that `make airflow` gives the pool where it has to create it: tasks at a time."""
    devices: tuple[str, ...] = option(())
    """GPUs of a machine where tasks of this kind share it, an entry for each task at a time: `["0", "1"]`, or
    `["0,1", "2,3"]` where `engine.tensor_parallel` is 2. A task takes one that no other task of its machine
    has, beginning with that of its shard, and sees no other (CUDA_VISIBLE_DEVICES); without a free one it
    waits, so give the pool as many slots. Empty: a task sees what its worker sees."""
    queue: str = option("default")
    """Queue of the Celery workers that take these tasks; LocalExecutor has none and ignores it."""
    priority: int = option(1, ge=1)
    """Priority weight among the tasks that wait for one pool; higher goes first."""
    timeout_hours: float = option(24.0, gt=0)
    """A task that runs longer is ended with everything below it, and tried again."""

    @field_validator("devices")
    @classmethod
    def _each_once(cls, devices: tuple[str, ...]) -> tuple[str, ...]:
        single = [name for entry in devices for name in entry.split(",")]
        if not all(re.fullmatch(r"[A-Za-z0-9-]+", name) for name in single):
            raise ValueError("expected devices as CUDA_VISIBLE_DEVICES has them, such as ['0', '1']")
        if len(set(single)) < len(single):
            raise ValueError("expected each device once: two tasks would share it")
        return devices


class PodSite(Section):
    """What a task's pod asks of Kubernetes."""

    cpu: str = option("2", pattern=r"^[0-9]+m?$")
    """CPU cores, or thousandths of one (`500m`)."""
    memory: str = option("8Gi", pattern=r"^[0-9]+[MGT]i$")
    """Memory, for example `8Gi`."""
    gpus: int = option(0, ge=0)
    """GPUs."""
    node_selector: Mapping[str, str] = option(default_factory=dict)
    """Labels of the nodes that fit."""


class KubernetesSite(Section):
    """How KubernetesExecutor runs tasks (docs/deploy.md). Other executors ignore it."""

    image: str = option(min_length=1)
    """Container image with this package, Airflow and its Kubernetes provider."""
    namespace: str = option("airflow")
    """Of the pods and of what they use."""
    home: str = option("/star", pattern=r"^/")
    """STAR_HOME in the pods: where `claim` is mounted. One path for every machine that uses the store."""
    claim: str = option("star-home")
    """Persistent volume claim of the disk that all pods share (ReadWriteMany)."""
    storage: str = option("200Gi", pattern=r"^[0-9]+[GT]i$")
    """Size of that disk."""
    storage_class: str | None = option(None)
    """Its storage class. None: the cluster's default."""
    secret: str | None = option(None)
    """Kubernetes secret whose keys become environment variables, such as the one the store's URL names."""
    shared_memory: str = option("8Gi", pattern=r"^[0-9]+[MG]i$")
    """Size of /dev/shm, part of the pod's memory."""
    gpu_resource: str = option("nvidia.com/gpu")
    """What the cluster calls a GPU."""
    gpu: PodSite = option(default_factory=lambda: PodSite(cpu="4", memory="32Gi", gpus=1))
    """Stages that load a model."""
    cpu: PodSite = option(default_factory=PodSite)
    """All other stages."""


class AirflowSite(Section):
    """How `dags/` becomes tasks."""

    owner: str = option("star")
    """Shown beside the DAGs."""
    tags: tuple[str, ...] = option(("star",))
    """Shown beside the DAGs, and filtered by."""
    config_folders: tuple[str, ...] = option(())
    """Folders of further configs for the trigger form, relative to this file. The `configs/` folder
    beside `dags/` is always in it; of two configs with one name the first wins."""
    schedule: ScheduleSite = option(default_factory=ScheduleSite)
    retries: int = option(3, ge=3)
    """Tries after the first. At least 3: after a restart Airflow counts a task that it lost as a try."""
    retry_delay_s: float = option(20.0, ge=1)
    """Seconds before the second try, doubled for each further one. A lease of a host that died blocks for
    90 seconds, which three retries outlast."""
    retry_delay_max_s: float = option(600.0, ge=1)
    """Longest wait between tries, in seconds."""
    grace_s: float = option(4.0, gt=0, le=4.5)
    """Seconds between TERM and KILL for the processes of a task that is stopped. Airflow kills the task
    itself after five."""
    deadline_hours: float | None = option(None, gt=0)
    """A round that takes longer since it was queued is reported as late, once, in the log of Airflow's
    triggerer or scheduler. None: never."""
    gpu: PlaceSite = option(default_factory=lambda: PlaceSite(priority=2))
    """Stages that load a model: choose_temperature, generate, rationalize, regenerate, `write` (what does
    these three in one), train, evaluate."""
    cpu: PlaceSite = option(default_factory=PlaceSite)
    """All other stages."""
    judge_on_gpu: bool = option(False)
    """Stages that grade run where those that load a model do: for a judge with an `engine` of its own."""
    kubernetes: KubernetesSite | None = option(None)
    """Pods of the tasks under KubernetesExecutor. None: tasks ask for nothing."""


class StoreSite(Section):
    """Where the tables are kept."""

    url: str | None = option(None)
    """A DuckLake that several machines share, `ducklake:postgres:host=db dbname=star user=star
    password=$STAR_DB_PASSWORD`: the password by the name of an environment variable. STAR_STORE comes before
    it. None: the file `star.duckdb` of the home."""

    @field_validator("url")
    @classmethod
    def _without_a_secret(cls, url: str | None) -> str | None:
        # Its ConfigError passes through as it is: a ValueError would be shown with the value.
        if url is not None:
            StoreUrl.parse(url)
        return url


class PricesSite(Section):
    """What compute costs, for the cost columns of reports; without a price they show none.

    `star plan` goes by `gpu_hour` alone: it predicts no experiment whose tokens a server charges for.
    """

    gpu_hour: float | None = option(None, ge=0)
    """Price of one GPU for one hour."""
    million_prompt_tokens: float | None = option(None, ge=0)
    """Price of a million tokens sent to the server of `engine.endpoint.url`, as it counts them."""
    million_completion_tokens: float | None = option(None, ge=0)
    """Price of a million tokens that such a server wrote."""
    currency: str = option("USD", pattern=r"^[A-Z]{3}$")
    """ISO 4217 code of the prices."""

    @property
    def parameters(self) -> dict[str, float | None]:
        """The prices by the names that reports know them by."""
        return {
            "gpu_hour": self.gpu_hour,
            "million_prompt_tokens": self.million_prompt_tokens,
            "million_completion_tokens": self.million_completion_tokens,
        }


NO_PRICES = PricesSite().parameters
"""For who asks a report for something else than money."""


class SiteConfig(Section):
    """The settings of a site. `star config --site` prints them with where each value came from."""

    airflow: AirflowSite = option(default_factory=AirflowSite)
    store: StoreSite = option(default_factory=StoreSite)
    prices: PricesSite = option(default_factory=PricesSite)


@dataclass(frozen=True, slots=True)
class LoadedSite:
    """The settings, the file they were read from, and the origin of every value that is not a default."""

    config: SiteConfig
    path: Path
    origins: Mapping[str, str]

    @property
    def config_folders(self) -> tuple[Path, ...]:
        """`airflow.config_folders` as absolute paths."""
        folders = (Path(folder).expanduser() for folder in self.config.airflow.config_folders)
        return tuple((self.path.parent / folder).resolve() for folder in folders)


def load_site(home: Home | None = None) -> LoadedSite:
    """The file that `STAR_SITE` names, else `site.yaml` of the home, else the shipped one with the defaults.

    Raises ConfigError where `STAR_SITE` names no file, and for an unknown key or a bad value.
    """
    path = site_path(home or Home.from_environment())
    data = read_yaml(path)
    config = validate_as(SiteConfig, data, source=str(path), schema="star config --site")
    return LoadedSite(config, path, {key: str(path) for key in leaves(data)})


def site_path(home: Home) -> Path:
    """Where `load_site` reads from."""
    named = os.environ.get("STAR_SITE")
    if named:
        path = Path(named).expanduser().resolve()
        if not path.is_file():
            raise ConfigError(
                f"STAR_SITE names {named!r}, which is no file; expected the YAML file of site settings "
                "(shipped with its defaults as configs/site.yaml), or unset STAR_SITE"
            )
        return path
    own = home.root / SITE_FILE
    return own if own.is_file() else package_data("configs") / SITE_FILE
