"""Several processes at one store: nothing acknowledged is lost, nothing is half there, whatever is killed."""

import multiprocessing
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import duckdb
import pytest

from pipeline.errors import StoreError
from pipeline.paths import Home
from pipeline.store import Store, connection, lock, plain
from tests.store.known_rows import EXPERIMENT, commit_rows, rationale

WRITER = """
import sys
from pathlib import Path
from pipeline.paths import Home
from pipeline.store import Store
from tests.store.known_rows import commit_rows, rationale
store, writer = Store(Home(Path(sys.argv[1]))), int(sys.argv[2])
for number in range(int(sys.argv[3])):
    rows = [rationale(f"{writer}-{number}-{n}", "p") for n in range(20)]
    commit_rows(store, "generate", number, {"rationales": rows}, shard=writer, shards=8)
    print(number, flush=True)
"""


def start_writer(store: Store, writer: int, commits: int) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-c", WRITER, str(store.home.root), str(writer), str(commits)]
    return subprocess.Popen(command, stdout=subprocess.PIPE)


def rows_by_commit(store: Store) -> list[tuple[int, int, int]]:
    with store.reading() as opened:
        return opened.execute(
            "SELECT shard, round, count(*) FROM rationales WHERE NOT superseded GROUP BY ALL ORDER BY ALL"
        ).fetchall()


@pytest.mark.slow
def test_eight_writers_at_once_lose_no_acknowledged_commit(store: Store) -> None:
    commits = 6
    writers = [start_writer(store, writer, commits) for writer in range(8)]
    while any(writer.poll() is None for writer in writers):
        assert len(store.rows("rounds", experiment=EXPERIMENT)) == 0  # a reader in between
        time.sleep(0.05)
    acknowledged = [writer.communicate()[0].split() for writer in writers]
    assert [len(lines) for lines in acknowledged] == [commits] * 8
    assert rows_by_commit(store) == [(writer, number, 20) for writer in range(8) for number in range(commits)]


@pytest.mark.slow
def test_kill_in_mid_commit_leaves_every_acknowledged_commit_and_no_partial_one(store: Store) -> None:
    chance = random.Random(0)
    for writer in range(8):
        process = start_writer(store, writer, 1000)
        assert process.stdout is not None
        process.stdout.readline()  # it is past its start: from now on it is nearly always inside a commit
        time.sleep(chance.uniform(0.0, 0.6))
        process.send_signal(signal.SIGKILL)
        acknowledged = len(process.communicate()[0].split()) + 1
        present = [row for row in rows_by_commit(Store(store.home)) if row[0] == writer]
        assert len(present) in (acknowledged, acknowledged + 1)
        assert {count for _, _, count in present} == {20}
        commit_rows(store, "generate", 5000 + writer, {"rationales": [rationale(f"after-{writer}", "p")]})
    assert len([row for row in rows_by_commit(store) if row[1] >= 5000]) == 8


def _commit_in_child(root: Path) -> None:
    commit_rows(Store(Home(root)), "generate", 2, {"rationales": [rationale("from-child", "p")]})


def test_forked_child_of_a_process_that_used_the_store_commits_and_exits(store: Store) -> None:
    commit_rows(store, "generate", 1, {"rationales": [rationale("from-parent", "p")]})
    child = multiprocessing.get_context("fork").Process(target=_commit_in_child, args=(store.home.root,))
    child.start()
    child.join(60)
    assert child.exitcode == 0
    assert rows_by_commit(store) == [(0, 1, 1), (0, 2, 1)]


def test_query_that_outgrows_memory_spills_in_a_home_without_any_folder_yet(store: Store) -> None:
    code = (
        "import sys; from pathlib import Path; from pipeline.paths import Home; from pipeline.store import Store\n"
        "with Store(Home(Path(sys.argv[1]))).reading() as connection:\n"
        "    query = 'select sum(i) from (select * from range(1_500_000) t(i) order by hash(i) offset 1)'\n"
        "    print(connection.execute(query).fetchone()[0] > 0, end='')"
    )
    before = sorted(store.home.root.iterdir())
    told = subprocess.run(
        [sys.executable, "-c", code, str(store.home.root)],
        env={**os.environ, "STAR_STORE_MEMORY": "48MB"},
        capture_output=True,
        text=True,
    )
    assert told.stdout == "True", told.stderr
    assert sorted(store.home.root.iterdir()) == before


