"""A node's page of consent in a real browser: sign in with a code, change the switches, and the answers follow."""

from __future__ import annotations

import json
import random
import re
import shutil
import time
from collections.abc import Iterator
from importlib import resources
from pathlib import Path
from typing import Any, Literal

import httpx
import pytest
from playwright.sync_api import Page, sync_playwright

from cohelix.audit.bundle import prove
from cohelix.federation.audit_log import open_log
from cohelix.portal.assets import asset_path
from cohelix.testing.commands import run_command
from validation.processes import Served

pytestmark = pytest.mark.browser

NAMES = [f"PERSON{number:03d}" for number in range(30)]
RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]


def cohelix(*words: object) -> str:
    """What a command prints; it has to succeed."""
    done = run_command(*map(str, words))
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, str]]:
    """A node that serves an open dataset of thirty people; its folder and address."""
    place = tmp_path_factory.mktemp("consent")
    lines = ["##fileformat=VCFv4.2", "##contig=<ID=22,length=51304566>"]
    lines += ['##FORMAT=<ID=GT,Number=1,Type=String,Description="Genotype">']
    lines.append("\t".join(["#CHROM", "POS", "ID", "REF", "ALT", "QUAL", "FILTER", "INFO", "FORMAT", *NAMES]))
    calls = [random.Random(name).choice(["0|1", "1|1"]) for name in NAMES]
    lines.append("\t".join(["22", "20000001", ".", "A", "G", ".", ".", ".", "GT", *calls]))
    (place / "c.vcf").write_text("\n".join(lines) + "\n")
    (place / "p.tsv").write_text("individual_id\tsex\n" + "".join(f"{name}\tfemale\n" for name in NAMES))
    folder = place / "node"
    cohelix("node", "init", folder, "--id", "FI", "--name", "Finnish Genome Bank", "--country", "FI")
    given = ("--genotypes", place / "c.vcf", "--individuals", place / "p.tsv", "--assembly", "GRCh37")
    cohelix("node", "load", folder, "--dataset", "one", *given, "--disclosure", "open", "--quality", "off")
    with Served("node", folder) as served:
        yield folder, served.url


