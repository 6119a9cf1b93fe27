"""The pages in Airflow's API server: its log-in decides who sees them and who may flag."""

import json
import shutil
from pathlib import Path

import pytest

from pipeline.paths import Home
from pipeline.store import Store
from tests.airflow.conftest import Driver
from tests.experiments import NAME

VISIT = """
import json, re, sys
from airflow.utils.db import initdb
initdb()
from airflow.api_fastapi.app import create_app
from fastapi.testclient import TestClient

page, flags = sys.argv[1:]
told = {}
with TestClient(create_app(), base_url="http://localhost:8080", follow_redirects=False) as client:
    def token(name):
        answer = client.post("/auth/token", json={"username": name, "password": f"secret of {name}"})
        client.cookies.clear()
        return {"Authorization": f"Bearer {answer.json()['access_token']}"}

    for path in (page, "/star/", "/star/static/x/style.css", "/star/nothing"):
        answer = client.get(path)
        told[f"nobody {path}"] = answer.status_code
        assert "sums" not in answer.text and "star.duckdb" not in answer.text
    told["bad token"] = client.get("/star/", headers={"Authorization": "Bearer x.y.z"}).status_code
    for name in ("vera", "anna"):
        headers = token(name)
        answer = client.get(page, headers=headers)
        told[f"{name} sees"] = answer.status_code
        assert f"Flag as {name}" in answer.text, answer.text
        assert "frame-ancestors 'self'" in answer.headers["content-security-policy"]
        (form,) = re.findall('name="form_token" value="([0-9a-f]+)"', answer.text)[:1]
        fields = {"kind": "exclude", "form_token": form}
        other = client.post(flags, data=fields, headers={**headers, "Origin": "http://evil.example"})
        told[f"{name} flags from elsewhere"] = other.status_code
        here = client.post(flags, data=fields, headers={**headers, "Origin": "http://localhost:8080"})
        told[f"{name} flags"] = here.status_code
    views = client.get("/api/v2/plugins", headers=token("anna")).json()["plugins"]
    told["views"] = [view["href"] for plugin in views for view in plugin["external_views"]]
    told["cookie"] = client.get("/star/", cookies={"_token": headers["Authorization"].split()[1]}).status_code
print(json.dumps(told))
"""


@pytest.mark.slow
def test_pages_in_airflow_ask_its_log_in_and_name_its_user(
    drive: Driver, finished: Path, tmp_path: Path
) -> None:
    shutil.copytree(finished / "home", tmp_path / "star")
    store = Store(Home(tmp_path / "star"))
    kept = store.query_readonly("select min(rationale_id) from training_rows where not superseded")[1][0][0]
    passwords = tmp_path / "passwords.json"
    passwords.write_text(json.dumps({name: f"secret of {name}" for name in ("anna", "vera")}))
    page = f"/star/experiments/{NAME}/rationales/{kept}"
    done = drive(
        VISIT,
        page,
        f"{page}/flags",
        AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS="anna:admin,vera:viewer",
        AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE=str(passwords),
        AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_ALL_ADMINS="False",
        AIRFLOW__API_AUTH__JWT_SECRET="0123456789abcdef" * 4,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    told = json.loads(done.stdout.splitlines()[-1])
    assert told.pop("views") == ["/star/"]
    assert told == {
        f"nobody {page}": 401,
        "nobody /star/": 401,
        "nobody /star/static/x/style.css": 401,
        "nobody /star/nothing": 404,
        "bad token": 403,
        "vera sees": 200,
        "vera flags from elsewhere": 403,
        "vera flags": 403,
        "anna sees": 200,
        "anna flags from elsewhere": 403,
        "anna flags": 303,
        "cookie": 200,
    }
    assert store.query_readonly("select author, kind from flags")[1] == [("anna", "exclude")]
