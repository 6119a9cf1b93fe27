"""Reading a config: overrides, errors that help, and where values came from."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from pipeline.config import load_config, stage_config
from pipeline.config.load import validate
from pipeline.errors import ConfigError

MINIMAL: dict[str, Any] = {
    "model": {"base": "some/model"},
    "problems": {"sources": {"train": {"kind": "jsonl", "path": "train.jsonl"}}},
    "verify": {"grader": {"type": "math"}},
}


@pytest.fixture
def config_file(tmp_path: Path) -> Path:
    file = tmp_path / "my_task.yaml"
    file.write_text(yaml.safe_dump(MINIMAL), encoding="utf-8")
    return file


def test_load_minimal_config_has_documented_defaults_and_the_files_name(config_file: Path) -> None:
    loaded = load_config(config_file)
    assert loaded.experiment == "my-task"
    assert loaded.config.generate.samples == 1 and loaded.config.train.start == "base"
    assert loaded.path == config_file.resolve()


def test_load_experiment_name_comes_from_argument_then_config_then_file(config_file: Path) -> None:
    named = ["experiment=from-config"]
    assert load_config(config_file, named).experiment == "from-config"
    assert load_config(config_file, named, experiment="from-argument").experiment == "from-argument"
    with pytest.raises(ConfigError, match=r"'Not Valid' is not valid.+a-z"):
        load_config(config_file, experiment="Not Valid")


def test_load_overrides_are_yaml_and_the_last_one_wins(config_file: Path) -> None:
    overrides = [
        "generate.samples=2",
        "generate.samples=4",
        "generate.temperature=0.7",
        'generate.stop=["\\nQ:"]',
        "model.revision=null",
        "train.lora.r=4",
    ]
    config = load_config(config_file, overrides).config
    assert (config.generate.samples, config.generate.temperature) == (4, 0.7)
    assert config.generate.stop == ("\nQ:",)
    assert config.model.revision is None
    assert config.train.lora is not None and config.train.lora.r == 4


def test_load_override_of_one_source_field_keeps_the_others(config_file: Path) -> None:
    config = load_config(config_file, ["problems.sources.train.limit=5"]).config
    source = config.problems.sources["train"]
    assert (source.kind, source.limit) == ("jsonl", 5)  # type: ignore[union-attr]


def test_load_origins_say_file_or_set(config_file: Path) -> None:
    loaded = load_config(config_file, ["model.base=other/model", "seed=3"])
    assert loaded.origins["model.base"] == "--set"
    assert loaded.origins["seed"] == "--set"
    assert loaded.origins["verify.grader.type"] == str(config_file)
    assert "rounds" not in loaded.origins


def test_load_override_of_a_section_replaces_its_origins(config_file: Path) -> None:
    loaded = load_config(config_file, ["verify.grader={type: numeric}"])
    assert loaded.config.verify.grader.type == "numeric"
    assert loaded.origins["verify.grader"] == "--set"
    assert "verify.grader.type" not in loaded.origins


def test_load_data_dir_is_the_files_folder_or_what_is_set(config_file: Path, tmp_path: Path) -> None:
    assert load_config(config_file).config.problems.data_dir == str(tmp_path.resolve())
    other = load_config(config_file, [f"problems.data_dir={tmp_path / 'data'}"]).config.problems.data_dir
    assert other == str((tmp_path / "data").resolve())


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("generate.sample=3", r"generate\.sample: unknown key; did you mean 'samples'\?"),
        ("generat.samples=3", r"generat: unknown key; did you mean 'generate'\?"),
        ("train.lora.alpa=3", r"train\.lora\.alpa: unknown key; did you mean 'alpha'\?"),
        ("verify.grader.extrct=[]", r"  verify\.grader\.extrct: unknown key; did you mean 'extract'\?"),
        ("problems.sources.train.pth=x", r"  problems\.sources\.train\.pth: unknown key; did you mean 'pa"),
        ("problems.sources.train.fields.anwser=x", r"fields\.anwser: unknown key; did you mean 'answer'"),
        ("prompts.few_shot=[{answr: q}]", r"prompts\.few_shot\.0\.answr: unknown key; did you mean 'ans"),
        ("generate.samples=0", r"generate\.samples: .+greater than or equal to 1.+value 0"),
        ("rationalize=off", r"rationalize: a section with fields of its own, not a value.+value False"),
        ("generate.samples=4", r"generate\.samples is 4 at temperature 0"),
        ("rationalize.samples=4", r"rationalize\.samples is 4 at temperature 0"),
        ("model.base=tiny", r"model\.base is 'tiny' exactly when model\.tiny describes it"),
        ("verify.grader.type=maths", r"verify\.grader.+maths"),
        ("problems.sources.train.kind=csv", r"problems\.sources\.train.+csv"),
        ("problems.sources.train.fields.answer=answer ~ (", r"'\(' is not a regular expression"),
        ('problems.sources.train.fields.answer=" ~ x"', r"the path before ' ~ ' is empty"),
        ("problems.sources.train.fields.solution_strip=[", r"'\[' is not|valid YAML"),
        ("prompts.few_shot=[{question: q}]", r"prompts\.few_shot\.0\.rationale: required, but missing"),
        ("samples", r"override 'samples' is not of the form key=value"),
        ("generate.stop=[", r"override 'generate\.stop=\['.+not valid YAML"),
    ],
)
def test_load_wrong_value_names_key_value_and_expectation(
    config_file: Path, override: str, message: str
) -> None:
    with pytest.raises(ConfigError, match=message) as error:
        load_config(config_file, [override])
    assert error.value.exit_code == 64


@pytest.mark.parametrize(
    "override",
    [
        "engine.endpoint=http://u:hidden@h/v1",
        "engine=http://u:hidden@h/v1",
        "engine=[{at: 'https://h/p?a=b', of: 'http://u:hi/dden:hidden@h/v1'}]",
        "engine.endpoint={url: [hidden], model: m}",
        "engine.endpoint=hidden",
        "prompts='ducklake:postgres:host=h password=hidden'",
    ],
)
def test_load_value_of_a_wrong_type_that_may_hold_a_secret_is_not_shown(
    config_file: Path, override: str
) -> None:
    with pytest.raises(ConfigError, match=r"value not shown: it may hold a secret") as error:
        load_config(config_file, [override])
    assert "hidden" not in str(error.value)


def test_validate_reports_every_error_at_once() -> None:
    with pytest.raises(ConfigError) as error:
        validate({"model": {"base": "x"}, "problems": {}, "sed": 1}, source="here.yaml")
    lines = str(error.value).splitlines()
    assert lines[0] == "here.yaml is not a valid config:"
    assert any("problems.sources: required" in line for line in lines)
    assert any("verify: required" in line for line in lines)
    assert any("did you mean 'seed'?" in line for line in lines)


@pytest.mark.parametrize(
    ("content", "message"), [("a: [", "not valid YAML"), ("- 1\n", "holds list"), ("", "NoneType")]
)
def test_load_file_that_is_no_mapping_is_refused(tmp_path: Path, content: str, message: str) -> None:
    file = tmp_path / "bad.yaml"
    file.write_text(content, encoding="utf-8")
    with pytest.raises(ConfigError, match=message):
        load_config(file)


def test_load_absent_file_names_the_shipped_configs() -> None:
    with pytest.raises(ConfigError, match=r"'nowhere/absent\.yaml' not found.+gsm8k"):
        load_config(Path("nowhere/absent.yaml"))


def test_load_bare_name_means_the_shipped_config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert load_config(Path("gsm8k")).experiment == "gsm8k"
    assert load_config(Path("configs/gsm8k.yaml")).experiment == "gsm8k"


def test_stage_config_leaves_execution_settings_out(config_file: Path) -> None:
    one = load_config(config_file).config
    execution = [
        "engine.device=cpu",
        "engine.batch_size=3",
        "engine.threads=2",
        "train.micro_batch_size=2",
        "train.gradient_checkpointing=true",
        "verify.workers=7",
        "problems.data_dir=/elsewhere",
        "rounds=9",
        "shards=5",
        "description=other",
    ]
    other = load_config(config_file, execution).config
    keys = ["engine", "train", "verify", "problems", "prompts", "generate", "seed"]
    assert stage_config(one, keys) == stage_config(other, keys)
    assert "device" not in stage_config(one, ["engine"])["engine"]


def test_stage_config_of_a_field_that_joined_later_is_the_old_one_until_it_is_set(config_file: Path) -> None:
    before = load_config(config_file).config
    assert "endpoint" not in stage_config(before, ["engine"])["engine"]
    asked = load_config(config_file, ["engine.kind=openai", "engine.endpoint={serve: true}"]).config
    assert stage_config(asked, ["engine"])["engine"]["endpoint"]["serve"] is True


def test_stage_config_holds_what_decides_the_result(config_file: Path) -> None:
    one = load_config(config_file).config
    overrides = [
        "engine.dtype=float32",
        "engine.max_model_len=64",
        "train.learning_rate=1.0",
        "seed=1",
        "generate.max_tokens=3",
        'prompts.question="{question}"',
        "problems.dev_from_train=3",
    ]
    for override in overrides:
        section = override.split("=")[0].split(".")[0]
        other = load_config(config_file, [override]).config
        assert stage_config(one, [section]) != stage_config(other, [section]), override


def test_stage_config_reads_dotted_keys(config_file: Path) -> None:
    config = load_config(config_file).config
    assert stage_config(config, ["generate.samples", "seed"]) == {"generate.samples": 1, "seed": 0}
