"""The pages of applying and deciding as programs see them: who may, what is told to whom, hostile words, sizes."""

from __future__ import annotations

import random
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from tests.portal.conftest import Html
from tests.portal.loop_help import FORM, KEY, WHO, Loop, approved, loop_over, record, submitted

from cohelix.access.applications import LineStage, Stage
from cohelix.core.errors import Conflict, NotPermitted
from cohelix.portal import application_views as views
from cohelix.wire.dataset import DataUseClause

HTML_MAX = 60_000
HOSTILE = "\"'></textarea></title><script>alert(1)</script><img src=x onerror=alert(1)>{{7*7}}"


@pytest.fixture
def loop(tmp_path: Path) -> Iterator[Loop]:
    with loop_over(tmp_path) as running:
        yield running


def get(loop: Loop, who: str, path: str) -> httpx.Response:
    return httpx.get(f"{loop.url}{path}", cookies={"who": who} if who else {})


def post(loop: Loop, who: str, path: str, **fields: str) -> httpx.Response:
    return httpx.post(f"{loop.url}{path}", data={"form_key": KEY, **fields}, cookies={"who": who})


def test_everybody_reads_the_catalogue_and_nobody_else_the_rest(loop: Loop) -> None:
    name = submitted(loop)
    page = get(loop, "", "/catalogue")
    assert page.status_code == 200
    assert "log in" in page.text and "pick:" not in page.text
    for path in ("/basket", "/applications", f"/applications/{name}", f"/applications/{name}/edit", "/desk", "/grants"):
        answer = get(loop, "", path)
        assert (answer.status_code, answer.headers["location"].partition("?")[0]) == (303, "/login"), path


@pytest.mark.parametrize("key", ["", "0" * 64])
def test_a_form_of_another_session_changes_nothing(loop: Loop, key: str) -> None:
    name, _ = loop.desk.store.create(WHO["researcher"], FORM)
    before = loop.desk.store.events(name)
    sent = (
        ("/applications", {}),
        ("/basket/add", {"pick:FI:a": "yes"}),
        ("/basket/remove", {"remove:FI:a": "yes"}),
        (f"/applications/{name}/edit", {"title": "Other", "version": "1"}),
        (f"/applications/{name}/events", {"event": "signing-asked"}),
        (f"/applications/{name}/agreements", {}),
    )
    for path, fields in sent:
        assert post(loop, "researcher", path, **{**fields, "form_key": key}).status_code == 403, path
    file = {"file": ("a.pdf", b"%PDF-1.7")}
    answer = httpx.post(
        f"{loop.url}/applications/{name}/attachments", data={"form_key": key}, files=file, cookies={"who": "researcher"}
    )
    assert answer.status_code == 403
    assert loop.desk.store.events(name) == before
    assert len(loop.desk.store.listed()) == 1


def test_facets_count_and_narrow_and_advice_is_given_by_clause(loop: Loop) -> None:
    page = Html(get(loop, "researcher", "/catalogue?in_authority=FI-dac&does:genetic=yes&commercial=no").text)
    assert "2 datasets" in page.text
    assert "IT-dac (1)" in page.text  # what another choice would give
    assert "research on named diseases: MONDO:0004992" in page.text
    assert "The use is not commercial." in page.text
    assert "Only research on MONDO:0004992 is permitted; the purpose names no disease." in page.text
    assert "No dataset fits" in get(loop, "researcher", "/catalogue?words=nothing-of-it").text
    assert get(loop, "researcher", "/catalogue?months=many").status_code == 400
    # What nobody decides about is not put into a basket, whatever is sent.
    assert post(loop, "researcher", "/basket/add", **{"pick:GB:open": "yes"}).status_code == 400
    assert post(loop, "researcher", "/basket/add").status_code == 400


def test_a_form_that_is_sent_twice_does_it_once(loop: Loop) -> None:
    name = submitted(loop)
    fields = {"event": "voted", "dataset": "FI:a", "vote": "approve", "request": "once"}
    for _ in range(2):
        assert post(loop, "dac-FI-0", f"/applications/{name}/events", **fields).status_code == 303
    assert [event.event for event in loop.desk.store.events(name)].count("voted") == 1


