"""Flags from the page: only a form of ours may put one, and it is kept with its author."""

import re
from urllib.parse import urlencode

import pytest
from fastapi.testclient import TestClient

from pipeline.paths import Home
from pipeline.store import Store
from pipeline.ui.app import create_app
from tests.experiments import NAME
from tests.ui.conftest import LOCAL

FORM = {"content-type": "application/x-www-form-urlencoded"}


@pytest.fixture
def attempt(home: Home) -> str:
    """The address of an attempt that was kept."""
    rows = Store(home).query_readonly("select min(rationale_id) from training_rows where not superseded")[1]
    return f"/experiments/{NAME}/rationales/{rows[0][0]}"


def flags(home: Home) -> list[tuple[object, ...]]:
    return Store(home).query_readonly(
        "select kind, author, note, withdrawn_by from flags order by created_at"
    )[1]


def token_of(client: TestClient, address: str) -> str:
    (token, *_) = re.findall(r'name="form_token" value="(\w+)"', client.get(address).text)
    return str(token)


def post(client: TestClient, address: str, fields: dict[str, str], **headers: str) -> int:
    sent = {**FORM, "origin": LOCAL, **{name.replace("_", "-"): value for name, value in headers.items()}}
    return client.post(address, content=urlencode(fields), headers=sent).status_code


def test_flag_from_another_page_or_without_token_is_refused(
    client: TestClient, home: Home, attempt: str
) -> None:
    token, put = token_of(client, attempt), f"{attempt}/flags"
    good = {"kind": "exclude", "form_token": token}
    assert post(client, put, good, origin="http://evil.example") == 403
    assert post(client, put, good, origin="null") == 403
    assert post(client, put, good, origin="http://127.0.0.1:9999") == 403
    assert post(client, put, good, sec_fetch_site="cross-site") == 403
    assert client.post(put, content=urlencode(good), headers=FORM).status_code == 403  # no Origin
    assert post(client, put, {"kind": "exclude"}) == 403
    assert post(client, put, {"kind": "exclude", "form_token": "0" * 64}) == 403
    assert post(client, put, {**good, "note": "x" * 20_000}) == 413
    client.cookies.clear()
    assert post(client, put, good) == 403
    assert flags(home) == []


def test_token_of_another_browser_is_refused(client: TestClient, home: Home, attempt: str) -> None:
    theirs = token_of(client, attempt)
    client.cookies.clear()
    ours = token_of(client, attempt)
    assert ours != theirs
    assert post(client, f"{attempt}/flags", {"kind": "exclude", "form_token": theirs}) == 403
    assert flags(home) == []


def test_flag_is_put_shown_filtered_exported_and_taken_back(
    client: TestClient, home: Home, attempt: str
) -> None:
    note = "<b>a guess</b>"
    form = {"kind": "wrong_verdict", "note": note, "form_token": token_of(client, attempt)}
    assert post(client, f"{attempt}/flags", form) == 303
    assert flags(home) == [("wrong_verdict", "Anna", note, None)]
    page = client.get(attempt).text
    assert "Verdict called wrong</strong> by Anna" in page and "&lt;b&gt;a guess" in page
    listed = client.get(f"/experiments/{NAME}/rationales?flagged=yes").text
    assert "1 rationale at" in listed and attempt.rsplit("/", 1)[1] in listed
    exported = client.get(f"/experiments/{NAME}/rationales.csv?flagged=yes").text
    assert f"verdict called wrong by Anna: {note}" in exported
    (back,) = re.findall(r'action="([^"]+/withdraw)"', page)
    assert post(client, back, {"form_token": token_of(client, attempt)}) == 303
    assert flags(home) == [("wrong_verdict", "Anna", note, "Anna")]
    assert "taken back by Anna" in client.get(attempt).text


def test_flag_of_an_unknown_kind_or_attempt_is_refused(client: TestClient, home: Home, attempt: str) -> None:
    before = flags(home)
    token = token_of(client, attempt)
    assert post(client, f"{attempt}/flags", {"kind": "delete", "form_token": token}) == 400
    other = attempt.rsplit("/", 1)[0] + "/nothing"
    assert post(client, f"{other}/flags", {"kind": "exclude", "form_token": token}) == 404
    assert flags(home) == before


def test_servers_of_one_home_accept_each_others_forms(client: TestClient, home: Home, attempt: str) -> None:
    token = token_of(client, attempt)
    other = create_app(home, author=lambda request: "Bo", hosts=None)
    with TestClient(other, base_url=LOCAL, cookies=dict(client.cookies), follow_redirects=False) as second:
        assert post(second, f"{attempt}/flags", {"kind": "exclude", "form_token": token}) == 303
    assert ("exclude", "Bo", "", None) in flags(home)
    assert (home.root / "ui.key").stat().st_mode & 0o077 == 0
