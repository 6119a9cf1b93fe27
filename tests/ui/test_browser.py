"""`star ui` in a real browser: every page by clicking, hostile text obeyed by none, narrow and dark."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from selenium import webdriver
from selenium.common.exceptions import WebDriverException
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import Select, WebDriverWait

from pipeline.paths import Home
from pipeline.store import Store
from tests.experiments import NAME

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
DRIVER = shutil.which("chromedriver")
WAIT_S = 60

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        CHROMIUM is None or DRIVER is None,
        reason="no chromium with chromedriver on this machine (Debian: apt-get install chromium chromium-driver)",
    ),
]


@pytest.fixture(scope="module")
def address(home: Home, repository: Path) -> Iterator[str]:
    """The address of a `star ui` that runs in a process of its own."""
    process = subprocess.Popen(
        [sys.executable, "-m", "pipeline", "--home", str(home.root), "ui", "--port", "0", "--author", "Anna"],
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(repository)},
    )
    assert process.stderr is not None
    told = process.stderr.readline()
    found = re.search(r"http://127\.0\.0\.1:\d+/", told)
    assert found, told + process.stderr.read()
    yield found[0]
    process.terminate()
    assert process.wait(WAIT_S) == 143


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[webdriver.Chrome]:
    options = webdriver.ChromeOptions()
    options.binary_location = str(CHROMIUM)
    profile = tmp_path_factory.mktemp("profile")
    for argument in ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
                     f"--user-data-dir={profile}", "--window-size=1280,900", "--no-first-run",
                     "--disable-background-networking"):  # fmt: skip
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options, webdriver.ChromeService(str(DRIVER)))
    driver.set_page_load_timeout(WAIT_S)
    yield driver
    driver.quit()


def click(browser: webdriver.Chrome, text: str) -> None:
    """Follow the first link or press the button of that text, and wait for the page that comes."""
    browser.execute_script("window.left = true")
    places = f"//a[contains(normalize-space(), {text!r})] | //button[contains(normalize-space(), {text!r})]"
    browser.find_element(By.XPATH, places).click()
    arrived = "return !window.left && document.readyState === 'complete'"
    WebDriverWait(browser, WAIT_S, ignored_exceptions=[WebDriverException]).until(
        lambda driver: driver.execute_script(arrived)
    )


def text_of(browser: webdriver.Chrome) -> str:
    return browser.find_element(By.TAG_NAME, "body").text


def complaints(browser: webdriver.Chrome) -> list[str]:
    """What the browser's console says: scripts that were refused, files that are not there."""
    return [str(entry["message"]) for entry in browser.get_log("browser")]


def kept_and_hostile(home: Home) -> str:
    sql = (
        "select min(rationale_id) from attempt_fates where contains(text, '<script>') and fate = 'kept' "
        "and origin = 'rationalized' and round = 1"
    )
    return str(Store(home).query_readonly(sql)[1][0][0])


def test_browser_clicks_through_all_pages(browser: webdriver.Chrome, address: str, home: Home) -> None:
    browser.get(address)
    click(browser, NAME)
    images = browser.find_elements(By.TAG_NAME, "img")
    assert len(images) == 6
    for image in images:
        WebDriverWait(browser, WAIT_S).until(lambda _, image=image: image.get_property("naturalWidth"))
    click(browser, "Rationales")
    Select(browser.find_element(By.ID, "round")).select_by_visible_text("1")
    Select(browser.find_element(By.ID, "origin")).select_by_visible_text("rationalized")
    Select(browser.find_element(By.ID, "fate")).select_by_visible_text("kept")
    click(browser, "Show")
    assert "round=1" in browser.current_url and "1 rationale at 1 problem" in text_of(browser)
    click(browser, "Round 1 rationalized")
    assert browser.current_url.endswith(kept_and_hostile(home))
    assert "<script>alert('x')</script>" in text_of(browser)
    marks = browser.find_elements(By.CSS_SELECTOR, "pre mark")
    assert len(marks) == 1 and marks[0].text.strip()
    click(browser, "problem p2")
    assert "Round 2" in text_of(browser)
    click(browser, "problems")
    Select(browser.find_element(By.ID, "state")).select_by_visible_text("never")
    click(browser, "Show")
    assert "3 problems that were attempted" in text_of(browser)
    browser.find_element(By.LINK_TEXT, "Compare").click()
    for which in ("first", "second"):
        Select(browser.find_element(By.ID, which)).select_by_visible_text(NAME)
    click(browser, "Compare")
    click(browser, "STaR")
    assert "finished" in text_of(browser)
    assert complaints(browser) == []


