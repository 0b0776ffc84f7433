"""From an approved application to a visa and to its end: hub and node over HTTP; and what a dishonest hub gets, nothing."""

from __future__ import annotations

import asyncio
import inspect
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from joserfc.jwk import ECKey
from tests.access.test_applications import Desk
from tests.hub.people_help import Browser, HubWithPeople, hub_with_people
from tests.journeys.test_applications_on_both_databases import DUTIES, FORM
from typer.testing import CliRunner

from cohelix import node
from cohelix.access.actor import Role
from cohelix.access.authority import Signer, find_authority, init_authority, set_signers
from cohelix.access.grants import Grants
from cohelix.access.jose import read_token
from cohelix.access.roles import Roles
from cohelix.audit.events import Event as AuditEvent
from cohelix.audit.events import VisaGranted
from cohelix.bank.description import Description, describe
from cohelix.bank.load import LoadRequest, load
from cohelix.cli.main import app
from cohelix.core.errors import AuditUnavailable, BadQuestion, BadUsage, Conflict, NotFound
from cohelix.core.genome import Assembly, region_1based
from cohelix.core.ids import DatasetId
from cohelix.db import open_database
from cohelix.federation.granting import Granting, NodeData
from cohelix.hub.settings import open_hub_database
from cohelix.node.app import create_app as create_node
from cohelix.sdk.applications import ApplicationsClient, AsyncApplicationsClient
from cohelix.sdk.identity import CONFIG_VARIABLE
from cohelix.sdk.own_key import sign_event
from cohelix.testing.cohorts import simulate_cohort, write_vcf
from cohelix.testing.federation import running_app
from cohelix.wire.applications import EVENTS
from cohelix.wire.grants import ApplicationShown
from cohelix.wire.history import DECISIONS, links
from validation.applications.walks import person
from validation.processes import done, inside

HUB = "https://hub.example"
SET = "FI:a"


def wait_for(found: Callable[[], Any], seconds: float = 40) -> Any:
    """What is found as soon as it is something."""
    deadline = time.monotonic() + seconds
    while not (got := found()):
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.2)
    return got


def make_node(folder: Path, hub_url: str, *, by_hand: bool = False) -> None:
    """A node with a dataset that its own committee decides about."""
    node.init_node(folder, node="FI", name="Bank of FI", country="FI")
    home = folder / "datasets" / "a"
    home.mkdir(parents=True)
    init_authority(folder, authority="FI-dac", name="A committee", hub_url=hub_url, datasets=("FI:*",), by_hand=by_hand)


@dataclass
class Loop:
    """A hub with people, a node that serves, and an application."""

    hub: HubWithPeople
    folder: Path
    people: dict[str, Browser]
    subjects: dict[str, str]
    variant: str
    expected: tuple[int, int]
    path: str = ""

    def send(self, who: str, body: dict[str, Any], place: str = "/events") -> dict[str, Any]:
        browser = self.people[who]
        answer = browser.post(self.path + place, json=body, headers={"origin": self.hub.url})
        assert answer.status_code in (200, 201), (who, body, answer.text)
        return dict(answer.json())

    def line(self) -> dict[str, Any]:
        return dict(self.people["researcher"].get(self.path).json()["lines"][0])

    def answer(self, who: str) -> Any:
        """What the dataset says to somebody: the allele's count and number, or that it does not."""
        found = self.people[who].get(f"/api/v1/frequency/{self.variant}", params={"assembly": "GRCh37"}).json()
        line = found["nodes"][0]["datasets"][0]
        if line["status"] != "answered":
            return line["status"]
        return tuple(line["populations"][0][name] for name in ("alleleCount", "alleleNumber"))

    def records(self) -> dict[str, Any]:
        """The catalogue's records."""
        told = self.people["researcher"].get("/api/v1/catalogue").json()["datasets"]
        return {one["record"]["id"]: one["record"] for one in told}

    def visas(self) -> list[dict[str, Any]]:
        return list(self.people["researcher"].get("/api/v1/visas").json()["visas"])


