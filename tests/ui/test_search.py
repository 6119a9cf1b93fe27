"""Search over a whole experiment: complete, in parts that can be gone on from, bounded, and stopped."""

import pytest

from pipeline.paths import Home
from pipeline.store import QueryStoppedError, Store
from pipeline.ui import search as searching
from pipeline.ui.filters import Filter
from pipeline.ui.search import End, Hit, Progress, search
from tests.experiments import NAME


@pytest.fixture
def store(home: Home) -> Store:
    return Store(home)


def expected(store: Store, text: str) -> set[object]:
    sql = "select rationale_id from current_rationales where contains(lower(text), lower(?))"
    return {row[0] for row in store.query_readonly(sql, [text])[1]}


def ids(events: list[Hit | Progress | End]) -> list[str]:
    return [event.row["rationale_id"] for event in events if isinstance(event, Hit)]


def test_search_finds_every_attempt_that_says_it_and_tells_how_far_it_is(store: Store) -> None:
    with store.reader() as reader:
        events = list(search(reader, NAME, Filter(text="GIVES 99"), None))
    assert set(ids(events)) == expected(store, "gives 99") and ids(events)
    searched = [event.searched for event in events if isinstance(event, Progress)]
    assert searched == sorted(searched) and len(searched) == 3  # one a round
    end = events[-1]
    assert isinstance(end, End) and end.why == "all" and end.place is None
    assert end.progress.searched == end.progress.total == searched[-1]


def test_search_goes_on_from_where_it_ended(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(searching, "HITS", 3)
    monkeypatch.setattr(searching, "_PART", 100)
    seen: list[str] = []
    place: str | None = None
    for _ in range(100):
        with store.reader() as reader:
            events = list(search(reader, NAME, Filter(text="gives"), place))
        seen += ids(events)
        end = events[-1]
        assert isinstance(end, End)
        place = end.place
        if place is None:
            break
    assert len(seen) == len(set(seen)) and set(seen) == expected(store, "gives")


def test_search_respects_the_filter(store: Store) -> None:
    with store.reader() as reader:
        events = list(search(reader, NAME, Filter(text="gives", round=1, fate="kept"), None))
    sql = "select rationale_id from attempt_fates where round = 1 and fate = 'kept'"
    assert set(ids(events)) == {row[0] for row in store.query_readonly(sql)[1]}


def test_search_out_of_time_is_partial_and_says_from_where_to_go_on(store: Store) -> None:
    with store.reader() as reader:
        running = search(reader, NAME, Filter(text="gives"), None, budget_s=600)
        first = next(running)
        assert isinstance(first, Hit)
        running.close()
    with store.reader() as reader:
        reader.rows("ui_search_parts", experiment=NAME, round=None, origin=None, split=None)
        late = search(reader, NAME, Filter(text="nowhere in it"), None, budget_s=0)
        events = list(late)
    end = events[-1]
    assert isinstance(end, End) and (end.why, end.place) == ("time", "2.0/")


def test_search_stopped_from_elsewhere_ends(store: Store) -> None:
    with store.reader() as reader:
        running = search(reader, NAME, Filter(text="gives"), None)
        next(running)
        reader.stop()
        with pytest.raises(QueryStoppedError):
            list(running)


def test_reader_stopped_in_mid_query_ends_at_once(store: Store) -> None:
    import threading

    with store.reader() as reader:
        timer = threading.Timer(0.5, reader.stop)
        timer.start()
        with pytest.raises(QueryStoppedError), reader._stoppable():
            reader._connection.execute(
                "select count(*) from range(100000000) a, range(100000) b where hash(a.range + b.range) = 7"
            ).fetchall()
        timer.join()
