"""The pages: what they show of a real experiment, what they refuse, and that no text of a model is obeyed."""

import csv
import io
import re
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import quote

import pyarrow.parquet as pq
import pytest
from fastapi.testclient import TestClient

from pipeline.paths import Home
from pipeline.store import Store
from pipeline.ui.app import create_app
from pipeline.ui.downloads import harmless
from pipeline.ui.text import found, marked, visible
from tests.experiments import HOSTILE, NAME
from tests.ui.conftest import LOCAL

PAGE = f"/experiments/{NAME}"


class Outline(HTMLParser):
    """What a browser would make of a page: tags with attributes, headings, and the text."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data

    def all(self, name: str) -> list[dict[str, str | None]]:
        return [attributes for tag, attributes in self.tags if tag == name]


def outline(page: str) -> Outline:
    parsed = Outline()
    parsed.feed(page)
    return parsed


def store_rows(home: Home, sql: str) -> list[tuple[object, ...]]:
    return Store(home).query_readonly(sql)[1]


def hostile_attempt(home: Home) -> str:
    ((rationale_id,),) = store_rows(
        home,
        "select min(rationale_id) from attempt_fates where contains(text, '<script>') and fate = 'kept' "
        "and origin = 'rationalized' and round = 1",
    )
    return str(rationale_id)


def pages_of(home: Home) -> list[str]:
    attempt = hostile_attempt(home)
    return [
        "/",
        PAGE,
        f"{PAGE}/rationales",
        f"{PAGE}/rationales?round=1&fate=kept",
        f"{PAGE}/rationales?text=gives",
        f"{PAGE}/rationales/{attempt}",
        f"{PAGE}/problems",
        f"{PAGE}/problem?id=p2",
        "/compare",
        f"/compare?first={NAME}&second={NAME}&first_round=0",
    ]


def test_every_page_is_whole_labelled_and_takes_nothing_from_elsewhere(
    client: TestClient, home: Home
) -> None:
    for address in pages_of(home):
        response = client.get(address)
        page = outline(response.text)
        assert response.status_code == 200, address
        assert len(page.all("h1")) == 1 and len(page.all("main")) == 1, address
        assert page.all("html")[0]["lang"] == "en" and page.all("title"), address
        ids = [attributes["id"] for _, attributes in page.tags if "id" in attributes]
        assert len(ids) == len(set(ids)), address
        assert page.all("a")[0] == {"class": "skip", "href": "#main"} and "main" in ids, address
        assert len(page.all("table")) == len(page.all("caption")), address
        labelled = {attributes.get("for") for attributes in page.all("label")}
        for field in page.all("input") + page.all("select") + page.all("textarea"):
            assert field.get("type") == "hidden" or field["id"] in labelled, (address, field)
        assert all(image["alt"] for image in page.all("img")), address
        for _, attributes in page.tags:
            assert not any(name.startswith("on") or name == "style" for name in attributes), address
            for name in ("href", "src", "srcset", "action"):
                assert not (attributes.get(name) or "").startswith(("http", "//", "javascript")), address
        assert all("src" in attributes for attributes in page.all("script")), address


def test_every_response_carries_a_strict_content_security_policy(client: TestClient) -> None:
    for address in ("/", PAGE, f"{PAGE}/rationales.csv", "/nothing", "/static/x/style.css"):
        told = client.get(address).headers
        assert told["content-security-policy"].startswith("default-src 'none'; style-src 'self'"), address
        assert "unsafe" not in told["content-security-policy"] and told["x-frame-options"] == "DENY"
        assert told["x-content-type-options"] == "nosniff"


def test_text_of_a_model_is_shown_as_text_on_every_page(client: TestClient, home: Home) -> None:
    assert HOSTILE.count("<script>") == 1
    for address in (f"{PAGE}/rationales?fate=kept", f"{PAGE}/rationales/{hostile_attempt(home)}",
                    f"{PAGE}/problem?id=p2", f"{PAGE}/rationales?text=%3Cscript"):  # fmt: skip
        page = client.get(address).text
        assert "alert(" in page and "<script>alert" not in page, address
        shown = outline(page).text
        assert "<script>alert('x')" in shown.replace("\n", ""), address
        assert "{{ 7 * 7 }}" in shown, address
        assert "\x1b" not in page and "\u202e" not in page, address
        assert "␛[31mred" in shown and "⟦U+202E⟧" in shown, address


def test_search_text_of_an_address_is_escaped(client: TestClient) -> None:
    page = client.get(f"{PAGE}/rationales?text={quote('<img src=x>&quot;')}").text
    assert "<img src=x>" not in page and "&lt;img src=x&gt;" in page


def test_overview_shows_state_rounds_and_accuracy(client: TestClient) -> None:
    text = outline(client.get("/").text).text
    assert NAME in text and "finished" in text and "2 of 2" in text and "50.0%" in text


def test_rounds_page_shows_numbers_and_plots_that_load(client: TestClient) -> None:
    page = outline(client.get(PAGE).text)
    plots = {str(image["src"]).rsplit("/", 1)[1] for image in page.all("img")}
    assert {"accuracy-light.png", "yield-light.png", "fates-light.png", "origins-light.png"} <= plots
    assert {"lengths-light.png", "cost-light.png"} <= plots
    addresses = [image["src"] for image in page.all("img")] + [dark["srcset"] for dark in page.all("source")]
    images = [client.get(str(address)) for address in addresses]
    assert all(image.content.startswith(b"\x89PNG") for image in images)
    assert len({image.content for image in images}) == len(images) == 12
    assert all("immutable" in image.headers["cache-control"] for image in images)
    assert client.get(f"{PAGE}/plots/old/accuracy-light.png").headers["cache-control"] == "no-store"
    assert client.get(f"{PAGE}/plots/old/nothing-light.png").status_code == 404


@pytest.mark.parametrize(
    ("query", "where"),
    [
        ("", "true"),
        ("round=1", "round = 1"),
        ("origin=rationalized", "origin = 'rationalized'"),
        ("outcome=wrong&round=2", "outcome = 'wrong' and round = 2"),
        ("fate=kept", "fate = 'kept'"),
        ("fate=cut_off&split=train", "fate = 'cut_off'"),
        ("split=eval", "split = 'eval'"),
        ("problem=p1", "problem_id = 'p1'"),
        ("min_tokens=10&max_tokens=30", "completion_tokens between 10 and 30"),
        ("grader=numeric&outcome=correct", "outcome = 'correct'"),
        ("reason=exact", "verdict_reason = 'exact'"),
        ("flagged=yes", "flagged is not null"),
    ],
)
def test_filter_shows_exactly_the_attempts_that_fit(
    client: TestClient, home: Home, query: str, where: str
) -> None:
    grader = store_rows(home, "select min(grader) from verdicts where decides")[0][0]
    query = query.replace("grader=numeric", f"grader={grader}")
    expected = {
        str(row[0]) for row in store_rows(home, f"select rationale_id from attempt_fates where {where}")
    }
    shown = outline(client.get(f"{PAGE}/rationales?{query}").text)
    number = re.search(r"([\d,]+) rationales? at", shown.text)
    assert number and int(number[1].replace(",", "")) == len(expected)
    downloaded = list(csv.DictReader(io.StringIO(client.get(f"{PAGE}/rationales.csv?{query}").text)))
    assert {row["rationale_id"] for row in downloaded} == expected
    linked = {
        str(link["href"]).rsplit("/", 1)[1] for link in shown.all("a") if "/rationales/" in str(link["href"])
    }
    assert linked <= expected and len(linked) == min(len(expected), 50)


def test_pages_of_a_filter_show_every_attempt_once(client: TestClient, home: Home) -> None:
    seen: list[str] = []
    for page in (1, 2, 3):
        links = outline(client.get(f"{PAGE}/rationales?page={page}").text).all("a")
        seen += [str(a["href"]).rsplit("/", 1)[1] for a in links if "/rationales/" in str(a["href"])]
    ((number,),) = store_rows(home, "select count(*) from attempt_fates")
    assert len(seen) == len(set(seen)) == number


def test_csv_formulas_are_neutralised_and_parquet_keeps_the_texts(
    client: TestClient, home: Home, tmp_path: Path
) -> None:
    for start in ("=1+1", "+1", "-1", "@SUM(A1)", "\tx", "\rx"):
        assert harmless(start) == "'" + start
    assert harmless("a=1") == "a=1" and harmless(-1) == -1 and harmless(None) is None
    download = client.get(f"{PAGE}/rationales.parquet?fate=kept&round=1")
    assert f'filename="{NAME}-round-1-rationales.parquet"' in download.headers["content-disposition"]
    (tmp_path / "kept.parquet").write_bytes(download.content)
    texts = set(pq.read_table(tmp_path / "kept.parquet")["text"].to_pylist())
    expected = store_rows(home, "select text from attempt_fates where fate = 'kept' and round = 1")
    assert texts == {row[0] for row in expected} and any(HOSTILE in text for text in texts)


def test_download_of_nothing_has_its_columns(client: TestClient, tmp_path: Path) -> None:
    text = client.get(f"{PAGE}/rationales.csv?round=77").text
    assert text.startswith("rationale_id,round,") and text.count("\n") == 1
    (tmp_path / "none.parquet").write_bytes(client.get(f"{PAGE}/rationales.parquet?round=77").content)
    assert pq.read_table(tmp_path / "none.parquet").num_rows == 0
    assert client.get(f"{PAGE}/rationales.exe").status_code == 404


def test_rationale_page_marks_the_hint_and_shows_verdicts_and_training_row(
    client: TestClient, home: Home
) -> None:
    attempt = hostile_attempt(home)
    page = client.get(f"{PAGE}/rationales/{attempt}").text
    ((hint, prompt, completion),) = store_rows(
        home,
        "select hint, prompts.text, completion from current_rationales join prompts using (prompt_hash) "
        f"join current_training_rows using (rationale_id) where rationale_id = '{attempt}' limit 1",
    )
    *_, marked_part = re.findall(r"<mark>(.*?)</mark>", page, re.DOTALL)  # the first says what marks mean
    assert marked_part == hint and str(hint) in str(prompt)
    shown = outline(page).text
    assert "Training row" in shown and visible(str(completion)) in shown
    assert "decides" in shown and "correct" in shown


def test_problem_page_shows_all_its_attempts_round_by_round(client: TestClient, home: Home) -> None:
    text = outline(client.get(f"{PAGE}/problem?id=p2").text).text
    assert text.index("Round 1") < text.index("Round 2")
    ((number,),) = store_rows(home, "select count(*) from attempt_fates where problem_id = 'p2'")
    links = outline(client.get(f"{PAGE}/problem?id=p2").text).all("a")
    assert sum("/rationales/" in str(link["href"]) for link in links) == number


def test_problems_page_tells_solved_hinted_and_never(client: TestClient) -> None:
    def problems(query: str) -> list[str]:
        links = outline(client.get(f"{PAGE}/problems?{query}").text).all("a")
        return [str(link["href"])[-2:] for link in links if "problem?id=" in str(link["href"])]

    assert problems("state=solved") == ["p0", "p1"]
    assert problems("state=hinted") == ["p2"]
    assert problems("state=never") == ["p3", "p4", "p5"]
    assert problems("first_round=1") == ["p0", "p1"] and problems("first_round=2") == []
    assert client.get(f"{PAGE}/problems?state=odd").status_code == 400


def test_comparison_with_itself_shows_no_difference(client: TestClient) -> None:
    text = outline(client.get(f"/compare?first={NAME}&second={NAME}&split=eval").text).text
    assert "+0.0 points" in text and "on 4 eval problems" in text
    assert "not measured" not in text
    assert "was measured on eval in rounds" in outline(
        client.get(f"/compare?first={NAME}&second={NAME}&second_round=9").text
    ).text  # fmt: skip


def test_unknown_things_are_404_and_bad_values_400_with_a_page_that_says_so(client: TestClient) -> None:
    for address, status in (
        ("/experiments/other", 404),
        ("/experiments/Not%20valid", 400),
        (f"{PAGE}/rationales/nothing", 404),
        (f"{PAGE}/problem?id=nothing", 404),
        (f"{PAGE}/rationales?round=-1", 400),
        (f"{PAGE}/rationales?round=1%3Bdrop", 400),
        (f"{PAGE}/rationales?page=99999", 400),
        (f"{PAGE}/rationales?text={'x' * 301}", 400),
        ("/nothing", 404),
    ):
        response = client.get(address)
        assert response.status_code == status, address
        assert "<h1>" in response.text and outline(response.text).all("main"), address


def test_error_page_shows_no_path_of_the_machine(client: TestClient, home: Home) -> None:
    assert str(home.root) in client.get("/").text
    assert str(home.root) not in client.get("/nothing").text


def test_request_to_another_host_name_is_refused(client: TestClient) -> None:
    assert client.get("/", headers={"host": "evil.example"}).status_code == 400
    assert client.get("/", headers={"host": "localhost:8321"}).status_code == 200


def test_home_without_a_store_has_an_empty_overview(tmp_path: Path) -> None:
    app = create_app(Home(tmp_path), author=lambda request: "Anna", hosts=None)
    with TestClient(app, base_url=LOCAL) as client:
        assert "There are none yet" in client.get("/").text
        assert client.get(PAGE).status_code == 503


def test_mounted_app_links_below_its_place(home: Home) -> None:
    from fastapi import FastAPI

    outer = FastAPI()
    outer.mount("/star", create_app(home, author=lambda request: "Anna", hosts=None, framed=True))
    with TestClient(outer, base_url=LOCAL) as client:
        response = client.get(f"/star{PAGE}")
        page = outline(response.text)
        addresses = [str(link["href"]) for link in page.all("a") + page.all("link")]
        addresses += [str(image["src"]) for image in page.all("img")]
        assert all(each.startswith(("/star", "#", "data:")) for each in addresses)
        assert "frame-ancestors 'self'" in response.headers["content-security-policy"]
        assert client.get(next(each for each in addresses if each.endswith(".css"))).status_code == 200


def test_text_marks_escape_what_they_do_not_mark() -> None:
    assert marked("<a> hint <b> hint", "hint") == "&lt;a&gt; hint &lt;b&gt; <mark>hint</mark>"
    assert marked("<a>", None) == "&lt;a&gt;" and marked("<a>", "no") == "&lt;a&gt;"
    assert found("x" * 400 + "<B>ye" + "z" * 400, "<b>").count("<mark>&lt;B&gt;</mark>") == 1
    assert visible("a\x00\x7f\x85\u202e\n\tb") == "a␀␡⟦U+0085⟧⟦U+202E⟧\n\tb"