@pytest.fixture(scope="module")
def loop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Loop]:
    folder, place = tmp_path_factory.mktemp("grants") / "hub", tmp_path_factory.mktemp("grants") / "fi"
    names = ("researcher", "stranger", *DUTIES)
    with inside(), hub_with_people(folder, names=names) as hub:
        variant, expected = _load(place, hub)
        done("dac", "init", folder, "--authority", "EU-dac", "--name", "A central committee", "--dataset", "FI:*")
        with running_app(create_node(place)) as server:
            done("node", "join", place, done("hub", "invite", folder, "--member", "FI").out.strip(), "--url", server.url)
            done("dac", "init", place, "--authority", "FI-dac", "--name", "A committee", "--by-hand")
            browsers = {name: Browser(hub.url) for name in names}
            for name, browser in browsers.items():
                browser.log_in(name)
                browser.headers["origin"] = hub.url
            people = {name: browser.get("/api/v1/me").json()["subject"] for name, browser in browsers.items()}
            roles = Roles(open_hub_database(folder))
            for name, (role, what) in DUTIES.items():
                if what is not None:
                    roles.grant_for(role, what, people[name], hub.issuer)
            yield Loop(hub, place, browsers, people, variant, expected)
            for browser in browsers.values():
                browser.close()


def _load(place: Path, hub: HubWithPeople) -> tuple[str, tuple[int, int]]:
    """A node with a closed dataset, which believes the hub's issuer; gives a variant, and its allele count and number."""
    node.init_node(place, node="FI", name="Bank of FI", country="FI")
    trust = f'\n[[trust]]\nissuer = "{hub.issuer}"\nrole = "broker"\njwks = "{hub.issuer}/jwks.json"\n'
    central = f"{hub.url}/authorities/EU-dac"
    trust += f'\n[[trust]]\nissuer = "{central}"\nrole = "authority"\njwks = "{central}/jwks.json"\ndatasets = ["FI:*"]\n'
    (place / "node.toml").write_text((place / "node.toml").read_text() + trust)
    region = region_1based("22", 20_000_001, 20_030_000)
    cohort = simulate_cohort({"FIN": 60}, 12, seed=5, region=region, assembly=Assembly.GRCH37)
    write_vcf(cohort, place.parent / "a.vcf.gz")
    files = (place.parent / "a.vcf.gz",)
    load(place, LoadRequest(DatasetId("a"), files, Assembly.GRCH37, disclosure="closed", simulated=True))
    words = done("node", "counts", place, "--dataset", "a").out.splitlines()[1].split("\t")
    return "-".join(words[:4]), (int(words[5]), 120)


def describe_directly(folder: Path) -> None:
    """Say who decides about the dataset; it has no data, which nobody asks for here."""
    (folder / "datasets" / "a" / "current.json").write_text("{}")
    path = folder / "datasets" / "a" / "current.json"
    path.write_text('{"version": 1}\n')
    _describe(folder)


def _describe(folder: Path, **said: Any) -> None:
    describe(folder, DatasetId("a"), Description.model_validate({"authority": "FI-dac", **said}))


