"""`star init` and `star config`."""

import json
from pathlib import Path

import pytest
import yaml

from pipeline.config import ExperimentConfig, load_config
from pipeline.config.load import configs_in
from pipeline.config.site import SiteConfig
from pipeline.paths import package_data
from tests.cli.test_app import invoke

SHIPPED = list(configs_in(package_data("configs")))


def test_init_writes_every_shipped_config_and_says_what_to_do_next(tmp_path: Path) -> None:
    code, _, said = invoke("init", str(tmp_path / "mine"), home=tmp_path)
    assert code == 0
    written = sorted(path.stem for path in (tmp_path / "mine" / "configs").glob("*.yaml"))
    assert written == sorted([*SHIPPED, "site"])
    dags = sorted(path.name for path in (tmp_path / "mine" / "dags").glob("*.py"))
    assert dags == ["star.py", "star_round.py"]
    assert f"star run {tmp_path / 'mine' / 'configs' / 'addition.yaml'}" in said


def test_init_keeps_what_the_user_changed_unless_forced(tmp_path: Path) -> None:
    invoke("init", str(tmp_path), home=tmp_path)
    mine = tmp_path / "configs" / "addition.yaml"
    shipped = mine.read_text()
    mine.write_text("rounds: 1\n")
    code, _, said = invoke("init", str(tmp_path), home=tmp_path)
    assert (code, mine.read_text()) == (0, "rounds: 1\n")
    assert f"kept {mine}" in said
    invoke("init", str(tmp_path), "--force", home=tmp_path)
    assert mine.read_text() == shipped


@pytest.mark.parametrize("name", SHIPPED)
def test_config_shown_is_a_config_that_means_the_same(name: str, tmp_path: Path) -> None:
    code, told, _ = invoke("config", name, home=tmp_path)
    assert code == 0
    (tmp_path / "again.yaml").write_text(told)
    assert load_config(tmp_path / "again.yaml").config == load_config(Path(name)).config


def test_config_says_where_each_value_came_from(tmp_path: Path) -> None:
    code, told, _ = invoke(
        "config", "addition", "--set", "generate.samples=7", "--set", "train.lora={r: 4}", home=tmp_path
    )
    assert code == 0
    origins = {
        line.partition(":")[0].strip(): line.partition("# ")[2] for line in told.splitlines() if "# " in line
    }
    assert origins["samples"] in ("--set", "default", "addition")
    lines = [line for line in told.splitlines() if line.startswith("  samples: 7")]
    assert lines and lines[0].endswith("# --set")
    assert next(line for line in told.splitlines() if line.startswith("    r: 4")).endswith("# --set")
    assert next(line for line in told.splitlines() if line.startswith("rounds: 6")).endswith("# addition")
    assert next(line for line in told.splitlines() if line.startswith("shards: 1")).endswith("# default")


def test_config_schema_documents_every_field_with_default_bounds_and_marks(tmp_path: Path) -> None:
    code, told, _ = invoke("config", "--schema", home=tmp_path)
    assert code == 0
    for section in ExperimentConfig.model_fields:
        assert f"\n{section}: " in told
    head = next(line for line in told.splitlines() if line.startswith("generate.samples: "))
    assert ">= 1" in head and "<= 1024" in head and "default 1" in head and "(triggerable)" in head
    assert "Samples per problem; with `adaptive` the most of them. The paper uses 1, greedy." in told
    assert "problems.sources.NAME.*, kind: jsonl" in told
    assert "verify.grader.*, type: math" in told


def test_config_schema_documents_a_section_once_and_then_says_where(tmp_path: Path) -> None:
    _, told, _ = invoke("config", "--schema", home=tmp_path)
    lines = told.splitlines()
    for key in ("verify.grader.graders.NAME", "verify.second_grader"):
        (line,) = [line for line in lines if line.startswith(f"# {key}.*")]
        assert line.startswith(f"# {key}.*, type: math | numeric | ") and line.endswith(
            ": as verify.grader.*"
        )
        assert not [line for line in lines if line.startswith(f"{key}.")]
    assert "# verify.grader.engine.*: as engine.*" in lines
    assert "# problems.sources.NAME.fields.*: as above" in lines


def test_config_json_has_values_and_origins(tmp_path: Path) -> None:
    code, told, _ = invoke("config", "addition", "--set", "seed=3", "--json", home=tmp_path)
    shown = yaml.safe_load(told)
    assert (code, shown["config"]["seed"], shown["origins"]["seed"]) == (0, 3, "--set")
    assert shown["origins"]["select.cut_off"] == "default"


def test_config_of_the_site_is_shown_with_where_each_value_came_from(tmp_path: Path) -> None:
    (tmp_path / "site.yaml").write_text("prices: {gpu_hour: 2.5, currency: EUR}\n")
    code, told, _ = invoke("config", "--site", home=tmp_path)
    assert code == 0
    lines = [line.split() for line in told.splitlines()]
    assert ["gpu_hour:", "2.5", "#", str(tmp_path / "site.yaml")] in lines
    assert ["retries:", "3", "#", "default"] in lines


def test_config_of_the_site_shown_is_settings_that_mean_the_same(tmp_path: Path) -> None:
    _, told, _ = invoke("config", "--site", home=tmp_path)
    (tmp_path / "site.yaml").write_text(told)
    _, again, _ = invoke("config", "--site", "--json", home=tmp_path)
    assert SiteConfig.model_validate(json.loads(again)["config"]) == SiteConfig()


def test_config_schema_of_the_site_documents_every_field(tmp_path: Path) -> None:
    code, told, _ = invoke("config", "--site", "--schema", home=tmp_path)
    assert code == 0
    for key in ("airflow.schedule.cron", "airflow.gpu.pool", "prices.gpu_hour"):
        assert f"\n{key}: " in told


def test_config_of_the_site_and_of_an_experiment_exclude_each_other(tmp_path: Path) -> None:
    assert invoke("config", "smoke", "--site", home=tmp_path)[0] == 64