def test_what_cannot_be_done_is_said_on_the_form_s_page_with_what_was_typed(loop: Loop) -> None:
    name = submitted(loop)
    fields = {"event": "proposed", "dataset": "FI:a", "decision": "approve", "reason": "A long reason."}
    answer = post(loop, "dac-FI-0", f"/applications/{name}/events", **fields)
    assert answer.status_code == 409
    assert "A decision needs the votes of 2 members; there are 0." in Html(answer.text).text
    loop.make("dac-FI-0", name, event="voted", dataset="FI:a", vote="approve")
    loop.make("dac-FI-1", name, event="voted", dataset="FI:a", vote="approve")
    answer = post(loop, "dac-FI-0", f"/applications/{name}/events", **fields)
    assert answer.status_code == 409
    assert "checklist" in answer.text and "A long reason." in answer.text
    assert post(loop, "ncp-IT", f"/applications/{name}/events", event="confirmed", dataset="FI:a").status_code == 409
    assert post(loop, "dac-IT-0", f"/applications/{name}/events", event="voted", dataset="FI:a", vote="deny").status_code == 403
    assert post(loop, "dac-FI-0", f"/applications/{name}/events", event="granted", dataset="FI:a").status_code == 400


def test_an_applicant_does_not_read_what_the_committee_says_among_itself(loop: Loop) -> None:
    name = submitted(loop)
    loop.make("dac-FI-0", name, event="voted", dataset="FI:a", vote="deny", comment="Between us.")
    for path in (f"/applications/{name}", f"/applications/{name}/datasets/FI:a"):
        assert "Between us." not in get(loop, "researcher", path).text
        assert "Between us." not in get(loop, "dac-IT-0", path).text
        assert "Between us." in get(loop, "dac-FI-1", path).text
    number = len(loop.desk.store.events(name))
    assert get(loop, "researcher", f"/applications/{name}/events/{number}").status_code == 404
    assert get(loop, "dac-FI-1", f"/applications/{name}/events/{number}").text == "Between us."


def test_a_page_offers_what_is_admitted_and_nothing_else(loop: Loop) -> None:
    """For everybody, at each step of the loop: a form is there if and only if sending it would do it."""
    name, store = submitted(loop), loop.desk.store

    def look() -> None:
        for who, acting in WHO.items():
            page = get(loop, who, f"/applications/{name}/datasets/FI:a").text
            state = store.get(name)
            for kind in ("voted", "confirmed", "appealed", "renewal-asked", "suspended", "appeal-upheld", "checked"):
                try:
                    views.admit(state, _event(kind, acting), acting, store.rules)
                    admitted = True
                except (Conflict, NotPermitted):
                    admitted = False
                assert (f'name="event" value="{kind}"' in page) == admitted, (who, kind, state.lines["FI:a"].stage)

    def _event(kind: str, acting: Any) -> Any:
        more = {"voted": {"vote": "deny"}, "checked": {"points": {}}, "confirmed": {}}.get(kind, {"reason": "r"})
        return views.EVENTS.validate_python(
            {"event": kind, "at": loop.clock.now(), "by": acting.who, "dataset": "FI:a", **more}  # type: ignore[dict-item]
        )

    look()
    for number in (0, 1):
        loop.make(f"dac-FI-{number}", name, event="voted", dataset="FI:a", vote="deny")
    loop.make("dac-FI-0", name, event="proposed", dataset="FI:a", decision="deny", reason="No.")
    look()
    loop.make("dac-FI-1", name, event="decided", dataset="FI:a", decision="deny")
    look()
    loop.make("researcher", name, event="appealed", dataset="FI:a", reason="Because.")
    look()