@pytest.fixture(scope="module")
def page(node: tuple[Path, str]) -> Iterator[Page]:
    chromium = shutil.which("chromium")
    if chromium is None:
        pytest.fail("this test needs the Debian package chromium: apt-get install chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium)
        context = browser.new_context(base_url=node[1], java_script_enabled=False, viewport={"width": 390, "height": 780})
        context.set_default_timeout(10_000)
        yield context.new_page()
        browser.close()


def people(url: str) -> int:
    answer = httpx.get(f"{url}/beacon/v2/individuals", params={"requestedGranularity": "count"}).json()
    return int(answer["responseSummary"]["numTotalResults"])


def wait_for(count: int, url: str) -> float:
    """Seconds until that many people are told; at most a minute."""
    began = time.monotonic()
    while people(url) != count:
        assert time.monotonic() - began < 60
        time.sleep(0.2)
    return time.monotonic() - began


def test_a_person_signs_in_with_a_code_and_answers_follow(node: tuple[Path, str], page: Page) -> None:
    folder, url = node
    assert people(url) == 30
    code = cohelix("node", "citizen", folder, "--individual", NAMES[3]).strip()
    page.goto("/consent")
    page.get_by_label("Code").fill(code)
    page.get_by_role("button", name="Sign in").click()
    switches = page.get_by_role("checkbox")
    assert [switches.nth(number).is_checked() for number in range(3)] == [True, True, True]
    assert NAMES[3] not in page.content()
    page.get_by_label("Questions about people").uncheck()
    page.get_by_role("button", name="Save my choices").click()
    assert "within a minute" in page.get_by_role("status").inner_text()
    assert not page.get_by_label("Questions about people").is_checked()
    wait_for(29, url)
    said = json.loads(cohelix("node", "consent", folder, "--list", "--json"))["items"]
    assert said == [{"individual": NAMES[3], "individual-queries": False}]
    # The operator's command, beside the server.
    cohelix("node", "consent", folder, "--individual", NAMES[4], "--withdraw")
    wait_for(28, url)
    assert httpx.get(f"{url}/beacon/v2/individuals/{NAMES[4]}").status_code == 404
    assert httpx.get(f"{url}/beacon/v2/individuals/{NAMES[7]}").status_code == 200
    page.get_by_role("button", name="Sign out").click()
    assert page.get_by_label("Code").is_visible()
    # A code works once.
    page.get_by_label("Code").fill(code)
    page.get_by_role("button", name="Sign in").click()
    assert "was used already" in page.get_by_role("alert").inner_text()


def test_nobody_changes_choices_from_elsewhere(node: tuple[Path, str]) -> None:
    folder, url = node
    code = cohelix("node", "citizen", folder, "--individual", NAMES[5]).strip()
    with httpx.Client(base_url=url) as client:
        own, other = {"origin": url}, {"origin": "https://other.example"}
        assert client.post("/consent/sign-in", data={"code": code}, headers=other).status_code == 403
        assert client.post("/consent/sign-in", data={"code": code}).status_code == 403
        signed = client.post("/consent/sign-in", data={"code": code}, headers=own)
        assert signed.status_code == 303
        assert "HttpOnly" in signed.headers["set-cookie"] and "SameSite=lax" in signed.headers["set-cookie"]
        found = re.search(r'name="form_key" value="([0-9a-f]+)"', client.get("/consent").text)
        assert found is not None
        for form_key, headers in (("", own), ("0" * 64, own), (found[1], other), (found[1], {})):
            answer = client.post("/consent/choices", data={"form_key": form_key}, headers=headers)
            assert answer.status_code == 403, (form_key, headers)
        assert people(url) == 28
        assert client.post("/consent/choices", data={"form_key": found[1], "x": "y"}, headers=own).status_code == 303
    wait_for(27, url)
    with httpx.Client(base_url=url) as stranger:
        assert "checkbox" not in stranger.get("/consent").text
        assert stranger.post("/consent/choices", data={"form_key": found[1]}, headers=own).status_code == 403


@pytest.mark.parametrize("colours", ["light", "dark"])
def test_the_pages_are_accessible_and_run_nothing(
    node: tuple[Path, str], page: Page, colours: Literal["light", "dark"]
) -> None:
    folder, url = node
    browser = page.context.browser
    assert browser is not None
    context = browser.new_context(base_url=url, viewport={"width": 390, "height": 780}, color_scheme=colours)
    seen = context.new_page()
    asked: list[str] = []
    seen.on("request", lambda request: asked.append(request.url))
    code = cohelix("node", "citizen", folder, "--individual", NAMES[6]).strip()
    for step in ("code", "wrong", "switches"):
        seen.goto("/consent")
        if step != "code":
            seen.get_by_label("Code").fill(code if step == "switches" else "nothing")
            seen.get_by_role("button", name="Sign in").click()
        seen.evaluate((resources.files("axe_playwright_python") / "axe.min.js").read_text())
        found = seen.evaluate("rules => axe.run({runOnly: rules})", RULES)
        assert found["violations"] == [], step
        assert seen.evaluate("document.scripts.length") == 0
        assert seen.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
    assert all(one.startswith(url) for one in asked)
    context.close()


def test_a_browser_checks_the_proof_of_an_entry(node: tuple[Path, str], page: Page) -> None:
    folder, url = node
    browser = page.context.browser
    assert browser is not None
    scripted = browser.new_page()
    scripted.goto(f"{url}/consent")
    with open_log(folder, "node/FI", str(folder / "node.sqlite")) as log:
        proofs = [prove(log.store(), number).model_dump() for number in (0, 1, 2)]

    def found(proof: dict[str, Any]) -> str:
        script = "async ([address, proof]) => (await (await import(address)).check(proof)).is"
        return str(scripted.evaluate(script, [asset_path("proof.js"), proof]))

    assert [found(proof) for proof in proofs] == ["holds"] * 3
    first, second, _ = proofs
    head, _, below = first["checkpoint"].partition("\n\n")
    lines = head.split("\n")
    other = "A" if lines[2][0] != "A" else "B"
    tampered = {
        "another entry": {**first, "entry": second["entry"]},
        "a changed entry": {**first, "entry": first["entry"].replace('"at":"2', '"at":"1')},
        "another number": {**first, "number": 1},
        "a shorter path": {**first, "proof": first["proof"][:-1]},
        "a changed path": {**first, "proof": ["00" * 32, *first["proof"][1:]]},
        "another root": {**first, "checkpoint": "\n".join([*lines[:2], other + lines[2][1:], *lines[3:]]) + "\n\n" + below},
    }
    assert {what: found(one) for what, one in tampered.items()} == dict.fromkeys(tampered, "not-in-log")
    later = "\n".join([*lines[:3], "at 2099-01-01T00:00:00.000Z", lines[4]]) + "\n\n" + below
    assert found({**first, "checkpoint": later}) == "not-signed"
