"""The report: one page that needs nothing else and obeys nothing that a model wrote."""

import dataclasses
import re
import shutil
from html.parser import HTMLParser
from pathlib import Path

import pytest

from pipeline.config import load_config
from pipeline.paths import Home
from pipeline.report import html, plots
from pipeline.report.data import ReportData, gather
from pipeline.report.sections import sections
from pipeline.report.tables import ROUND_COLUMNS, held_out, round_cells
from pipeline.report.write import write_comparison, write_report
from pipeline.store import Store
from pipeline.tiny_base import FactProbe
from tests.experiments import HOSTILE, NAME

PNG = b"\x89PNG\r\n\x1a\n"


class Outline(HTMLParser):
    """Tags, links and texts of a page."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.sources: list[str] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.sources += [value or "" for name, value in attrs if name in ("src", "srcset", "href")]

    def handle_data(self, data: str) -> None:
        self.text += data


def outline(page: str) -> Outline:
    parsed = Outline()
    parsed.feed(page)
    return parsed


@pytest.fixture(scope="module")
def home(selected: Path) -> Home:
    return Home(selected / "home")


@pytest.fixture(scope="module")
def page(home: Home) -> str:
    return write_report(home, NAME).read_text()


@pytest.fixture(scope="module")
def data(home: Home) -> ReportData:
    return gather(Store(home), home, NAME)


def test_report_page_is_self_contained(page: str) -> None:
    parsed = outline(page)
    assert parsed.sources and all(source.startswith("data:image/png;base64,") for source in parsed.sources)
    assert not {"script", "link", "iframe", "object", "form"} & set(parsed.tags)
    assert "url(" not in page and "@import" not in page
    assert "prefers-color-scheme: dark" in page


def test_report_page_shows_model_text_as_text(page: str) -> None:
    assert HOSTILE.count("<script>") == 1 and "<script>" not in page
    shown = outline(page).text
    assert "<script>alert('x')</script>" in shown
    assert "{{ 7 * 7 }}" in shown and "gnp 49" not in shown
    assert "\x1b" not in page and "\x07" not in page


def test_report_page_has_a_row_per_round_with_its_numbers(page: str, data: ReportData) -> None:
    cells = re.findall(r"<td>(.*?)</td>", page)
    for row in data.rounds:
        wanted = [cell.replace("&", "&amp;") for cell in round_cells(row)]
        assert any(cells[at : at + len(wanted)] == wanted for at in range(len(cells))), wanted


def test_report_writes_the_plots_beside_the_page(page: str, home: Home) -> None:
    files = {path.stem: path.read_bytes() for path in home.reports(NAME).glob("*.png")}
    assert set(files) == {"accuracy", "difficulty", "fates", "yield"}
    assert all(content.startswith(PNG) and len(content) > 5000 for content in files.values())


def test_report_plots_of_equal_data_are_equal_bytes_and_follow_the_theme(data: ReportData) -> None:
    light, again = plots.all_plots(data, plots.LIGHT), plots.all_plots(data, plots.LIGHT)
    dark = plots.all_plots(data, plots.DARK)
    assert light == again
    assert all(light[name] != dark[name] for name in light)


def test_report_numbers_are_those_of_the_store(data: ReportData) -> None:
    (first, second) = data.rounds
    assert held_out(first) == ("eval", 0.5, first["eval_low"], first["eval_high"])
    assert held_out(second) is None
    assert dict(zip(ROUND_COLUMNS, round_cells(second), strict=True)) | {"seconds": ""} == {
        "round": "1",
        "problems": "6",
        "generated correct": "2",
        "rationalized correct": "1",
        "training rows": "3",
        "held-out accuracy": "-",
        "seconds": "",
    }
    fates = {(row["round"], row["fate"]): row["attempts"] for row in data.fates}
    assert fates == {(1, "kept"): 3, (1, "wrong"): 9, (1, "cut_off"): 3, (1, "over_problem_cap"): 1}


def test_report_page_shows_verdicts_timeouts_and_what_the_quality_graders_flag(
    page: str, data: ReportData
) -> None:
    assert "What the graders said" in page
    assert "share flagged" not in page  # the grader of this experiment has no parts
    assert {(row["round"], row["origin"]) for row in data.verdicts} >= {(1, "generated"), (1, "rationalized")}
    verdicts = [{**data.verdicts[0], "timeouts": 1234, "why_ungraded": "timeout 1234", "judge_tokens": 5678}]
    quality = [
        {
            "round": 1,
            "origin": "generated",
            "subscore": name,
            "attempts": 40,
            "flagged": flagged,
            "rate": flagged / 40,
        }
        for name, flagged in (("<leak>", 0), ("<equations>", 5))
    ]
    shown = dataclasses.replace(data, verdicts=verdicts, quality=quality)
    empty = {theme.name: dict[str, bytes]() for theme in plots.THEMES}
    text = outline(html.experiment_page(shown, empty)).text
    assert "1,234" in text and "timeout 1234" in text and "5,678" in text
    assert "<equations>" in text and "12.5% of 40" in text and "<leak>" not in text


def test_report_of_the_demo_says_what_the_base_knows_and_what_is_not_learned(data: ReportData) -> None:
    assert html.what_the_base_knows(data) == []
    config = load_config(Path("addition")).config
    demo = ReportData(data.experiment, config, data.recorded, data.rounds, facts=FactProbe(40, 39, 60, 6))
    told = " ".join(html.what_the_base_knows(demo))
    assert "hints on problems of up to 3 columns" in told
    assert "40 of the 100 digit sums" in told
    assert "39 of 40 taught digit sums right, 6 of the 60 others" in told
    assert "not: length generalization" in told
    empty = {theme.name: dict[str, bytes]() for theme in plots.THEMES}
    assert "length generalization" in html.experiment_page(demo, empty)


def test_report_before_anything_was_measured_says_so(data: ReportData) -> None:
    bare = ReportData(data.experiment, data.config, data.recorded, rounds=[])
    assert html.lead(bare) == ["Nothing has been measured yet."]
    assert plots.all_plots(bare, plots.LIGHT) == {}


def test_comparison_puts_experiments_side_by_side(home: Home) -> None:
    path = write_comparison(home, {"one <b>arm</b>": NAME, "the other": NAME})
    page = path.read_text()
    assert path == home.reports(NAME) / "comparison.html"
    assert "one &lt;b&gt;arm&lt;/b&gt;" in page and "the other" in page
    assert page.count("<th>held-out accuracy</th>") == 2
    assert (home.reports(NAME) / "comparison-accuracy.png").read_bytes().startswith(PNG)


@pytest.mark.parametrize("ends", [[99.0, 98.5, 98.0], [0.0, 0.0, 0.0, 0.0], [50.0], [100.0] * 5])
def test_plot_labels_at_line_ends_keep_apart(ends: list[float]) -> None:
    placed = [height for height, _, _ in plots._apart([(height, "x", "y") for height in ends], 5.0)]
    assert all(upper - lower >= 5.0 - 1e-9 for upper, lower in zip(placed, placed[1:], strict=False))
    assert len(placed) == len(ends)


def test_report_folds_what_was_solved_texts_and_cost_with_the_numbers_of_the_store(
    page: str, data: ReportData
) -> None:
    shown = {part["title"]: part for part in sections(data)}
    assert list(shown) == [
        "What the graders said",
        "What was left out, and why",
        "Solved first, again, and no longer",
        "How many texts differ",
        "Cost",
        "Time per stage",
    ]
    # p0 and p1 are solved without the hint, p2 with it; the two texts of p0 differ.
    assert shown["Solved first, again, and no longer"]["rows"] == [["1", "6", "2", "2", "0", "0", "1"]]
    (generated, rationalized) = shown["How many texts differ"]["rows"]
    assert dict(zip(shown["How many texts differ"]["columns"], generated, strict=True))["correct"] == "3"
    assert rationalized[:2] == ["1", "rationalized"]
    assert all(f"<strong>{title}</strong>" in page for title in shown)
    assert "Where two graders differ" not in page


def test_report_prices_gpu_time_where_the_site_has_a_price(
    home: Home, data: ReportData, tmp_path: Path
) -> None:
    (cost,) = [part for part in sections(data) if part["title"] == "Cost"]
    assert not any("USD" in name for name in cost["columns"])
    shutil.copytree(home.root, tmp_path / "home")
    (tmp_path / "home" / "site.yaml").write_text("prices: {gpu_hour: 2.5, currency: EUR}\n")
    priced = Home(tmp_path / "home")
    with Store(priced).transaction() as connection:
        connection.execute(
            "UPDATE stage_runs SET device = 'NVIDIA H100', seconds = 7200 WHERE round = 1 AND stage = 'generate'"
        )
    (cost,) = [part for part in sections(gather(Store(priced), priced, NAME)) if part["title"] == "Cost"]
    assert dict(zip(cost["columns"], cost["rows"][-1], strict=True))["EUR"] == "5.00"
    assert dict(zip(cost["columns"], cost["rows"][-1], strict=True))["GPU hours"] == "2.00"
