"""Hostile text that is kept first and shown later: applications, events, notices, mails, records, labels, names."""

from __future__ import annotations

import csv
import json
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email import message_from_bytes
from pathlib import Path
from typing import Any

import httpx

from cohelix.access.mail import MailSettings, Post
from cohelix.access.notify import Matter
from cohelix.access.outbox import Letter, Told
from cohelix.bank.description import Description, describe
from cohelix.bank.load import LoadRequest, load
from cohelix.core.ids import DatasetId
from cohelix.core.private_files import replace_private
from cohelix.hub.identity import open_broker
from cohelix.hub.settings import open_hub_database, read_settings
from cohelix.portal.roll import FRESH_SECONDS
from cohelix.testing.browser import Browser
from cohelix.testing.cohorts import write_vcf
from validation.portal.judging import faults_of
from validation.portal.pages import FORM, PASSWORD, PLAN, Town

Look = Callable[[str, str], None]
"""Opens an address as somebody in a real browser."""
_PACK = 20
_TITLE = 290
_MANY = 16  # datasets whose labels are hostile
_SIGNS = dict.fromkeys(map(ord, "\r\n\t\0\x85\u2028"), " ")


@dataclass
class Kept:
    """Keeps texts, and looks at each page that shows them."""

    walked: Town
    corpus: Sequence[str]
    look: Look
    sent: int = 0
    faults: list[str] = field(default_factory=list)
    kept: dict[str, int] = field(default_factory=dict)

    def all(self, told: Callable[[str], None]) -> None:
        """Everything, one kind after the other."""
        for part in (self.forms, self.titles, self.events, self.runs, self.names, self.people, self.mails, self.records):
            part()
            told(f"kept: {part.__name__}, {self.sent} requests, {len(self.faults)} faults")

    def forms(self) -> None:
        """Each text in each field of an application's form, on every page that shows one."""
        me, here = self.walked.browsers["researcher"], f"/applications/{self.walked.draft}"
        shown = (
            here,
            f"{here}/edit",
            f"{here}/report",
            f"{here}/form.txt",
            "/applications",
            "/basket",
            f"/api/v1{here}/report",
        )
        for number, text in enumerate(self.corpus):
            others = [self.corpus[(number + 7 * place) % len(self.corpus)] for place in range(6)]
            form = {
                **FORM,
                "title": text[:300],
                "summary": others[1],
                "plan": others[2],
                "organisation": others[3][:300],
                "diseases": [others[4]],
                "investigations": [others[5]],
                "members": [{"subject": text[:200], "issuer": f"{self.walked.url}/broker"}],
            }
            for left_out in ((), ("members",), ("members", "diseases", "investigations")):
                document = {name: value for name, value in form.items() if name not in left_out}
                if self._send(me, "PUT", f"/api/v1{here}/form", document, "an application's form").is_success:
                    break
            for address in shown:
                self._see("researcher", address, text)
            if number % 8 == 0:
                self.look("researcher", here)
                self.look("researcher", f"{here}/edit")
        me.put(f"/api/v1{here}/form", json=FORM, headers=self._own)

    def titles(self) -> None:
        """Titles in lists, desks and notices of others, with the reasons that send an application back."""
        me, official = self.walked.browsers["researcher"], self.walked.browsers["official"]
        for title, reason in zip(_packs(self.corpus, 5), _packs(self.corpus[::-1], 5), strict=True):
            form = {**FORM, "title": _joined(title)[:_TITLE], "plan": "A plan."}
            begun = self._send(me, "POST", "/api/v1/applications", {"form": form}, "an application")
            one = f"/api/v1/applications/{begun.json()['id']}"
            self._send(me, "POST", f"{one}/events", {"event": "signing-asked"}, "a wish for a signature")
            self._see("official", "/desk/signing", title[0])
            self._send(official, "POST", f"{one}/events", {"event": "signing-refused", "reason": _joined(reason)}, "a refusal")
            for who in ("researcher", "official"):
                self._see(who, "/notices", title[0])
            self._see("researcher", one.removeprefix("/api/v1"), title[0])
            self._send(me, "POST", f"{one}/events", {"event": "withdrawn"}, "a withdrawal")
        for who in ("researcher", "official"):
            self.look(who, "/notices")
        self.look("researcher", "/applications")

    def events(self) -> None:
        """What people write with events of an application in review, for every reader of it."""
        people = self.walked.browsers
        form = {**FORM, "plan": "A plan."}
        begun = self._send(people["researcher"], "POST", "/api/v1/applications", {"form": form}, "an application")
        here = f"/applications/{begun.json()['id']}"
        self._send(people["researcher"], "POST", f"/api/v1{here}/events", {"event": "signing-asked"}, "a wish for a signature")
        self._send(people["official"], "POST", f"/api/v1{here}/events", {"event": "signed"}, "a signature")
        dataset = FORM["lines"][0]["dataset"]
        for pack in _packs(self.corpus, _PACK):
            text = _joined(pack)
            for who, document in (
                ("committee", {"event": "asked", "text": text}),
                ("researcher", {"event": "answered", "text": text}),
                ("committee", {"event": "checked", "dataset": dataset, "points": {one[:300]: True for one in pack}}),
                ("committee", {"event": "voted", "dataset": dataset, "vote": "approve", "comment": text}),
                (
                    "committee",
                    {"event": "proposed", "dataset": dataset, "decision": "deny", "reason": text, "conditions": list(pack)},
                ),
                ("committee", {"event": "proposed", "dataset": dataset, "decision": "deny", "reason": text}),
            ):
                self._send(people[who], "POST", f"/api/v1{here}/events", document, f"an event {document['event']}")
            for who in people:
                for address in (here, f"{here}/datasets/{dataset}", f"{here}/report", "/desk/committee", "/desk", "/notices"):
                    self._see(who, address, pack[0])
            for number in range(1, 16):
                self._see("committee", f"{here}/events/{number}", pack[0])
            self.look("committee", f"{here}/datasets/{dataset}")
            self.look("researcher", here)
        self.look("auditor", f"{here}/report")

    def runs(self) -> None:
        """Names of projects and traits in plans that members refuse."""
        me = self.walked.browsers["researcher"]
        for number, text in enumerate(self.corpus):
            plan = {**PLAN, "project": text[:200], "datasets": ["IT:sim"]}
            if number % 2:
                plan = {**PLAN, "project": "x", "datasets": ["IT:sim"], "method": "linear", "trait": {"measurement": text}}
                plan = {name: value for name, value in plan.items() if name not in ("case", "control")}
            answer = self._send(me, "POST", "/api/v1/analyses", plan, "a plan")
            if answer.is_success:
                self._see("researcher", f"/analyses/{answer.json()['id']}", text)
                if number % 16 < 2:
                    self.look("researcher", f"/analyses/{answer.json()['id']}")
            if number % 8 == 0:
                self._see("researcher", "/analyses", text)
        self.look("researcher", "/analyses")

    def names(self) -> None:
        """Names of members, as a dishonest one would have joined with."""
        file = self.walked.federation.folder / "members.json"
        document = json.loads(file.read_bytes())
        before = {one: told["name"] for one, told in document["members"].items()}
        variant = f"/variant/{self.walked.variant}?assembly=GRCh37"
        pages = (
            "/",
            variant,
            "/datasets",
            "/datasets/EE:sim",
            "/cohorts?cohort=sex=female",
            "/about",
            "/analyses/new?project=x",
        )
        rounds = list(_packs(self.corpus, 5 * len(before)))
        for texts in (*rounds, ()):
            document = json.loads(file.read_bytes())
            for place, one in enumerate(before):
                document["members"][one]["name"] = _joined(texts[place::5])[:200] if texts else before[one]
            replace_private(file, json.dumps(document).encode())
            for address in pages if texts else ():
                self._see("researcher", address, texts[0])
                self.look("researcher", address)
            if texts:
                self._see("auditor", "/operate", texts[0])
                self.look("auditor", "/operate")
                self.kept["a member's name"] = self.kept.get("a member's name", 0) + len(before)

    def people(self) -> None:
        """Names that people are shown by."""
        folder = self.walked.federation.folder
        broker = open_broker(folder, read_settings(folder), open_hub_database(folder))
        for number, pack in enumerate(_packs(self.corpus, _PACK)):
            account, _ = broker.accounts.add(f"guest{number}", shown=_joined(pack)[:_TITLE], researcher=True)
            broker.accounts.set_password(account, PASSWORD)
            with Browser(self.walked.url) as browser:
                browser.log_in(f"guest{number}", PASSWORD)
                for address in ("/account", "/", "/applications"):
                    self._judge(browser, browser.get(address), f"{address} of somebody called so", pack[0])
            self.kept["a person's name"] = self.kept.get("a person's name", 0) + 1

    def mails(self) -> None:
        """Titles and the federation's own name in mails: no header comes of one."""
        plain = self._mail("A title", "A federation")
        for text in self.corpus:
            for title, name in ((text, "A federation"), ("A title", text)):
                mail = self._mail(title, name)
                if mail.keys() != plain.keys() or mail.is_multipart() or mail.get_content_type() != "text/plain":
                    self.faults.append(f"a mail with {text[:50]!r}: {mail.keys()}")
                self.sent += 1
        self.kept["a mail"] = 2 * len(self.corpus)

    def records(self) -> None:
        """Titles and descriptions of datasets, and labels of people in them, on pages and in files."""
        node, cohort = self.walked.federation.folders["EE"], self.walked.federation.cohorts["EE"]
        labels = [text.translate(_SIGNS).strip()[:100] or "x" for text in self.corpus]
        taken = 0
        for number in range(_MANY):
            own = [labels[(number * _PACK + place) % len(labels)] for place in range(_PACK)]
            people = node.parent / f"hostile{number}.tsv"
            genotypes = node.parent / "hostile.vcf.gz"
            if number == 0:
                write_vcf(cohort, genotypes)
            with people.open("w", encoding="utf-8", newline="") as out:
                table = csv.writer(out, delimiter="\t", lineterminator="\n")
                table.writerow(("individual_id", "sex", "population"))
                for place, (one, sex) in enumerate(zip(cohort.samples, cohort.sexes, strict=True)):
                    table.writerow((one, sex, own[place % _PACK]))
            taken += _loaded(node, f"h{number}", genotypes, people)
        self.kept["a dataset with labels"] = taken
        names = [one.name for one in (node / "datasets").iterdir() if one.name.startswith("h")]
        variant, region = f"/variant/{self.walked.variant}", "/region/22:20000001-20002000"
        query = "?assembly=GRCh37"
        files = [f"{variant}/counts.{kind}{query}" for kind in ("csv", "tsv", "parquet")]
        files += [f"{region}/variants.{kind}{query}" for kind in ("csv", "tsv", "parquet", "json")]
        for turn, texts in enumerate(_packs(self.corpus, 5 * max(1, len(names)))):
            for place, name in enumerate(names):
                title = _joined(texts[place :: len(names)])[:300] or "x"
                describe(
                    node, DatasetId(name), Description(title=title, description=_joined(self.corpus[turn::4][place::_MANY]))
                )
                self.kept["a dataset's record"] = self.kept.get("a dataset's record", 0) + 1
            self._wait_for_roll()
            pages = (
                "/",
                "/datasets",
                "/catalogue",
                "/analyses/new",
                "/cohorts?cohort=sex=female",
                f"{variant}{query}",
                f"{region}{query}",
            )
            for address in (*pages, *(f"/datasets/EE:{name}" for name in names), *files, "/account"):
                self._see("researcher", address, texts[0])
            for address in (*pages, f"/datasets/EE:{names[0]}"):
                self.look("researcher", address)

    def _wait_for_roll(self) -> None:
        time.sleep(FRESH_SECONDS + 0.5)

    def _mail(self, title: str, name: str) -> Any:
        now = datetime(2026, 1, 1, tzinfo=UTC)
        settings = MailSettings.model_validate({"host": "127.0.0.1", "from": "hub@example.org", "security": "none"})
        post = Post(settings, self.walked.federation.folder, hub_url="https://hub.example.org", name=name)
        told = Told("n1", "A-1", Matter.SIGN, "FI:sim", title, now, now, False)
        return message_from_bytes(post.message(Letter(told, "reader@example.org", 1, "de")).as_bytes())

    @property
    def _own(self) -> dict[str, str]:
        return {"origin": self.walked.url}

    def _send(self, browser: Browser, method: str, path: str, document: Any, what: str) -> httpx.Response:
        answer = browser.request(method, path, json=document, headers=self._own)
        self._judge(browser, answer, what, str(document))
        self.kept[what] = self.kept.get(what, 0) + answer.is_success
        return answer

    def _see(self, who: str, address: str, text: str) -> None:
        browser = self.walked.browsers[who]
        self._judge(browser, browser.get(address), f"{address} as {who}", text)

    def _judge(self, _browser: Browser, answer: httpx.Response, what: str, text: str) -> None:
        self.sent += 1
        found = faults_of(answer, self.walked.url)
        if answer.headers.get("content-type") == "application/vnd.apache.parquet" and answer.content[:4] != b"PAR1":
            found.append("is no table")
        self.faults.extend(f"{what} after {text[:60]!r} was kept: {one}" for one in found)


def _loaded(node: Path, name: str, genotypes: Path, people: Path) -> bool:
    from cohelix.core.genome import Assembly

    load(
        node,
        LoadRequest(
            dataset=DatasetId(name),
            genotypes=(genotypes,),
            assembly=Assembly.GRCH37,
            individuals=people,
            disclosure="open",
            simulated=True,
        ),
    )
    return True


def _packs(corpus: Sequence[str], most: int) -> Iterator[Sequence[str]]:
    for start in range(0, len(corpus), most):
        yield corpus[start : start + most]


def _joined(texts: Sequence[str]) -> str:
    """As one text; without NUL, for which the hub refuses the whole."""
    return "\n".join(texts).replace("\0", " ")
