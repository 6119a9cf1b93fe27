"""Real servers for a test: Postgres and Redis from Debian's packages, on ports and folders of their own."""

import os
import pwd
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import pytest

START_TIMEOUT_S = 60.0
PASSWORD = "pw-that-must-not-be-seen"
PASSWORD_VARIABLE = "STAR_TEST_DB_PASSWORD"


@dataclass(frozen=True)
class Postgres:
    """A running server; its superuser is `star`."""

    port: int
    folder: Path
    process: subprocess.Popen[bytes]

    def sql(self, statement: str, database: str = "postgres") -> list[tuple[object, ...]]:
        import psycopg

        with psycopg.connect(
            host="127.0.0.1",
            port=self.port,
            user="star",
            password=PASSWORD,
            dbname=database,
            autocommit=True,
            connect_timeout=5,
        ) as session:
            cursor = session.execute(statement.encode())
            return cursor.fetchall() if cursor.description else []

    def new_database(self, name: str) -> str:
        """Make an empty database and return the store URL that names it."""
        self.sql(f"CREATE DATABASE {name}")
        return (
            f"ducklake:postgres:host=127.0.0.1 port={self.port} user=star dbname={name} "
            f"password=${PASSWORD_VARIABLE}"
        )


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def postgres() -> Iterator[Postgres]:
    """A Postgres server with a password; the test is skipped where its programs are not there."""
    pytest.importorskip("psycopg", reason="the extra [ducklake] is not installed")
    programs = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    if not programs:
        pytest.skip("no PostgreSQL at /usr/lib/postgresql/*/bin (Debian: apt-get install postgresql)")
    # Not below pytest's folder: the server runs as another user, who must be able to reach it.
    folder = Path(tempfile.mkdtemp(prefix="star-postgres-"))
    try:
        user = _unprivileged(folder)
        secret = folder / "password"
        secret.write_text(PASSWORD)
        if user:
            shutil.chown(secret, user)
        data = folder / "data"
        made = [str(programs[-1]), "-D", str(data), "-U", "star", "-A", "scram-sha-256", "--no-sync"]
        subprocess.run(
            [*ending_with_us(user), *made, f"--pwfile={secret}"], check=True, capture_output=True, timeout=60
        )
        port = free_port()
        command = [
            str(programs[-1].with_name("postgres")),
            "-D",
            str(data),
            "-p",
            str(port),
            "-k",
            str(folder),
        ]
        command += ["-c", "listen_addresses=127.0.0.1", "-c", "fsync=off"]
        with server([*ending_with_us(user), *command], port, folder / "log") as process:
            started = Postgres(port, folder, process)
            _wait_until_it_serves(started)
            yield started
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _wait_until_it_serves(started: Postgres) -> None:
    """Its port answers before the database does: `the database system is starting up`."""
    import psycopg

    deadline = time.monotonic() + START_TIMEOUT_S
    while True:
        try:
            started.sql("SELECT 1")
            return
        except psycopg.OperationalError:
            if time.monotonic() >= deadline:
                raise
            time.sleep(0.2)


@contextmanager
def redis(folder: Path) -> Iterator[int]:
    """A Redis server that keeps nothing on disk: its port."""
    program = shutil.which("redis-server")
    if not program:
        pytest.skip("no redis-server (Debian: apt-get install redis-server)")
    port = free_port()
    command = [program, "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", str(folder)]
    with server([*ending_with_us(), *command], port, folder / "redis.log"):
        yield port


@contextmanager
def server(command: Sequence[str], port: int, log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Start a server, wait until its port answers, end it on the way out."""
    with log.open("wb") as output:
        process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT, cwd="/")
    try:
        deadline = time.monotonic() + START_TIMEOUT_S
        while not _answers(port):
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < deadline, f"no answer at port {port}: {log.read_text()}"
            time.sleep(0.1)
        yield process
    finally:
        process.send_signal(2)  # Postgres: do not wait for sessions
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(20)


def _answers(port: int) -> bool:
    with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
        return True
    return False


def _unprivileged(folder: Path) -> str | None:
    """Postgres refuses root: the user to run it as, who then owns the folder; None where we are not root."""
    if os.geteuid() != 0:
        return None
    names = {entry.pw_name for entry in pwd.getpwall()}
    user = "postgres" if "postgres" in names else "nobody"
    shutil.chown(folder, user)
    return user


def ending_with_us(user: str | None = None) -> list[str]:
    """Words in front of a command: it is ended when this process dies, however it does, and runs as `user`."""
    if not shutil.which("setpriv"):
        pytest.skip("no setpriv (Debian: util-linux)")
    words = ["setpriv", "--pdeathsig", "INT"]
    if user:
        group = str(pwd.getpwnam(user).pw_gid)
        words += [f"--reuid={user}", f"--regid={group}", "--init-groups"]
    return words
