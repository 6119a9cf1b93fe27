"""The browser of attempts: filter, search, download; one attempt with everything known of it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

from anyio import to_thread
from fastapi import APIRouter, Request, Response
from fastapi.responses import HTMLResponse, StreamingResponse

from pipeline.errors import ConfigError, NotReadyError
from pipeline.store import QueryStoppedError, SnapshotReader
from pipeline.store.flags import LONGEST_NOTE
from pipeline.ui import downloads
from pipeline.ui.filters import Filter, number, read_filter, word
from pipeline.ui.search import End, Hit, search
from pipeline.ui.site import Site, site_of

router = APIRouter()
PAGE = 50
_FARTHEST = 200_000  # rows that a page may lie behind the first: beyond, a filter finds more than leafing
_JUDGED = ("text", "outcome", "reason", "grader", "fate", "flagged")  # what ui_pick knows nothing of
_RESULTS = "<!--results-->"  # stands once in the page: texts are escaped, so none can hold it


@router.get("/experiments/{experiment}/rationales")
def browse(request: Request, experiment: str) -> Response:
    """Attempts that fit the filter of the address; with a text to look for, results as they are found."""
    site = site_of(request)
    site.experiment(experiment)
    wanted = read_filter(request.query_params)
    parts: dict[str, Any] = {
        "experiment": experiment,
        "filter": wanted,
        "choices": _choices(site, experiment),
    }
    if wanted.text is not None:
        return _search_page(site, request, experiment, wanted, parts)
    page = max(1, number(request.query_params, "page") or 1)
    if (page - 1) * PAGE > _FARTHEST:
        raise ConfigError(f"page {page} lies too far behind: narrow the filter down, for example to a round")
    counts, rows = _picked(site, experiment, wanted, (page - 1) * PAGE)
    return site.page(request, "attempts", **parts, rows=rows, counts=counts, page=page, size=PAGE)


@router.get("/experiments/{experiment}/rationales.{form}")
def download(request: Request, experiment: str, form: str) -> Response:
    """The attempts of the filter as `csv` or `parquet`."""
    site = site_of(request)
    site.experiment(experiment)
    wanted = read_filter(request.query_params)
    kinds = {"csv": (downloads.csv_rows, "text/csv; charset=utf-8"), "parquet": (downloads.parquet, _PARQUET)}
    if form not in kinds:
        raise NotReadyError(f"there is no download as {form!r}; expected csv or parquet")
    write, media_type = kinds[form]
    running = _Running()
    pieces = write(site.store, experiment, wanted, running.opened)
    name = f"{experiment}{'' if wanted.round is None else f'-round-{wanted.round}'}-rationales.{form}"
    headers = {"Content-Disposition": f'attachment; filename="{name}"', "Cache-Control": "no-store"}
    return StreamingResponse(_sent(pieces, running.stop), media_type=media_type, headers=headers)


@router.get("/experiments/{experiment}/rationales/{rationale_id}")
def rationale(request: Request, experiment: str, rationale_id: str) -> HTMLResponse:
    """One attempt: the prompt as sent, what was written, every verdict, the training row, flags."""
    site = site_of(request)
    site.experiment(experiment)
    attempt = {"experiment": experiment, "rationale_id": rationale_id}
    found = site.rows("ui_rationale", **attempt)
    if not found:
        raise NotReadyError(
            f"experiment {experiment} has no current attempt {rationale_id!r}; one that a later run replaced "
            "is in the table `rationales`: star sql \"select * from rationales where rationale_id = '...'\""
        )
    flags = site.rows("flags_of_attempt", **attempt)
    return site.page(
        request,
        "rationale",
        experiment=experiment,
        row=found[0],
        verdicts=site.rows("ui_verdicts", **attempt),
        flags=flags,
        author=site.author(request),
        longest_note=LONGEST_NOTE,
    )


def _picked(
    site: Site, experiment: str, wanted: Filter, offset: int
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """How many attempts fit, and those of one page: first which, then everything about these few."""
    if wanted.judged:
        pick, count = "ui_pick_judged", "ui_pick_judged_count"
        arguments = {"experiment": experiment, **wanted.parameters("text")}
    else:
        pick, count = "ui_pick", "ui_pick_count"
        arguments = {"experiment": experiment, **wanted.parameters(*_JUDGED)}
    (counts,) = site.summary(count, **arguments)
    picked = site.rows(pick, **arguments, limit=PAGE, offset=offset)
    if not picked:
        return counts, []
    rounds = [row["round"] for row in picked]
    ids = [row["rationale_id"] for row in picked]
    rows = site.rows("ui_attempts_shown", experiment=experiment, ids=ids, first=min(rounds), last=max(rounds))
    return counts, rows


def _choices(site: Site, experiment: str) -> dict[str, list[str]]:
    """Filter name -> the values that attempts of the experiment have."""
    choices: dict[str, list[str]] = {}
    for row in site.summary("ui_choices", experiment=experiment):
        choices.setdefault(row["name"], []).append(row["value"])
    return choices


def _search_page(
    site: Site, request: Request, experiment: str, wanted: Filter, parts: dict[str, Any]
) -> StreamingResponse:
    """The page with a place for results, its beginning sent at once, each result when it is found."""
    page = site.page(request, "search", **parts)
    head, _, tail = bytes(page.body).decode().partition(_RESULTS)
    running = _Running()
    place = word(request.query_params, "place")

    def pieces() -> Iterator[bytes]:
        yield head.encode()
        with site.store.reader() as reader:
            running.opened(reader)
            for event in search(reader, experiment, wanted, place):
                kind = "hit" if isinstance(event, Hit) else "end" if isinstance(event, End) else "progress"
                part = site.text(request, f"search_{kind}", event=event, experiment=experiment, filter=wanted)
                yield part.encode("utf-8", "replace")
        yield tail.encode()

    headers = {name: value for name, value in page.headers.items() if name != "content-length"}
    return StreamingResponse(
        _sent(pieces(), running.stop), media_type="text/html; charset=utf-8", headers=headers
    )


class _Running:
    """The reader of a response, to be stopped when the browser goes away."""

    def __init__(self) -> None:
        self._reader: SnapshotReader | None = None
        self._gone = False

    def opened(self, reader: SnapshotReader) -> None:
        self._reader = reader
        if self._gone:
            reader.stop()

    def stop(self) -> None:
        self._gone = True
        if self._reader is not None:
            self._reader.stop()


async def _sent(pieces: Iterator[bytes], stop: Callable[[], None]) -> AsyncIterator[bytes]:
    """The pieces, made in a thread; when the browser stops listening, so does the query."""
    done = False
    try:
        while True:
            piece = await to_thread.run_sync(_next, pieces, abandon_on_cancel=True)
            if piece is None:
                done = True
                return
            yield piece
    finally:
        if not done:
            stop()


def _next(pieces: Iterator[bytes]) -> bytes | None:
    try:
        return next(pieces, None)
    except QueryStoppedError:
        return None


_PARQUET = "application/vnd.apache.parquet"