def test_from_a_described_dataset_to_an_answer_for_one_person_and_to_its_end(
    loop: Loop, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def does(who: str, event: str, **fields: Any) -> Any:
        """As a person's own program does it, with the key of this person."""
        monkeypatch.setenv(CONFIG_VARIABLE, str(tmp_path / who))
        return ApplicationsClient(loop.people[who], loop.hub.url).act(loop.path.rpartition("/")[2], event, **fields)

    described = ("--duo", "GRU", "--duo", "NCU", "--authority", "FI-dac", "--title", "Blood pressure")
    done("node", "describe", loop.folder, "--dataset", "a", *described)
    for who, office in (("dac-1", "committee"), ("dac-2", "committee"), ("national", "country")):
        monkeypatch.setenv(CONFIG_VARIABLE, str(tmp_path / who))
        key = done("keys", "own", "--make").out.strip()
        done("dac", "signers", loop.folder, "--add", loop.subjects[who], "--key", key, "--office", office)
    mine = ApplicationsClient(loop.people["researcher"], loop.hub.url)
    purpose = {"investigations": ["genetic"], "commercial": False}
    [advised] = wait_for(lambda: mine.advise(datasets=[], **purpose).datasets)
    assert (advised.record.id, advised.record.authority, advised.advice) == (SET, "FI-dac", "approve")
    form = {"title": "Rare variants", "summary": "We ask why.", "organisation": "institute", "months": 6}
    begun = mine.create([SET], **form, **purpose)
    loop.path = f"/api/v1/applications/{begun.id}"
    does("researcher", "signing-asked")
    does("official", "signed")
    for who in ("dac-1", "dac-2"):
        does(who, "voted", dataset=SET, vote="approve")
    does("dac-1", "checked", dataset=SET, points={"ethics": True})
    ends = (datetime.now(UTC) + timedelta(days=30)).date()
    conditions = ["visa ResearcherStatus", f"until {ends}", "Publish within a year."]
    with pytest.raises(BadQuestion, match="in other words"):
        does("dac-1", "proposed", dataset=SET, decision="approve", reason="Sound.", conditions=["visa Researcher"])
    does("dac-1", "proposed", dataset=SET, decision="approve", reason="Sound.", conditions=conditions)
    does("dac-2", "decided", dataset=SET, decision="approve")
    does("national", "confirmed", dataset=SET)
    [drawn] = loop.send("holder", {"datasets": [SET]}, "/agreements")["agreements"]
    text = mine.agreement(begun.id, drawn["sha256"])
    assert f"held by the visa: until {ends}" in text and "held by this agreement: Publish within a year." in text
    does("official", "agreement-signed", side="user", sha256=drawn["sha256"])
    assert loop.visas() == [] and loop.answer("researcher") == "refused"
    does("holder", "agreement-signed", side="holder", sha256=drawn["sha256"])
    wait_for(lambda: "waits" in done("dac", "pending", loop.folder).out)
    assert loop.visas() == [], "this committee issues by hand"
    assert "granted" in done("dac", "issue", loop.folder).out
    wait_for(lambda: loop.line()["stage"] == "granted")
    [visa] = wait_for(loop.visas)
    assert (visa["dataset"], loop.line()["visas"]) == (SET, [visa["visa"]])
    assert visa["expires"] == f"{ends + timedelta(days=1)}T00:00:00Z"
    assert wait_for(lambda: loop.answer("researcher") != "refused") and loop.answer("researcher") == loop.expected
    assert {loop.answer(who) for who in ("stranger", "dac-1", "holder", "auditor")} == {"refused"}

    soon = (datetime.now(UTC) + timedelta(seconds=7)).isoformat()  # a visa's end is its end, whoever granted it
    done("dac", "grant", loop.folder, "--dataset", SET, "--to", loop.subjects["stranger"], "--until", soon)
    assert loop.answer("stranger") == loop.expected
    does("national", "suspended", dataset=SET, reason="A complaint.")
    grants = Grants(open_database(loop.folder / "node.sqlite"))
    wait_for(lambda: next(one for one in grants.all() if one.identifier == visa["visa"]).revoked_at is not None)
    wait_for(lambda: loop.answer("researcher") == "refused")
    assert str(loop.line()["stage"]) == "suspended"
    wait_for(lambda: visa["visa"] in revoked(loop.hub.url))
    wait_for(lambda: loop.answer("stranger") == "refused")


def test_a_central_committee_issues_by_itself_and_ends_what_it_issued(loop: Loop) -> None:
    done("node", "describe", loop.folder, "--dataset", "a", "--duo", "GRU", "--authority", "EU-dac")
    for who in ("dac-1", "dac-2"):
        Roles(open_hub_database(loop.hub.folder)).grant_for(Role.DAC_MEMBER, "EU-dac", loop.subjects[who], loop.hub.issuer)
    lines = [{"dataset": SET, "authority": "EU-dac", "country": "FI"}]
    loop.path = "/api/v1/applications"
    loop.path += "/" + loop.send("researcher", {"form": {**FORM, "lines": lines}}, "")["id"]
    wait_for(lambda: loop.records()[SET]["authority"] == "EU-dac")
    loop.send("researcher", {"event": "signing-asked"})
    loop.send("official", {"event": "signed"})
    for who in ("dac-1", "dac-2"):
        loop.send(who, {"event": "voted", "dataset": SET, "vote": "approve"})
    loop.send("dac-1", {"event": "checked", "dataset": SET, "points": {"ethics": True}})
    loop.send("dac-1", {"event": "proposed", "dataset": SET, "decision": "approve", "reason": "Sound."})
    loop.send("dac-2", {"event": "decided", "dataset": SET, "decision": "approve"})
    loop.send("national", {"event": "confirmed", "dataset": SET})
    [drawn] = loop.send("dac-1", {"datasets": [SET]}, "/agreements")["agreements"]
    loop.send("official", {"event": "agreement-signed", "side": "user", "sha256": drawn["sha256"]})
    loop.send("holder", {"event": "agreement-signed", "side": "holder", "sha256": drawn["sha256"]})
    wait_for(lambda: loop.line()["stage"] == "granted")
    [visa] = [one for one in loop.visas() if one["visa"].startswith("EU-dac:")]
    assert loop.line()["visas"] == [visa["visa"]]
    wait_for(lambda: loop.answer("researcher") == loop.expected)
    assert loop.answer("stranger") == "refused"
    assert "nothing waits here" in done("dac", "pending", loop.folder).out, "the node was asked for nothing"
    loop.send("holder", {"event": "revoked", "dataset": SET, "reason": "Misused."})
    wait_for(lambda: visa["visa"] in revoked(loop.hub.url))


def revoked(hub_url: str) -> str:
    """The payload of the list of revoked visas, decoded."""
    import base64

    answer = httpx.get(f"{hub_url}/api/v1/revocations")
    if answer.status_code != httpx.codes.OK:
        return ""
    payload = answer.json()["payload"]
    return base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)).decode()


