"""One starter at a time: a second is told who, a dead one is no obstacle, a lost lease stops its loser."""

import os
import re
import subprocess
import sys
import time
from datetime import timedelta

import pytest

from pipeline.errors import LeaseHeldError
from pipeline.store import StageKey, Store
from pipeline.store.tables import utc_now

HOLDER = """
import sys, time
from pathlib import Path
from pipeline.paths import Home
from pipeline.store import Store
with Store(Home(Path(sys.argv[1]))).lease("sums", "star run"):
    print("held", flush=True)
    time.sleep(60)
"""


def set_lease(store: Store, assignment: str, *values: object) -> None:
    with store.transaction() as connection:
        connection.execute(f"UPDATE leases SET {assignment}", list(values))


def leases(store: Store) -> int:
    with store.reading() as connection:
        (count,) = connection.execute("SELECT count(*) FROM leases").fetchall()[0]
    return int(count)


def test_lease_held_by_a_living_process_is_refused_naming_it(store: Store) -> None:
    second = Store(store.home)
    with (
        store.lease("sums", "star run"),
        pytest.raises(LeaseHeldError) as raised,
        second.lease("sums", "star stage train"),
    ):
        pytest.fail("two holders at once")
    message = str(raised.value)
    assert f"star run by process {os.getpid()} on {os.uname().nodename} since {utc_now():%Y-%m-%d}" in message
    assert re.search(r"experiment sums is being run", message)


def test_lease_is_free_after_the_block_even_when_it_fails(store: Store) -> None:
    with pytest.raises(RuntimeError), store.lease("sums", "star run"):
        raise RuntimeError("stage failed")
    assert leases(store) == 0
    with store.lease("sums", "star run"):
        assert leases(store) == 1


def test_lease_other_experiments_and_other_parts_do_not_exclude_each_other(store: Store) -> None:
    with (
        store.lease("sums", "shard 0", scope="1/generate/0"),
        store.lease("sums", "shard 1", scope="1/generate/1"),
    ):
        with store.lease("words", "star run"):
            assert leases(store) == 3
        with pytest.raises(LeaseHeldError, match="shard 0"), store.lease("sums", "star run"):
            pytest.fail("the whole while a part is held")
        with pytest.raises(LeaseHeldError), store.lease("sums", "again", scope="1/generate/1"):
            pytest.fail("one part twice")


def test_lease_of_a_killed_process_on_this_host_is_taken_over_at_once(store: Store) -> None:
    holder = subprocess.Popen([sys.executable, "-c", HOLDER, str(store.home.root)], stdout=subprocess.PIPE)
    assert holder.stdout is not None and holder.stdout.readline() == b"held\n"
    with pytest.raises(LeaseHeldError, match=f"process {holder.pid}"), store.lease("sums", "star run"):
        pytest.fail("taken from a living holder")
    holder.kill()
    os.waitid(os.P_PID, holder.pid, os.WEXITED | os.WNOWAIT)  # dead, but its parent has not waited for it
    with store.lease("sums", "star run"):
        assert leases(store) == 1
    holder.wait()


def test_lease_of_a_reused_process_number_is_taken_over(store: Store) -> None:
    with store.lease("sums", "star run"):
        set_lease(store, "pid_started = 0")
        with Store(store.home).lease("sums", "another"):
            assert leases(store) == 1


def test_lease_of_another_host_is_kept_until_it_expires(store: Store) -> None:
    with store.lease("sums", "star run"):
        set_lease(store, "host = 'elsewhere', pid = 1")
        with pytest.raises(LeaseHeldError, match="process 1 on elsewhere"), store.lease("sums", "another"):
            pytest.fail("taken from another host before its time")
        set_lease(store, "expires_at = ?", utc_now() - timedelta(seconds=1))
        with Store(store.home).lease("sums", "another"):
            assert leases(store) == 1


def test_lease_is_renewed_while_it_is_held(store: Store) -> None:
    with store.lease("sums", "star run", ttl_s=0.6):
        time.sleep(1.5)
        set_lease(store, "host = 'elsewhere'")
        with pytest.raises(LeaseHeldError), store.lease("sums", "another"):
            pytest.fail("the lease ran out although its holder lives")


def test_commit_after_the_lease_was_lost_is_refused(store: Store) -> None:
    begin = {"shard": 0, "shards": 1, "input_digest": "i", "host": "h", "device": "cpu", "versions": {}}
    with store.lease("sums", "star run"):
        set_lease(store, "expires_at = ?, host = 'elsewhere'", utc_now() - timedelta(seconds=1))
        with Store(store.home).lease("sums", "the second"):
            with pytest.raises(
                LeaseHeldError, match=r"lost its lease \(star run\).*now the second by process"
            ):
                store.begin(StageKey("sums", 1, "generate"), **begin)
            store.begin(StageKey("words", 1, "generate"), **begin)