def test_browser_search_shows_hits_and_ends(browser: webdriver.Chrome, address: str) -> None:
    browser.get(f"{address}experiments/{NAME}/rationales")
    field = browser.find_element(By.ID, "text")
    field.send_keys("<script>", Keys.ENTER)
    WebDriverWait(browser, WAIT_S).until(lambda driver: driver.find_elements(By.ID, "end"))
    assert "Searched all" in browser.find_element(By.ID, "end").text
    hits = browser.find_elements(By.CSS_SELECTOR, ".attempt mark")
    assert hits and {hit.text for hit in hits} == {"<script>"}
    assert not browser.find_element(By.ID, "stop").is_displayed()
    assert complaints(browser) == []


def test_browser_flags_and_takes_back(browser: webdriver.Chrome, address: str, home: Home) -> None:
    browser.get(f"{address}experiments/{NAME}/rationales/{kept_and_hostile(home)}")
    browser.find_element(By.CSS_SELECTOR, "label[for=wrong_verdict]").click()
    browser.find_element(By.ID, "note").send_keys("<script>alert('note')</script>")
    click(browser, "Flag")
    assert "Verdict called wrong by Anna" in text_of(browser)
    assert "<script>alert('note')</script>" in text_of(browser)
    flagged = "select author, note, withdrawn_by from flags order by created_at desc limit 1"
    assert Store(home).query_readonly(flagged)[1] == [("Anna", "<script>alert('note')</script>", None)]
    click(browser, "Take back")
    assert "taken back by Anna" in text_of(browser)
    assert complaints(browser) == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_browser_narrow_and_wide_nothing_overflows_in_light_and_dark(
    browser: webdriver.Chrome, address: str, home: Home, scheme: str
) -> None:
    attempt = kept_and_hostile(home)
    browser.execute_cdp_cmd(
        "Emulation.setEmulatedMedia", {"features": [{"name": "prefers-color-scheme", "value": scheme}]}
    )
    for width in (400, 1280):
        size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": False}
        browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
        for page in ("", f"experiments/{NAME}", f"experiments/{NAME}/rationales?flagged=yes",
                     f"experiments/{NAME}/rationales/{attempt}", f"experiments/{NAME}/problems",
                     f"experiments/{NAME}/problem?id=p2", f"compare?first={NAME}&second={NAME}"):  # fmt: skip
            browser.get(address + page)
            widest = browser.execute_script("return document.documentElement.scrollWidth")
            assert widest <= width, (page, width, widest)
    ground = browser.execute_script("return getComputedStyle(document.body).backgroundColor")
    assert ground == {"light": "rgb(255, 255, 255)", "dark": "rgb(20, 24, 31)"}[scheme]
    browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


def test_browser_keyboard_reaches_the_content_first(browser: webdriver.Chrome, address: str) -> None:
    browser.get(f"{address}experiments/{NAME}")
    body = browser.find_element(By.TAG_NAME, "body")
    body.send_keys(Keys.TAB)
    skip = browser.switch_to.active_element
    assert skip.text == "Skip to the content" and skip.location["x"] >= 0
    skip.send_keys(Keys.ENTER)
    assert browser.switch_to.active_element.get_attribute("id") == "main"
