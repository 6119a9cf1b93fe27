"""`make airflow`: an Airflow of this project's own on this machine, and nothing else of it anywhere.

`python -m pipeline.airflow.standalone`. Database, password, log and site settings lie in AIRFLOW_HOME
(default `.airflow/` where you are). Everything started ends with this process, however it ends.
"""

from __future__ import annotations

import argparse
import contextlib
import fcntl
import json
import os
import secrets
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from pipeline.airflow.api import Api, ApiError
from pipeline.airflow.demo import follow_demo
from pipeline.config.site import PlaceSite, load_site
from pipeline.errors import ConfigError, StarError
from pipeline.hostile import clean
from pipeline.paths import Home, package_data
from pipeline.process import run_child

_READY_S = 300.0
_STOP_S = 20.0
_USER = "admin"
_SITE = """\
# Site settings of this project's Airflow (`make airflow`), made once; `star config --site` shows all of them.
airflow:
  gpu:
    pool: gpu # one stage on the GPU at a time; `make airflow` creates the pool
    slots: 1
    priority: 2
"""


class StandaloneError(StarError):
    """Airflow cannot be started here."""


@dataclass(frozen=True, slots=True)
class Standalone:
    """Where this Airflow lives and listens."""

    home: Path
    host: str
    port: int
    login: bool

    @property
    def url(self) -> str:
        return f"http://{self.host}:{self.port}"

    @property
    def log(self) -> Path:
        return self.home / "airflow.log"

    @property
    def passwords(self) -> Path:
        return self.home / "passwords.json"

    def api(self) -> Api:
        return Api(self.url, _USER, json.loads(self.passwords.read_text())[_USER])


def main(arguments: Sequence[str] | None = None) -> int:
    """Start, say where, wait for Ctrl-C, stop. Exit code 0 after Ctrl-C, 1 where it could not be started."""
    options = _options(arguments)
    airflow = Standalone(options.airflow_home.resolve(), options.host, options.port, not options.no_login)
    airflow.home.mkdir(parents=True, exist_ok=True)
    try:
        with _only_one(airflow):
            _make_password(airflow)
            env = environment(airflow, options.dags)
            prepare(airflow, env)
            return _serve(airflow, env, options.demo, options.demo_rounds)
    except StarError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nstopped", file=sys.stderr)
        return 0


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m pipeline.airflow.standalone", description=__doc__)
    home = Path(os.environ.get("AIRFLOW_HOME") or ".airflow")
    parser.add_argument("--airflow-home", type=Path, default=home, help="default: .airflow")
    parser.add_argument(
        "--host", default="127.0.0.1", help="address to listen on (default: this machine only)"
    )
    parser.add_argument("--port", type=int, default=8080)
    parser.add_argument(
        "--dags", type=Path, help="folder of the DAGs (default: dags/ here, else the shipped ones)"
    )
    parser.add_argument("--no-login", action="store_true", help="everybody who reaches the port is admin")
    parser.add_argument("--demo", metavar="CONFIG", help="trigger an experiment of this config and follow it")
    parser.add_argument("--demo-rounds", type=int, default=2, metavar="N")
    options = parser.parse_args(arguments)
    if options.no_login and options.host not in ("127.0.0.1", "::1", "localhost"):
        parser.error(f"--no-login on {options.host} would let the whole network in; leave one of them out")
    return options


