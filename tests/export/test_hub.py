"""Pushing to the hub: only when asked for, refused before anything is written where it cannot work."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from tests.experiments import NAME, star


class Hub:
    """Speaks as much of the hub's protocol as a commit of small files takes, and remembers what it was told."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.tokens: set[str | None] = set()
        self.made: dict[str, Any] = {}
        self.files: set[str] = set()
        hub = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                hub.asked.append(self.path)
                hub.tokens.add(self.headers.get("Authorization"))
                answer = json.dumps(hub.answer(self.path, body)).encode()
                self.send_response(200)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

            def do_GET(self) -> None:
                hub.asked.append(self.path)
                self.send_error(404)

            do_HEAD = do_GET

            def log_message(self, format: str, *args: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"

    def answer(self, path: str, body: bytes) -> dict[str, Any]:
        if path == "/api/repos/create":
            self.made = json.loads(body)
            return {"url": f"{self.url}/datasets/{self.made['organization']}/{self.made['name']}"}
        if path.endswith("/preupload/main"):
            files = json.loads(body)["files"]
            return {
                "files": [
                    {"path": file["path"], "uploadMode": "regular", "shouldIgnore": False} for file in files
                ]
            }
        if path.endswith("/commit/main"):
            lines = [json.loads(line) for line in body.splitlines()]
            self.files = {line["value"]["path"] for line in lines if line["key"] == "file"}
            return {"commitUrl": f"{self.url}/datasets/me/sums/commit/abc", "commitOid": "abc"}
        return {}


@pytest.fixture
def hub() -> Iterator[Hub]:
    made = Hub()
    thread = threading.Thread(target=made.server.serve_forever, daemon=True)
    thread.start()
    yield made
    made.server.shutdown()
    thread.join()
    made.server.server_close()


def export(selected: Path, to: Path, *options: str, **environment: str) -> Any:
    """`star export` with the network of the environment and no token of whoever runs the tests."""
    env = {
        "HF_HUB_OFFLINE": "0",
        "TRANSFORMERS_OFFLINE": "0",
        "HF_HOME": str(to.parent / "hf"),
        "HF_TOKEN": "",
    }
    what = ("--what", "training", "--round", "1", "--to", str(to))
    return star("export", NAME, *what, *options, home=selected / "home", env={**env, **environment})


def test_push_uploads_the_folder_in_one_commit_to_a_private_repository(
    selected: Path, tmp_path: Path, hub: Hub
) -> None:
    told = export(
        selected, tmp_path / "out", "--push", "me/sums", "--json", HF_ENDPOINT=hub.url, HF_TOKEN="hf_secret"
    )
    assert told.returncode == 0, told.stderr
    assert (hub.made["name"], hub.made["organization"], hub.made["type"]) == ("sums", "me", "dataset")
    assert hub.made.get("private") is True or hub.made.get("visibility") == "private"
    assert hub.files == {"README.md", "data/train.parquet"}
    assert hub.tokens == {"Bearer hf_secret"}
    assert json.loads(told.stdout)["pushed"] == f"{hub.url}/datasets/me/sums/commit/abc"
    assert "hf_secret" not in (tmp_path / "out" / "README.md").read_text() + told.stdout + told.stderr


def test_nothing_is_contacted_without_push(selected: Path, tmp_path: Path, hub: Hub) -> None:
    told = export(selected, tmp_path / "out", HF_ENDPOINT=hub.url, HF_TOKEN="hf_secret")
    assert told.returncode == 0, told.stderr
    assert hub.asked == []


@pytest.mark.parametrize(
    ("options", "environment", "wanted"),
    [
        (("--push", "me/sums"), {"HF_HUB_OFFLINE": "1", "HF_TOKEN": "hf_x"}, "HF_HUB_OFFLINE is set"),
        (("--push", "me/sums"), {}, "there is no token of the Hugging Face hub; log in with `hf auth login`"),
        (("--push", "me/a/b"), {"HF_TOKEN": "hf_x"}, "--push 'me/a/b'"),
        (("--public",), {}, "--public goes with --push REPO"),
    ],
)
def test_push_that_cannot_work_is_refused_before_anything_is_written(
    selected: Path,
    tmp_path: Path,
    hub: Hub,
    options: tuple[str, ...],
    environment: dict[str, str],
    wanted: str,
) -> None:
    told = export(selected, tmp_path / "out", *options, HF_ENDPOINT=hub.url, **environment)
    assert told.returncode == 64
    assert wanted in told.stderr
    assert not (tmp_path / "out").exists() and hub.asked == []


def test_push_to_a_hub_that_is_away_leaves_the_folder_and_says_how_to_try_again(
    selected: Path, tmp_path: Path, hub: Hub
) -> None:
    hub.server.shutdown()
    hub.server.server_close()
    told = export(selected, tmp_path / "out", "--push", "me/sums", HF_ENDPOINT=hub.url, HF_TOKEN="hf_secret")
    assert told.returncode == 1
    assert f"`hf upload me/sums {tmp_path / 'out'} --repo-type dataset` tries again" in told.stderr
    assert (tmp_path / "out" / "data" / "train.parquet").is_file()