def test_store_held_by_a_program_that_bypasses_the_lock_is_waited_for(store: Store) -> None:
    code = (
        "import duckdb, sys, time; c = duckdb.connect(sys.argv[1]); print('open', flush=True); time.sleep(1)"
    )
    other = subprocess.Popen([sys.executable, "-c", code, str(store.home.store_path)], stdout=subprocess.PIPE)
    assert other.stdout is not None and other.stdout.readline() == b"open\n"
    commit_rows(store, "generate", 1, {"rationales": [rationale("a", "p")]})
    assert other.wait() == 0
    assert rows_by_commit(store) == [(0, 1, 1)]


def test_store_held_for_too_long_is_an_error_that_says_by_whom(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(plain, "OPEN_TIMEOUT_S", 0.3)
    code = (
        "import duckdb, sys, time; c = duckdb.connect(sys.argv[1]); print('open', flush=True); time.sleep(60)"
    )
    other = subprocess.Popen([sys.executable, "-c", code, str(store.home.store_path)], stdout=subprocess.PIPE)
    assert other.stdout is not None and other.stdout.readline() == b"open\n"
    with pytest.raises(StoreError, match=f"held by another program.*PID {other.pid}.*star sql"):
        store.rows("all_experiments")
    other.kill()
    other.wait()
    assert store.rows("all_experiments") == []


def test_lock_not_free_in_time_is_an_error_that_names_the_last_writer(tmp_path: Path) -> None:
    path = tmp_path / "star.duckdb"
    ready, done = os.pipe(), os.pipe()
    child = os.fork()
    if child == 0:
        with lock.file_lock(path, write=True):
            os.write(ready[1], b"x")
            os.read(done[0], 1)
        os._exit(0)
    os.read(ready[0], 1)
    with (
        pytest.raises(StoreError, match=f"process {child} on"),
        lock.file_lock(path, write=False, timeout_s=0.1),
    ):
        pytest.fail("two holders at once")
    os.write(done[1], b"x")
    os.waitpid(child, 0)
    with lock.file_lock(path, write=False), duckdb.connect(":memory:"):
        assert path.with_name("star.duckdb.lock").exists()


FULL_DISK = """
import resource, signal, sys
from pathlib import Path
from pipeline.errors import StoreError
from pipeline.paths import Home
from pipeline.store import Store
from tests.store.known_rows import commit_rows, rationale
import tests.store.known_rows as known
store = Store(Home(Path(sys.argv[1])))
rows = [rationale(f"big-{n}", "p", text="".join(chr(33 + (n * i * 7919) % 90) for i in range(2000))) for n in range(2000)]
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)  # a write past the limit then fails like one on a full disk
commit = Store.commit
def limited(self, *arguments, **named):
    resource.setrlimit(resource.RLIMIT_FSIZE, (store.home.store_path.stat().st_size + 100_000, resource.RLIM_INFINITY))
    commit(self, *arguments, **named)
Store.commit = limited
try:
    commit_rows(store, "generate", 2, {"rationales": rows})
except StoreError as error:
    print(error)
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
Store.commit = commit
commit_rows(store, "generate", 3, {"rationales": [rationale("after", "p")]})
"""


def test_full_disk_in_mid_commit_is_an_error_with_a_remedy_and_leaves_the_store_intact(store: Store) -> None:
    commit_rows(store, "generate", 1, {"rationales": [rationale("before", "p")]})
    done = subprocess.run(
        [sys.executable, "-c", FULL_DISK, str(store.home.root)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "look for a full disk, then run again" in done.stdout
    assert rows_by_commit(store) == [(0, 1, 1), (0, 3, 1)]


def test_interrupt_between_attach_and_detach_does_not_keep_the_store_from_the_next_use(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted() -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(connection, "_detach", interrupted)
        store.rows("all_experiments")
    commit_rows(store, "generate", 1, {"rationales": [rationale("a", "p")]})
    assert rows_by_commit(store) == [(0, 1, 1)]