# A node alone, shown events by a hub that may lie.


@dataclass
class Alone:
    granting: Granting
    folder: Path
    noted: list[AuditEvent]

    def shown(self, desk: Desk) -> ApplicationShown:
        return ApplicationShown(
            id="A-" + "0" * 32, events=tuple(EVENTS.dump_python(event, mode="json") for event in desk.events)
        )

    def states(self, desk: Desk) -> dict[str, tuple[str, int]]:
        return {one.dataset: (one.state, len(one.visas)) for one in self.granting.take(self.shown(desk))}


@pytest.fixture
def alone(tmp_path: Path) -> Alone:
    return _alone(tmp_path / "fi")


def _alone(folder: Path, *, by_hand: bool = False) -> Alone:
    make_node(folder, HUB, by_hand=by_hand)
    describe_directly(folder)
    noted: list[AuditEvent] = []
    return Alone(_granting(folder, noted), folder, noted)


def _granting(folder: Path, noted: list[AuditEvent], note: Callable[[AuditEvent], None] | None = None) -> Granting:
    """What grants at the node, as its server or a command makes it: each has its own."""
    grants = Grants(open_database(folder / "node.sqlite"))
    return Granting(folder, NodeData(folder, "FI", "FI"), grants=lambda: grants, hub_url=lambda: HUB, note=note or noted.append)


def _agreed() -> Desk:
    desk = Desk()
    desk.submit()
    desk.decide(SET)
    desk.ask("confirmed", "ncp-FI", dataset=SET)
    desk.ask("agreement-drawn", "holder", datasets=[SET], sha256="a" * 64)
    desk.ask("agreement-signed", "official", side="user", sha256="a" * 64)
    desk.ask("agreement-signed", "holder", side="holder", sha256="a" * 64)
    return desk


