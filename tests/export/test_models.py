"""A model exported loads with transformers, says where it comes from, and is the one that was trained."""

import json
import shutil
from pathlib import Path

import pytest
import yaml

from pipeline.engines.weights import hash_model
from pipeline.errors import InvariantError, NotReadyError
from pipeline.export import best_round, export_model
from pipeline.paths import Home
from pipeline.store import Store
from tests.experiments import NAME, star

pytestmark = pytest.mark.slow


@pytest.fixture
def home(finished: Path, tmp_path: Path) -> Home:
    shutil.copytree(finished / "home", tmp_path / "home")
    return Home(tmp_path / "home")


def test_model_exported_is_the_checkpoint_with_tokenizer_and_lineage(home: Home, tmp_path: Path) -> None:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    store = Store(home)
    told = star(
        *("export", NAME, "--what", "model", "--round", "best"),
        *("--to", str(tmp_path / "out"), "--licence", "mit"),
        home=home.root,
    )
    assert told.returncode == 0, told.stderr
    best = best_round(store, NAME)
    recorded = store.rows("checkpoint", experiment=NAME, round=best)[0]
    assert hash_model(tmp_path / "out") == recorded["content_hash"]
    assert AutoModelForCausalLM.from_pretrained(tmp_path / "out").config.vocab_size == 300
    assert AutoTokenizer.from_pretrained(tmp_path / "out").eos_token is not None
    lineage = json.loads((tmp_path / "out" / "lineage.json").read_text())
    assert lineage["checkpoints"][-1]["content_hash"] == recorded["content_hash"]
    assert lineage["checkpoints"][-1]["training_set_digest"] == recorded["training_set_digest"]
    assert lineage["base_hash"] == recorded["base_hash"]
    card = (tmp_path / "out" / "README.md").read_text()
    front = yaml.safe_load(card.split("---\n")[1])
    assert (front["library_name"], front["license"]) == ("transformers", "mit")
    assert "50.0% [15.0%, 85.0%]" in card


def test_model_of_round_zero_is_the_base(home: Home, tmp_path: Path) -> None:
    store = Store(home)
    digest = export_model(store, home, NAME, 0, tmp_path / "base")
    assert (
        digest == hash_model(tmp_path / "base") == store.rows("experiment", experiment=NAME)[0]["base_hash"]
    )


def test_model_whose_files_changed_or_are_gone_is_not_exported(home: Home, tmp_path: Path) -> None:
    store = Store(home)
    path = home.absolute(store.rows("checkpoint", experiment=NAME, round=2)[0]["path"])
    (path / "config.json").write_text((path / "config.json").read_text() + "\n")
    with pytest.raises(InvariantError, match="its files were changed"):
        export_model(store, home, NAME, 2, tmp_path / "out")
    shutil.rmtree(path)
    with pytest.raises(NotReadyError, match=f"star stage train {NAME} --round 2 --force"):
        export_model(store, home, NAME, 2, tmp_path / "out")
    with pytest.raises(NotReadyError, match="round 9 .* has trained no model"):
        export_model(store, home, NAME, 9, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_best_round_is_chosen_by_dev_and_never_by_eval(home: Home) -> None:
    store = Store(home)
    with store.transaction() as connection:
        connection.execute("UPDATE evaluations SET value = 0.9 WHERE round = 1 AND split = 'dev'")
        connection.execute("UPDATE evaluations SET value = 1.0 WHERE round = 2 AND split = 'eval'")
    assert best_round(store, NAME) == 1
    with store.transaction() as connection:
        connection.execute("DELETE FROM evaluations WHERE split = 'dev'")
    assert best_round(store, NAME) == 2
