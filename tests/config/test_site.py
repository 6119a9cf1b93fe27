"""Site settings: where they are read from, what they refuse, and that the shipped ones are the defaults."""

from pathlib import Path

import pytest

from pipeline.config.load import configs_in, load_config
from pipeline.config.section import Section
from pipeline.config.site import SiteConfig, load_site
from pipeline.errors import ConfigError
from pipeline.paths import Home, package_data


@pytest.fixture(autouse=True)
def _no_site_of_the_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("STAR_SITE", raising=False)


def test_shipped_settings_name_every_field_with_its_default(tmp_path: Path) -> None:
    loaded = load_site(Home(tmp_path))
    assert loaded.path == package_data("configs") / "site.yaml"
    assert loaded.config == SiteConfig()
    assert set(_keys(SiteConfig)) == {key for key in loaded.origins}


def _keys(section: type[Section], prefix: str = "") -> list[str]:
    keys: list[str] = []
    for name, field in section.model_fields.items():
        kind = field.annotation
        inner = isinstance(kind, type) and issubclass(kind, Section)
        keys += _keys(kind, f"{prefix}{name}.") if inner else [f"{prefix}{name}"]
    return keys


def test_settings_are_those_of_the_environment_then_of_the_home(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "site.yaml").write_text("airflow: {owner: home}")
    assert load_site(Home(tmp_path)).config.airflow.owner == "home"
    (tmp_path / "other.yaml").write_text("airflow: {owner: environment, config_folders: [more]}")
    monkeypatch.setenv("STAR_SITE", str(tmp_path / "other.yaml"))
    loaded = load_site(Home(tmp_path))
    assert loaded.config.airflow.owner == "environment"
    assert loaded.config_folders == (tmp_path / "more",)


def test_settings_file_that_is_named_and_missing_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STAR_SITE", str(tmp_path / "nowhere.yaml"))
    with pytest.raises(ConfigError, match="STAR_SITE names"):
        load_site(Home(tmp_path))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("airflow: {retry: 3}", "airflow.retry: unknown key; did you mean 'retries'"),
        ("airflow: {retries: 1}", "airflow.retries"),
        ("airflow: {schedule: {cron: every night}}", "airflow.schedule.cron"),
        ("airflow: {schedule: {cron: '0 2 * * *', asset: 's3://a/b'}}", "exclude each other"),
        ("prices: {currency: euro}", "prices.currency"),
        ("prices: {gpu_hour: -1}", "prices.gpu_hour"),
    ],
)
def test_bad_settings_are_refused_by_name(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "site.yaml").write_text(text)
    with pytest.raises(ConfigError, match=message):
        load_site(Home(tmp_path))


def test_settings_of_the_site_are_no_config_of_an_experiment() -> None:
    assert "site" not in configs_in(package_data("configs"))
    with pytest.raises(ConfigError, match="not found"):
        load_config(Path("site"))