def test_clocks_are_shown_in_the_country_s_days(loop: Loop) -> None:
    name = approved(loop)
    page = Html(get(loop, "researcher", f"/applications/{name}").text).text
    # Monday, 2 February: five working days, and ten for the country.
    assert "The committee FI-dac to decide: FI:b until the end of 9 February 2026 7 days left" in page
    expected = "The national coordination point of FI to confirm or to veto; its silence confirms: FI:a"
    assert f"{expected} until the end of 16 February 2026" in page
    assert "due within two days" not in get(loop, "dac-FI-1", "/desk").text
    loop.clock.moment += timedelta(days=6)
    assert "1 due within two days" in Html(get(loop, "dac-FI-1", "/desk").text).text
    loop.clock.moment += timedelta(days=2)
    desk = Html(get(loop, "dac-FI-1", "/desk").text).text
    assert "1 overdue" in desk and "9 February 2026 overdue" in desk
    ringing = {(one.dataset, one.office, one.passed) for one in loop.desk.store.alarms()}
    assert ringing == {("FI:b", "committee", True), ("IT:c", "committee", True)}
    page = Html(get(loop, "researcher", f"/applications/{name}").text).text
    assert "The committee FI-dac to decide: FI:b until the end of 9 February 2026 overdue" in page
    loop.clock.moment += timedelta(days=10)
    page = Html(get(loop, "researcher", f"/applications/{name}").text).text
    assert "National coordination point confirmed the approval by its silence" in page
    assert loop.desk.store.get(name).lines["FI:a"].stage is LineStage.CONFIRMED


def test_a_draft_that_was_changed_elsewhere_is_not_written_over(loop: Loop) -> None:
    name, _ = loop.desk.store.create(WHO["researcher"], FORM)
    page = get(loop, "researcher", f"/applications/{name}/edit").text
    fields = {one["name"] or "": one.get("value") or "" for one in Html(page).all("input") if one.get("type") != "checkbox"}
    wanted = {"title": "From here", "version": fields["version"], "organisation": "institute"}
    assert post(loop, "researcher", f"/applications/{name}/edit", **wanted).status_code == 303
    answer = post(loop, "researcher", f"/applications/{name}/edit", **{**wanted, "title": "From there"})
    assert answer.status_code == 409
    assert "another window" in answer.text and "From there" in answer.text
    assert loop.desk.store.get(name).form.title == "From here"
    answer = post(loop, "researcher", f"/applications/{name}/edit", **{**wanted, "members": "one two three", "version": "2"})
    assert answer.status_code == 400
    assert "a subject, and the issuer" in answer.text


def test_a_file_is_attached_byte_for_byte_and_only_handed_out_as_a_file(loop: Loop) -> None:
    name, _ = loop.desk.store.create(WHO["researcher"], FORM)
    content = random.Random(1).randbytes(70_000) + b"\r\n--x\r\n\n\r\r\n"
    answer = httpx.post(
        f"{loop.url}/applications/{name}/attachments",
        data={"form_key": KEY},
        files={"file": ('eth"ics <b>ä.pdf', content, "application/pdf")},
        cookies={"who": "researcher"},
    )
    assert answer.status_code == 303
    [(attached, _)] = loop.desk.store.get(name).form.attachments.items()
    page = get(loop, "researcher", f"/applications/{name}/edit")
    assert "<b>ä" not in page.text
    [link] = [one["href"] for one in Html(page.text).all("a") if "/attachments/" in (one["href"] or "")]
    got = get(loop, "researcher", link or "")
    assert got.content == content
    assert got.headers["content-disposition"].startswith("attachment")
    assert got.headers["x-content-type-options"] == "nosniff"
    empty = httpx.post(
        f"{loop.url}/applications/{name}/attachments",
        files={"form_key": (None, KEY)},
        cookies={"who": "researcher"},
    )
    assert empty.status_code == 400
    assert "Choose one file" in Html(empty.text).text
    assert attached.endswith("ä.pdf")


def _harmless(page: httpx.Response) -> None:
    html = Html(page.text)
    assert page.status_code < 500
    assert all((one.get("src") or "").startswith("/static/") for one in html.all("script"))
    assert not html.all("img")
    assert not [one for _, attributes in html.tags for one in attributes if one.startswith("on")]
    assert "unsafe-inline" not in page.headers["content-security-policy"]
    assert len(page.content) <= HTML_MAX


