"""The governance loop in Chromium: every main task without JavaScript, the desk by keyboard, drafts that save themselves."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Iterator
from importlib import resources
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, sync_playwright
from tests.portal.loop_help import FORM, WHO, Loop, approved, loop_over, submitted

from cohelix.access.applications import LineStage, Stage

pytestmark = pytest.mark.browser
RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]
As = Callable[..., Page]


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    program = shutil.which("chromium")
    assert program, "this test needs the Debian package chromium: apt-get install chromium"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program)
        yield browser
        browser.close()


@pytest.fixture
def loop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Loop]:
    with loop_over(tmp_path_factory.mktemp("loop")) as running:
        yield running


@pytest.fixture
def as_(chromium: Browser, loop: Loop) -> Iterator[As]:
    """Opens a page for somebody who is logged in."""
    contexts, faults = [], list[str]()

    def page(who: str, *, javascript: bool = False, **options: Any) -> Page:
        context = chromium.new_context(base_url=loop.url, java_script_enabled=javascript, **options)
        context.set_default_timeout(10_000)
        context.add_cookies([{"name": "who", "value": who, "url": loop.url}])
        contexts.append(context)
        opened = context.new_page()
        opened.on("console", lambda said: faults.append(said.text) if "Content Security Policy" in said.text else None)
        opened.on("pageerror", lambda error: faults.append(str(error)))
        return opened

    yield page
    for context in contexts:
        context.close()
    assert faults == []


def test_the_whole_loop_without_javascript(loop: Loop, as_: As, tmp_path: Any) -> None:
    store = loop.desk.store
    page = as_("researcher")
    page.goto("/catalogue")
    page.get_by_text("My purpose, for advice").click()
    page.get_by_label("Genetic study").check()
    page.get_by_label("Commercial use").select_option("no")
    page.get_by_role("button", name="Show").click()
    page.get_by_label("Choose FI:a").check()
    page.get_by_role("button", name="Put the chosen ones").click()
    page.wait_for_url("**/basket")
    assert "Decided by FI-dac" in page.locator("main").inner_text()
    page.get_by_role("link", name="Fill in the application").click()
    assert page.get_by_label("Genetic study").is_checked()  # the purpose came along
    page.get_by_role("button", name="Save and ask for the signature").click()
    assert "the application needs: title, summary, organisation" in page.get_by_role("alert").inner_text()
    page.get_by_label("Title").fill("Rare variants")
    page.get_by_label("What you want to find out").fill("We ask why.")
    page.get_by_label("Organisation, whose").fill("institute")
    page.get_by_role("button", name="Save and check").click()
    assert "Saved" in page.get_by_role("status").inner_text()
    (tmp_path / "ethics.pdf").write_bytes(b"%PDF-1.7 \x00\xff")
    page.get_by_label("File (save").set_input_files(tmp_path / "ethics.pdf")
    page.get_by_role("button", name="Attach the file").click()
    assert page.get_by_role("link", name="ethics.pdf").is_visible()
    page.get_by_role("button", name="Save and ask for the signature").click()
    assert "The signing official of institute to sign" in page.locator("main").inner_text()
    name = page.url.rpartition("/")[2]

    official = as_("official")
    official.goto("/desk")
    official.get_by_role("link", name="Rare variants").click()
    official.get_by_role("button", name="Sign and hand in").click()
    assert store.get(name).stage is Stage.REVIEW

    first, second = as_("dac-FI-0"), as_("dac-FI-1")
    for member in (first, second):
        member.goto("/desk/committee")
        assert member.get_by_role("row", name="Check and vote").is_visible()
        member.get_by_role("link", name="Rare variants").click()
        member.get_by_label("Approve").first.check()
        member.get_by_label("Comment").fill("Sound.")
        member.get_by_role("button", name="Vote").click()
    first.reload()
    first.get_by_label("The ethics approval is there").check()
    first.get_by_role("button", name="Keep the checklist").click()
    proposal = first.locator("#propose").locator("..")
    proposal.get_by_label("Approve").check()
    proposal.get_by_label("Reason").fill("It serves health.")
    proposal.get_by_label("Conditions").fill("Publish.\nName the bank.")
    proposal.get_by_role("button", name="Propose").click()
    assert "It waits for a second person" in first.locator("main").inner_text()
    assert first.get_by_role("button", name="Second it").count() == 0
    second.reload()
    second.get_by_role("button", name="Second it: approve").click()
    assert store.get(name).lines["FI:a"].conditions == ("Publish.", "Name the bank.")

    national = as_("ncp-FI")
    national.goto("/desk/national")
    national.get_by_role("link", name="Rare variants").click()
    assert "its silence confirms" in national.locator("main").inner_text()
    national.get_by_role("button", name="Confirm the approval").click()

    holder = as_("holder")
    holder.goto("/desk/agreements")
    holder.get_by_role("link", name="Rare variants").click()
    holder.get_by_role("button", name="Draw the agreement").click()
    holder.get_by_role("link", name="Agreement").first.click()
    [sha256] = loop.desk.texts
    assert sha256 in holder.locator("main").inner_text()
    holder.get_by_role("button", name="Sign for the data holder").click()
    official.goto("/desk/agreements")
    official.get_by_role("link", name="Rare variants").click()
    official.get_by_role("link", name="Agreement").first.click()
    official.get_by_role("button", name="Sign for the user").click()
    assert "signed by both sides" in official.locator("main").inner_text()
    until = loop.clock.now().replace(year=2027).isoformat()
    loop.make("holder", name, event="granted", dataset="FI:a", visas=["visa-1"], until=until)

    page.goto("/grants")
    assert page.get_by_role("row", name="FI:a").get_by_text("granted").is_visible()
    holder.goto("/grants")
    holder.get_by_role("link", name="FI:a").click()
    holder.get_by_label("Why it is suspended").fill("The ethics approval ended.")
    holder.get_by_role("button", name="Suspend").click()
    assert store.get(name).lines["FI:a"].stage is LineStage.SUSPENDED
    page.goto(f"/applications/{name}")
    assert "The ethics approval ended." in page.locator(".timeline").inner_text()


def test_refusals_return_veto_and_appeal(loop: Loop, as_: As) -> None:
    store, name = loop.desk.store, submitted(loop)
    member, page = as_("dac-FI-0"), as_("researcher")
    member.goto(f"/applications/{name}")
    member.get_by_label("A question to the applicant").fill("Which ethics committee?")
    member.get_by_role("button", name="Ask").click()
    page.goto("/applications")
    assert "Waits for you to answer a committee’s question" in page.locator("main").inner_text()
    page.get_by_role("link", name=FORM["title"]).click()
    page.get_by_label("Your answer").fill("The national one.")
    page.get_by_role("button", name="Send the answer").click()
    member.get_by_label("FI-dac decides until").fill("2026-02-20")
    member.get_by_label("Why it takes longer").fill("Holidays.")
    member.get_by_role("button", name="Tell of the delay").click()
    page.reload()
    assert "FI-dac decides until 2026-02-20" in page.locator(".timeline").inner_text()
    assert "20 February 2026" in page.locator("#datasets + div").inner_text()
    member.get_by_label("What has to be changed").fill("Name the funding.")
    member.get_by_role("button", name="Return the application").click()
    page.reload()
    page.get_by_role("link", name="Fill in the application").click()
    assert page.locator("h1").inner_text() == "Change the application"
    page.get_by_label("Take IT:c out").check()
    page.get_by_role("button", name="Save and ask for the signature").click()
    assert [line.dataset for line in store.get(name).form.lines] == ["FI:a", "FI:b"]
    official = as_("official")
    official.goto("/desk/signing")
    official.get_by_role("link", name=FORM["title"]).click()
    official.get_by_label("Why you do not sign").fill("No budget.")
    official.get_by_role("button", name="Do not sign").click()
    assert store.get(name).stage is Stage.DRAFT

    other = approved(loop)
    national = as_("ncp-FI")
    national.goto(f"/applications/{other}/datasets/FI:a")
    national.get_by_role("button", name="Veto").click()  # a veto without a reason is not sent
    assert store.get(other).lines["FI:a"].stage is LineStage.APPROVED
    national.get_by_label("Why the country vetoes").fill("A register law forbids it.")
    national.get_by_role("button", name="Veto").click()
    page.goto(f"/applications/{other}/datasets/FI:a")
    page.get_by_label("Why the decision is wrong").fill("The law was changed.")
    page.get_by_role("button", name="Contest it").click()
    outsider = as_("outsider")
    outsider.goto("/desk/appeals")
    outsider.get_by_role("link", name=FORM["title"]).click()
    outsider.get_by_label("Why the appeal is upheld").fill("It was.")
    outsider.get_by_role("button", name="Uphold").click()
    assert store.get(other).lines["FI:a"].stage is LineStage.OPEN
    page.goto(f"/applications/{other}")
    page.get_by_text("Withdraw this application").click()
    page.get_by_role("button", name="Withdraw it for good").click()
    assert store.get(other).stage is Stage.WITHDRAWN


def test_a_member_votes_by_keyboard_alone(loop: Loop, as_: As) -> None:
    name, page = submitted(loop), as_("dac-FI-0", javascript=True)
    page.goto("/desk")

    def tab_to(what: str) -> None:
        for _ in range(60):
            page.keyboard.press("Tab")
            said = page.evaluate(
                """() => { const e = document.activeElement; const s = getComputedStyle(e);
                return [(e.labels && e.labels.length ? e.labels[0].textContent : e.textContent).trim(),
                        s.outlineStyle !== 'none' && parseFloat(s.outlineWidth) >= 2]; }"""
            )
            assert said[1], f"{said[0]!r} does not show the focus"
            if said[0].startswith(what):
                return
        pytest.fail(f"no stop of the keyboard says {what!r}")

    tab_to(FORM["title"])
    page.keyboard.press("Enter")
    page.wait_for_url(f"**/applications/{name}/datasets/FI:a")
    tab_to("The institution has signed")
    page.keyboard.press("Space")
    tab_to("Keep the checklist")
    with page.expect_navigation():
        page.keyboard.press("Enter")
    tab_to("Approve")
    page.keyboard.press("Space")
    tab_to("Comment")
    page.keyboard.type("Sound.")
    tab_to("Vote")
    page.keyboard.press("Enter")
    page.get_by_text("Sound.").wait_for()
    line = loop.desk.store.get(name).lines["FI:a"]
    assert line.votes == {WHO["dac-FI-0"].who: "approve"}
    assert line.checked == {WHO["dac-FI-0"].who}


def test_a_draft_saves_itself_and_its_advice_follows(loop: Loop, as_: As) -> None:
    name, _ = loop.desk.store.create(WHO["researcher"], FORM)
    page = as_("researcher", javascript=True)
    page.goto(f"/applications/{name}/edit")
    advice = page.locator("#advice .card", has_text="FI:a")
    assert "The use is not commercial." in advice.inner_text()
    page.get_by_label("Commercial use").select_option("yes")
    page.get_by_label("Title").fill("Saved by itself")
    advice.get_by_text("Commercial use is not permitted.").wait_for()
    form = loop.desk.store.get(name).form
    assert (form.title, form.commercial) == ("Saved by itself", True)
    page.get_by_label("Title").fill("And again")
    page.locator("#application [name=version][value='3']").wait_for(state="attached")
    assert loop.desk.store.get(name).form.title == "And again"
    page.get_by_label("For how many months").fill("abc")
    page.locator("#saving", has_text="Not saved: Not done. The months are a whole number.").wait_for()
    page.get_by_label("For how many months").fill("12")
    page.locator("#saving", has_text=re.compile("^Saved ")).wait_for()
    assert loop.desk.store.get(name).form.months == 12


def test_axe_finds_nothing_and_a_phone_is_wide_enough(loop: Loop, as_: As) -> None:
    draft, _ = loop.desk.store.create(WHO["researcher"], FORM)
    name, other = submitted(loop), approved(loop)
    loop.make("dac-FI-0", name, event="voted", dataset="FI:a", vote="approve", comment="Sound.")
    loop.make("ncp-FI", other, event="confirmed", dataset="FI:a")
    sha256 = loop.desk.draw(other, WHO["holder"], ["FI:a"])
    seen = {
        "researcher": ["/catalogue?does:genetic=yes", "/basket", "/applications", f"/applications/{draft}/edit", "/grants"],
        "dac-FI-1": ["/desk", f"/applications/{name}", f"/applications/{name}/datasets/FI:a"],
        "official": [f"/applications/{other}/agreements/{sha256}"],
    }
    axe = (resources.files("axe_playwright_python") / "axe.min.js").read_text()
    for who, paths in seen.items():
        page = as_(who, javascript=True, viewport={"width": 390, "height": 780}, reduced_motion="reduce")
        for path in paths:
            page.goto(path)
            page.evaluate(axe)
            for scheme in ("light", "dark"):
                page.emulate_media(color_scheme=scheme, reduced_motion="reduce")  # type: ignore[arg-type]
                said = page.evaluate("rules => axe.run({runOnly: rules})", RULES)
                found = [(path, scheme, one["id"], one["nodes"][0]["html"]) for one in said["violations"]]
                assert found == []
            assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth"), path