def test_one_visa_for_each_person_however_often_it_is_shown(alone: Alone) -> None:
    desk = _agreed()
    assert alone.states(desk) == {SET: ("granted", 2), "FI:b": ("ended", 0)}
    assert alone.states(desk)[SET] == ("granted", 2)
    assert [event.tag for event in alone.noted] == ["visa:granted"] * 2
    desk.ask("granted", "holder", dataset=SET, visas=["1", "2"], until=desk.now + timedelta(days=90))
    desk.ask("suspended", "ncp-FI", dataset=SET, reason="A complaint.")
    assert alone.states(desk)[SET] == ("ended", 0)
    desk.decide(SET)
    desk.ask("confirmed", "ncp-FI", dataset=SET)
    assert alone.states(desk)[SET] == ("granted", 2), "it goes on with new visas"
    assert [event.tag for event in alone.noted].count("visa:granted") == 4


def test_a_server_and_a_command_at_once_issue_one_visa_each_person(alone: Alone) -> None:
    desk = _agreed()
    command = _granting(alone.folder, alone.noted)
    with ThreadPoolExecutor(2) as pool:
        told = list(pool.map(lambda one: one.take(alone.shown(desk)), (alone.granting, command)))
    issued = [{visa for line in lines for visa in line.visas} for lines in told]
    assert issued[0] == issued[1], "whoever came second found what the first had issued"
    assert len(Grants(open_database(alone.folder / "node.sqlite")).all()) == len(alone.noted) == 2


def test_no_visa_without_an_entry_in_the_log_and_what_was_cut_off_is_made_whole(alone: Alone) -> None:
    desk, kept = _agreed(), alone.noted
    grants = Grants(open_database(alone.folder / "node.sqlite"))

    def full(event: AuditEvent) -> None:
        if len(kept) == 1:
            raise AuditUnavailable("the disk is full")
        kept.append(event)

    with pytest.raises(AuditUnavailable):
        _granting(alone.folder, kept, full).take(alone.shown(desk))
    [first] = grants.all()
    assert alone.states(desk)[SET] == ("granted", 2)
    assert first.identifier in {one.identifier for one in grants.all()}
    assert [event.tag for event in kept] == ["visa:granted"] * 2
    desk.ask("withdrawn", "researcher")
    with pytest.raises(AuditUnavailable):
        _granting(alone.folder, kept, _never).take(alone.shown(desk))
    assert all(one.revoked_at is not None for one in grants.all()), "a log that is full keeps nobody's visa alive"


def _never(_event: AuditEvent) -> None:
    raise AuditUnavailable("the disk is full")


@pytest.mark.parametrize(
    "said", [{"authority": "IT-dac"}, {"authority": None}, {"country": "IT"}], ids=["other committee", "nobody", "country"]
)
def test_the_holders_word_says_who_decides(alone: Alone, said: dict[str, Any]) -> None:
    _describe(alone.folder, **said)
    assert alone.states(_agreed())[SET] == ("refused", 0)
    assert alone.noted == []


def test_a_hub_that_makes_up_an_approval_gets_nothing(alone: Alone) -> None:
    desk = _agreed()
    decided = next(event for event in desk.events if event.event == "decided")
    proposed = next(event for event in desk.events if event.event == "proposed")
    forged = EVENTS.validate_python({**decided.model_dump(), "by": proposed.by})
    desk.events[desk.events.index(decided)] = forged
    assert alone.states(desk)[SET] == ("refused", 0)
    [waiting] = alone.granting.pending()
    assert waiting.id == "A-" + "0" * 32


