"""The URL of a shared store: what it may hold, and that no message tells a password."""

from pathlib import Path

import pytest

from pipeline.config.site import load_site
from pipeline.config.store_url import StoreUrl
from pipeline.errors import ConfigError
from pipeline.paths import Home
from pipeline.store import Store

pytest.importorskip("psycopg", reason="the extra [ducklake] is not installed")
BASE = "ducklake:postgres:host=db dbname=star user=star"


@pytest.mark.parametrize(
    "text",
    [
        f"{BASE} password=$STAR_DB_PASSWORD",
        f"{BASE} password=${{STAR_DB_PASSWORD}}",
        "ducklake:postgres:postgresql://star:$STAR_DB_PASSWORD@db/star",
    ],
)
def test_store_url_with_a_named_password_keeps_it_out_of_the_connection_text(
    text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = StoreUrl.parse(text)
    assert url.password_env == "STAR_DB_PASSWORD"
    assert "password" not in url.conninfo and "PASSWORD" not in str(url)
    assert {"host=db", "dbname=star", "user=star"} <= set(url.conninfo.split())
    monkeypatch.setenv("STAR_DB_PASSWORD", "s3cret")
    assert url.password() == "s3cret"
    monkeypatch.delenv("STAR_DB_PASSWORD")
    with pytest.raises(ConfigError, match="STAR_DB_PASSWORD is not set"):
        url.password()


def test_store_url_without_a_password_leaves_it_to_libpq() -> None:
    assert StoreUrl.parse(BASE).password() is None


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (f"{BASE} password=s3cret", "holds a password"),
        (f"{BASE} sslpassword=s3cret", "holds a password"),
        ("ducklake:postgres:postgresql://star:s3cret@db/star", "holds a password"),
        ("ducklake:postgres:host=db user=star", "names no dbname"),
        (f"{BASE} pasword=s3cret", "not one that libpq reads"),
        ("postgresql://star:s3cret@db/star", "does not begin with"),
    ],
)
def test_store_url_that_is_refused_says_why_and_not_what_it_holds(text: str, told: str) -> None:
    with pytest.raises(ConfigError, match=told) as raised:
        StoreUrl.parse(text)
    assert "s3cret" not in str(raised.value)


def test_site_store_url_with_a_password_is_refused_and_not_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("STAR_SITE", raising=False)
    (tmp_path / "site.yaml").write_text(f"store: {{url: '{BASE} password=s3cret'}}\n")
    with pytest.raises(ConfigError, match="holds a password") as raised:
        load_site(Home(tmp_path))
    assert "s3cret" not in str(raised.value)
    (tmp_path / "site.yaml").write_text(f"store: {{url: '{BASE} password=$STAR_DB_PASSWORD'}}\n")
    assert str(Store(Home(tmp_path))) == str(StoreUrl.parse(BASE))
