"""The page of a variant while members are still asked: nobody is held back, and the end is the page that waited for all."""

from __future__ import annotations

import asyncio
import json
import re
import shutil
import threading
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest
from playwright.sync_api import Browser, sync_playwright

PAGE = "/variant/22-50313359-G-A?assembly=GRCh37"
OPENED = {"sec-fetch-dest": "document"}  # what a browser says of an address that a person opens


class Gate:
    """Holds IT's counts back until a test lets them through."""

    def __init__(self, stage: Any) -> None:
        self.open = threading.Event()
        self._ask, self._stage = stage.ask, stage
        stage.ask = self._gated

    async def _gated(self, member: Any, question: str, body: bytes) -> Any:
        if (member.id, question) == ("IT", "frequency"):
            await asyncio.to_thread(self.open.wait, 20)
        return await self._ask(member, question, body)

    @property
    def questions(self) -> int:
        """How often members were asked for counts."""
        return sum(question == "frequency" for _, question, _ in self._stage.asked)


@pytest.fixture
def gate(stage: Any) -> Gate:
    return Gate(stage)


@pytest.fixture
def url(stage: Any, gate: Gate, make_app: Callable[..., Any], serve: Callable[..., Any]) -> Iterator[str]:
    with serve(make_app(stage, deadline_seconds=20.0)) as address:
        yield address
        gate.open.set()


@pytest.fixture
def client(url: str) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=url, trust_env=False, timeout=20) as open_client:
        yield open_client


def answered(source: str) -> str:
    """What a page says of its answer: the notes, the sum, the picture and the table."""
    return source[source.index('id="answer-notes"') : source.index("</table>")]


def test_what_arrives_is_the_page_that_waited(client: httpx.Client, gate: Gate, read: Callable[..., Any]) -> None:
    first = client.get(PAGE, headers=OPENED)
    page = read(first)
    assert "3 of 4 members so far. Still asked: IT Italy." in page.text
    assert "FIN" in page.text and "No answer yet." in page.text
    assert "Members are still asked…" in page.text and not page.all("p", **{"class": "lead"}), "no sum before the end"
    assert page.all("meta", **{"http-equiv": "refresh"}), "the way on for a browser without JavaScript"
    (place,) = (attrs for attrs in page.all("div") if "data-parts" in attrs)
    told: list[tuple[str, str]] = []
    with client.stream("GET", place["data-parts"]) as stream:
        for block in iter_blocks(stream.iter_lines()):
            told.append((block["event"], json.loads(block["data"])))
            gate.open.set()
    assert [name for name, _ in told] == ["part", "whole"]
    whole = client.get(place["data-whole"])
    assert "arriving" not in read(whole).text and "data-parts" not in whole.text
    assert answered(told[-1][1]) == answered(whole.text)
    assert "4 of 4" in read(whole).text and "0.2207" in whole.text
    assert gate.questions == 4, "every member was asked once, for all of it"


def iter_blocks(lines: Iterator[str]) -> Iterator[dict[str, str]]:
    """Events of a stream; signs of life are none."""
    block: dict[str, str] = {}
    for line in lines:
        if line and not line.startswith(":"):
            name, _, value = line.partition(": ")
            block[name] = value
        elif block:
            yield block
            block = {}


def test_a_program_gets_the_whole_page(client: httpx.Client, gate: Gate, read: Callable[..., Any]) -> None:
    threading.Timer(0.4, gate.open.set).start()
    page = read(client.get(PAGE))
    assert "still asked" not in page.text and "4 of 4" in page.text


def test_nobody_listens_to_anothers_question(client: httpx.Client, gate: Gate, read: Callable[..., Any]) -> None:
    place = re.search(r'data-parts="([^"]+)"', client.get(PAGE, headers=OPENED).text)
    assert place
    address = place[1].replace("&amp;", "&")
    for other in (address[:-3], address.replace("50313359", "50313360"), address.replace("GRCh37", "GRCh38")):
        assert client.get(other).status_code == 404
    gate.open.set()
    forgotten = client.get(f"{PAGE}&arriving=never-was")
    assert forgotten.status_code == 200 and "4 of 4" in read(forgotten).text, "it is asked anew"


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    chromium = shutil.which("chromium")
    if chromium is None:
        pytest.fail("this test needs the Debian package chromium: apt-get install chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium)
        yield browser
        browser.close()


@pytest.mark.browser
def test_the_table_fills_in_and_ends_as_it_would_without_javascript(browser: Browser, url: str, gate: Gate) -> None:
    faults: list[str] = []
    page = browser.new_page(base_url=url)
    page.on("pageerror", lambda error: faults.append(str(error)))
    page.on("console", lambda said: faults.append(said.text) if said.type == "error" else None)
    page.goto(PAGE)
    page.get_by_text("Still asked: IT Italy").wait_for()
    assert page.locator("tbody", has_text="FI:geuvadis").locator("tr").count() > 1, "who has answered is shown"
    page.locator(".codes summary").first.click()
    gate.open.set()
    page.locator("#said", has_text="All members have answered").wait_for(state="attached")
    assert page.locator(".pooled .lead").inner_text() == "0.2207"
    assert page.locator(".codes details").first.get_attribute("open") is not None, "what is no answer stays as it was"
    parts = page.locator("#arriving").inner_text()
    assert not faults
    plain = browser.new_context(base_url=url, java_script_enabled=False).new_page()
    gate.open.clear()
    threading.Timer(0.6, gate.open.set).start()
    plain.goto(PAGE)
    plain.locator(".pooled .lead").wait_for()  # the browser has gone on to the whole page by itself
    whole = plain.locator("#arriving, main > div:has(#answer-notes)").first.inner_text()
    ms = re.compile(r"[\d.]+ m?s\b")
    assert ms.sub("", parts) == ms.sub("", whole)
    for one in (page, plain):
        one.context.close()