def test_a_condition_on_other_visas_is_in_the_visa(alone: Alone) -> None:
    desk = _agreed()
    conditions = ("visa AffiliationAndRole *@institute.example", "Publish.")
    place = next(number for number, event in enumerate(desk.events) if event.event == "proposed")
    desk.events[place] = EVENTS.validate_python({**desk.events[place].model_dump(), "conditions": conditions})
    assert alone.states(desk)[SET] == ("granted", 2)
    for one in Grants(open_database(alone.folder / "node.sqlite")).all():
        stated = read_token(one.visa, what="visa").claims["ga4gh_visa_v1"]
        assert stated["conditions"] == [[{"type": "AffiliationAndRole", "value": "pattern:*@institute.example"}]]


def test_what_an_authority_revoked_is_not_granted_again(alone: Alone) -> None:
    desk = _agreed()
    alone.states(desk)
    grants = Grants(open_database(alone.folder / "node.sqlite"))
    grants.revoke(grants.all()[0].identifier, "Misused.")
    assert alone.states(desk)[SET] == ("ended", 0)


def test_a_person_issues_by_hand(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    alone = _alone(tmp_path / "fi", by_hand=True)
    desk = _agreed()
    assert alone.states(desk)[SET] == ("waits", 0)
    monkeypatch.setattr("cohelix.cli.dac._federation", lambda _folder: (HUB, "FI"))
    shown = CliRunner().invoke(app, ["dac", "pending", str(alone.folder)], catch_exceptions=False)
    assert "waits" in shown.stdout and SET in shown.stdout
    done = CliRunner().invoke(app, ["dac", "issue", str(alone.folder)], catch_exceptions=False)
    assert "granted" in done.stdout and "sends them later" in done.stderr
    again = CliRunner().invoke(app, ["dac", "issue", str(alone.folder)], catch_exceptions=False)
    assert "nothing waits here" in again.stdout


def test_the_async_client_applies_as_the_other_does(loop: Loop) -> None:
    def public(kind: type) -> dict[str, inspect.Signature]:
        return {name: inspect.signature(one) for name, one in vars(kind).items() if not name.startswith("_")}

    assert public(ApplicationsClient) == public(AsyncApplicationsClient)
    browser, url = loop.people["researcher"], loop.hub.url

    async def ask() -> list[Any]:
        async with httpx.AsyncClient(base_url=url, cookies=dict(browser.cookies), headers={"origin": url}) as http:
            client = AsyncApplicationsClient(http, url)
            begun = await client.create(title="By a program", summary="We ask why.")
            saved = await client.save(begun.id, organisation="institute", datasets=[])
            copied = await client.copy(begun.id)
            await client.attach(begun.id, loop.folder / "node.toml.txt")
            with pytest.raises(Conflict):
                await client.act(begun.id, "signing-asked")
            with pytest.raises(BadUsage, match="no member"):
                await client.lines_of(["FI:nothing"])
            with pytest.raises(NotFound):
                await client.agreement(begun.id, "0" * 64)
            events = [one["event"] for one in await client.events(begun.id)]
            return [await client.get(begun.id), await client.list(), saved.form.organisation, copied.form.copy_of, events]

    (loop.folder / "node.toml.txt").write_text("A note.")
    found = asyncio.run(ask())
    client = ApplicationsClient(browser, url)
    assert found[:2] == [client.get(found[0].id), client.list()]
    assert found[2:] == ["institute", found[0].id, ["created", "edited", "edited"]]


# Decisions that their people sign, at a committee that asks for it.


KEYS = {name: ECKey.generate_key("P-256") for name in ("dac-FI-0", "dac-FI-1", "ncp-FI", "somebody")}


def _asks_for_signatures(alone: Alone) -> None:
    known = person("anybody").issuer
    signers = [
        Signer(name, known, KEYS[name].thumbprint(), "country" if name == "ncp-FI" else "committee")
        for name in ("dac-FI-0", "dac-FI-1", "ncp-FI")
    ]
    set_signers(alone.folder, find_authority(alone.folder, "FI-dac"), tuple(signers))


def _signed(shown: ApplicationShown, key_of: Callable[[str], str] = lambda name: name) -> ApplicationShown:
    """As the people's own programs sign: each decision with everything before it."""
    statements = {}
    for number, event in enumerate(shown.events, 1):
        if event["event"] in DECISIONS and (key := KEYS.get(key_of(event["by"]["subject"]))):
            told = {name: value for name, value in event.items() if name not in ("at", "by")}
            after = links(shown.id, shown.events)[number - 1]
            statements[number] = sign_event(key, application=shown.id, after=after, by=event["by"], event=told)
    return shown.model_copy(update={"statements": statements})


def _state_of(alone: Alone, shown: ApplicationShown) -> tuple[str, str]:
    return next((one.state, one.why) for one in alone.granting.take(shown) if one.dataset == SET)


def test_a_committee_that_asks_for_signatures_grants_on_nothing_else(alone: Alone) -> None:
    _asks_for_signatures(alone)
    shown = alone.shown(_agreed())
    assert _state_of(alone, shown) == ("refused", "event 4, voted: who did it has not signed it")
    whole = _signed(shown)
    for number in whole.statements:
        left = {place: one for place, one in whole.statements.items() if place != number}
        assert "has not signed it" in _state_of(alone, whole.model_copy(update={"statements": left}))[1]
    assert "another key" in _state_of(alone, _signed(shown, lambda _name: "somebody"))[1]
    assert _state_of(alone, whole)[0] == "granted"
    [noted, _] = alone.noted
    assert isinstance(noted, VisaGranted)
    head = f"{len(shown.events)}:{links(shown.id, shown.events)[-1]}"
    visa = next(one.visa for one in Grants(open_database(alone.folder / "node.sqlite")).all())
    assert read_token(visa, what="visa").claims["cohelix_application"] == {"id": shown.id, "history": head}
    assert noted.history == head


def test_what_a_dishonest_hub_makes_of_signed_decisions_is_refused(alone: Alone) -> None:
    _asks_for_signatures(alone)
    desk = _agreed()
    honest = _signed(alone.shown(desk))
    votes = [place for place, event in enumerate(honest.events) if event["event"] == "voted"]

    def changed(place: int, **fields: Any) -> tuple[dict[str, Any], ...]:
        return tuple({**event, **fields} if number == place else event for number, event in enumerate(honest.events))

    widened = {**honest.events[0]["form"], "investigations": ["commercial"], "members": []}
    forged = {
        "under another name, to grant anew what was revoked": {"id": "A-" + "1" * 32},
        "for another purpose, and other people": {"events": changed(0, form=widened)},
        "an opinion that was not given": {"events": changed(votes[0], comment="For all that I care.")},
        "one vote for another's": {
            "statements": {**honest.statements, votes[1] + 1: honest.statements[votes[0] + 1]},
        },
    }
    for what, update in forged.items():
        state, why = _state_of(alone, honest.model_copy(update=update))
        assert (state, why != "") == ("refused", True), what
        (alone.folder / "node.sqlite").unlink()  # the hub may try each first
        alone = Alone(_granting(alone.folder, alone.noted), alone.folder, alone.noted)
    assert alone.noted == []
    assert _state_of(alone, honest)[0] == "granted"


def test_a_history_that_was_shown_is_not_shown_otherwise_later(alone: Alone) -> None:
    desk = _agreed()
    shown = alone.shown(desk)
    alone.granting.take(shown)
    desk.ask("granted", "holder", dataset=SET, visas=["1", "2"], until=desk.now + timedelta(days=90))
    desk.ask("suspended", "ncp-FI", dataset=SET, reason="A complaint.")
    assert alone.states(desk)[SET] == ("ended", 0)
    for less in (shown, shown.model_copy(update={"events": alone.shown(desk).events[:-1]})):
        assert "not those that were shown before" in _state_of(alone, less)[1]
    assert alone.states(desk)[SET] == ("ended", 0)