def test_hostile_words_stay_words(loop: Loop) -> None:
    loop.shelf.held["FI:a"] = record("FI:a", title=HOSTILE, description=HOSTILE, duo=(DataUseClause(code=HOSTILE),))
    name = submitted(
        loop, title=HOSTILE[:300], summary=HOSTILE, diseases=[HOSTILE], attachments={HOSTILE: "0" * 64}, plan=HOSTILE
    )
    draft, _ = loop.desk.store.create(WHO["researcher"], {**FORM, "title": HOSTILE[:300], "organisation": HOSTILE})
    loop.make("dac-FI-0", name, event="asked", text=HOSTILE)
    for number in (0, 1):
        loop.make(f"dac-FI-{number}", name, event="voted", dataset="FI:a", vote="deny", comment=HOSTILE)
    loop.make("dac-FI-0", name, event="checked", dataset="FI:a", points={HOSTILE: False})
    loop.make("dac-FI-0", name, event="proposed", dataset="FI:a", decision="deny", reason=HOSTILE, conditions=[HOSTILE])
    paths = ["/catalogue?does:genetic=yes", "/basket", "/applications", f"/applications/{draft}/edit", "/desk", "/grants"]
    paths += [f"/applications/{name}", f"/applications/{name}/datasets/FI:a", f"/catalogue?words={HOSTILE}&in_use={HOSTILE}"]
    for who in ("researcher", "dac-FI-1"):
        for path in paths:
            _harmless(get(loop, who, path))
    answer = post(loop, "dac-FI-1", f"/applications/{name}/events", event="vetoed", dataset="FI:a", reason=HOSTILE)
    assert answer.status_code in (403, 409)
    _harmless(answer)
    whole = get(loop, "dac-FI-1", f"/applications/{name}/form.txt")
    assert HOSTILE in whole.text
    assert whole.headers["content-type"].startswith("text/plain")


def test_pages_stay_small_however_much_is_applied_for(loop: Loop) -> None:
    many = [f"FI:set-{number:03d}-{'x' * 40}" for number in range(200)]
    loop.shelf.held |= {one: record(one, title="T" * 100, description="<" * 5_000) for one in many}
    lines = [{"dataset": one, "authority": "FI-dac", "country": "FI"} for one in many]
    name = submitted(loop, lines=lines, summary="<" * 20_000, title="&" * 300)
    for number in range(30):
        loop.make("dac-FI-0", name, event="asked", text="<" * 10_000)
        loop.make("dac-FI-1", name, event="voted", dataset=many[0], vote="deny", comment="<" * (600 + number))
    other = approved(loop)
    draft, _ = loop.desk.store.create(WHO["researcher"], {**FORM, "lines": lines})
    for start in ("", "?from=15", "?from=195"):
        for path in ("/basket", f"/applications/{draft}/edit"):
            page = get(loop, "researcher", f"{path}{start}")
            assert len(page.content) <= HTML_MAX and f"{many[int(start[6:] or 0)]}" in page.text
    for who in ("researcher", "dac-FI-1", "ncp-FI"):
        for path in (
            "/catalogue",
            "/applications",
            f"/applications/{name}",
            f"/applications/{name}?from=120",
            "/desk",
            "/grants",
        ):
            page = get(loop, who, path)
            assert page.status_code == 200, path
            assert len(page.content) <= HTML_MAX, (who, path, len(page.content))
        page = get(loop, who, f"/applications/{name}/datasets/{many[0]}")
        assert len(page.content) <= HTML_MAX
    loop.make("ncp-FI", other, event="confirmed", dataset="FI:a")
    sha256 = loop.desk.draw(other, WHO["holder"], ["FI:a"])
    loop.desk.texts[sha256] = "<" * 100_000
    page = get(loop, "holder", f"/applications/{other}/agreements/{sha256}")
    assert len(page.content) <= HTML_MAX and "The text goes on" in page.text
    assert len(get(loop, "holder", f"/applications/{other}/agreements/{sha256}/text.txt").content) == 100_000


def test_a_copy_is_a_new_draft_without_the_files(loop: Loop) -> None:
    name = submitted(loop, attachments={"a.pdf": "0" * 64})
    answer = post(loop, "researcher", "/applications", copy_of=name)
    assert answer.status_code == 303
    copy = answer.headers["location"].split("/")[2]
    state = loop.desk.store.get(copy)
    assert state.stage is Stage.DRAFT
    assert state.form.copy_of == name and not state.form.attachments and state.form.title == FORM["title"]
    assert get(loop, "researcher", f"/applications/{copy}/edit").status_code == 200