@contextlib.contextmanager
def _only_one(airflow: Standalone) -> Iterator[None]:
    """Hold this home's lock and find the port free; StandaloneError saying who has it otherwise."""
    with (airflow.home / "standalone.lock").open("a+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.seek(0)
            raise StandaloneError(
                f"this project's Airflow runs already: {lock.read().strip()}; stop it there with Ctrl-C, or "
                "start another with a home and port of its own: make airflow AIRFLOW_HOME=.airflow2 PORT=8081"
            ) from None
        _require_free(airflow)
        lock.truncate(0)
        lock.write(f"{airflow.url}, process {os.getpid()}")
        lock.flush()
        yield


def _require_free(airflow: Standalone) -> None:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((airflow.host, airflow.port))
        except OSError as error:
            raise StandaloneError(
                f"port {airflow.port} of {airflow.host} cannot be used ({error.strerror}): another program "
                f"listens there; choose another port: make airflow PORT={airflow.port + 1}"
            ) from None


def _make_password(airflow: Standalone) -> None:
    """The password of `admin`: STAR_AIRFLOW_PASSWORD, else the one of last time, else a new random one."""
    given = os.environ.get("STAR_AIRFLOW_PASSWORD")
    if given or not airflow.passwords.is_file():
        airflow.passwords.touch(mode=0o600)
        airflow.passwords.write_text(json.dumps({_USER: given or secrets.token_urlsafe(12)}))


def environment(airflow: Standalone, dags: Path | None = None) -> dict[str, str]:
    """The environment of every Airflow process; what the caller has set under AIRFLOW__ stays."""
    own = Path("dags")
    folder = dags or (own if own.is_dir() else package_data("dags"))
    home = Home.from_environment()
    settings = {
        "AIRFLOW__CORE__DAGS_FOLDER": str(folder.resolve()),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__CORE__EXECUTOR": "LocalExecutor",
        "AIRFLOW__CORE__PARALLELISM": "8",
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS": f"{_USER}:admin",
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE": str(airflow.passwords),
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_ALL_ADMINS": str(not airflow.login),
        "AIRFLOW__API__HOST": airflow.host,
        "AIRFLOW__API__PORT": str(airflow.port),
        # Tasks report to it: with another port alone, every task would fail without a log.
        "AIRFLOW__API__BASE_URL": airflow.url,
        "AIRFLOW__API__WORKERS": "1",
        # Between two tasks of a round the scheduler sleeps up to this long, a second by default.
        "AIRFLOW__SCHEDULER__SCHEDULER_IDLE_SLEEP_TIME": "0.25",
        "AIRFLOW__DAG_PROCESSOR__MIN_FILE_PROCESS_INTERVAL": "30",
        "AIRFLOW__USAGE_DATA_COLLECTION__ENABLED": "False",
    }
    tools = str(Path(sys.executable).parent)
    return {
        **settings,
        **os.environ,
        "AIRFLOW_HOME": str(airflow.home),
        "STAR_HOME": str(home.root),
        "STAR_SITE": str(_site_file(airflow, home)),
        # Airflow starts some of its parts by the name `airflow`.
        "PATH": os.pathsep.join([tools, os.environ.get("PATH", os.defpath)]),
        "NO_COLOR": "1",
    }


def _site_file(airflow: Standalone, home: Home) -> Path:
    """The site settings that a user has, else ours, which name a pool that `prepare` creates."""
    named = os.environ.get("STAR_SITE")
    for own in (*([Path(named)] if named else []), home.root / "site.yaml", airflow.home / "site.yaml"):
        if own.is_file():
            return own.resolve()
    if named:
        raise ConfigError(f"STAR_SITE names {named!r}, which is no file; expected a YAML file, or unset it")
    own.write_text(_SITE)
    return own


def prepare(airflow: Standalone, env: dict[str, str]) -> None:
    """Create or upgrade the database, and the pools that the site's settings name."""
    os.environ["STAR_SITE"] = env["STAR_SITE"]
    site = load_site().config.airflow
    print(f"set-up of Airflow in {airflow.home} ...", file=sys.stderr, flush=True)
    _airflow(airflow, env, "db", "migrate")
    places: dict[str, PlaceSite] = {place.pool: place for place in (site.cpu, site.gpu)}
    pools = {
        name: {"slots": place.slots, "description": "STaR stages", "include_deferred": False}
        for name, place in places.items()
        if name != "default_pool"
    }
    if pools:
        file = airflow.home / "pools.json"
        file.write_text(json.dumps(pools))
        _airflow(airflow, env, "pools", "import", str(file))


def _airflow(airflow: Standalone, env: dict[str, str], *arguments: str) -> None:
    command = [sys.executable, "-m", "airflow", *arguments]
    told = subprocess.run(command, env=env, capture_output=True, text=True)
    with airflow.log.open("a") as log:
        log.write(told.stdout + told.stderr)
    if told.returncode != 0:
        last = "\n".join((told.stdout + told.stderr).strip().splitlines()[-8:])
        raise StandaloneError(
            f"airflow {' '.join(arguments)} failed:\n{clean(last)}\nall of it: {airflow.log}"
        )


def _serve(airflow: Standalone, env: dict[str, str], demo: str | None, rounds: int) -> int:
    """Run Airflow until Ctrl-C; its lines go to the log."""
    teller = threading.Thread(target=_tell, args=(airflow, demo, rounds), daemon=True)
    teller.start()
    with airflow.log.open("a", buffering=1) as log:
        code = run_child(
            [sys.executable, "-m", "pipeline.airflow.components"],
            on_line=lambda line: print(clean(line), file=log),
            on_error_line=lambda line: print(clean(line), file=log),
            env=env,
            timeout_s=None,
            grace_s=_STOP_S,
        )
    last = "\n".join(airflow.log.read_text(errors="replace").splitlines()[-8:])
    raise StandaloneError(f"Airflow ended by itself (exit code {code}):\n{last}\nall of it: {airflow.log}")


def _tell(airflow: Standalone, demo: str | None, rounds: int) -> None:
    """Say where it is once it answers, and follow the demo."""
    api = airflow.api()
    if not api.wait_until_ready(_READY_S):
        print(f"not ready after {_READY_S:.0f} s; look into {airflow.log}", file=sys.stderr, flush=True)
        return
    log_in = f"log in as {_USER} with password {api.password}" if airflow.login else "no log-in"
    print(f"Airflow: {airflow.url}  ({log_in})", flush=True)
    print(f"DAGs: {airflow.url}/dags/star   log: {airflow.log}   stop: Ctrl-C", flush=True)
    if demo is not None:
        try:
            follow_demo(api, demo, rounds)
        except (ApiError, OSError) as error:
            print(f"the demo cannot be followed: {error}", file=sys.stderr, flush=True)
            return
        print(f"\nlook at it: {airflow.url}/dags/star_round   stop: Ctrl-C", flush=True)


if __name__ == "__main__":
    sys.exit(main())
