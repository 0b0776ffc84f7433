"""A hub and three members as processes: one guarded dataset each, authorities at two of them and at the hub, and who asks.

FI and GB decide about their own data. IT's is decided by a committee at the hub and, by IT's own list of trust, by GB's too.
The driver holds the hub's keys: it asks members as a hub would that goes on to send every visa that was ever granted.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import httpx
import numpy as np
import orjson
from sqlalchemy.engine import Engine

from cohelix.access.actor import REGISTERED_ACCESS, VisaKind
from cohelix.access.authority import find_authority
from cohelix.access.broker_keys import BrokerKeys
from cohelix.access.gate import visa_value
from cohelix.access.grants import Grants
from cohelix.access.visas import sign_visa
from cohelix.core.genome import Assembly, region_1based
from cohelix.db import open_database
from cohelix.federation.signing import load_identity, sign_request
from cohelix.hub.identity import open_broker
from cohelix.hub.settings import open_hub_database, read_settings
from cohelix.testing.browser import Browser
from cohelix.testing.cohorts import SimulatedCohort, part_of, simulate_cohort, write_vcf
from cohelix.testing.processes import free_port
from validation.processes import Served, done, inside

MEMBERS: Final = ("FI", "GB", "IT")
PEOPLE: Final = 240
PLANTED: Final = 300.0  # centimetres from which on nobody was ever tall, but those whom a proof looks for
PASSWORD: Final = "a quiet river of maple leaves"
DATASET: Final = "guarded"
CENTRAL: Final = "central"
PROJECT: Final = "proof"
CONTROLLED, REGISTERED = "controlled", "registered"
_PASSPORT_SECONDS: Final = 300
_RENEWED_SECONDS: Final = 120


@dataclass(frozen=True)
class Planted:
    """Somebody who can be found in answers: by an allele that nobody else has, and by a height that nobody else has."""

    individual: str
    variant: str
    height: float


@dataclass
class Member:
    """A node: its folder, its address, and people who can be told apart."""

    id: str
    folder: Path
    port: int
    planted: tuple[Planted, ...]
    common: str
    served: Served | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def dataset(self) -> str:
        return f"{self.id}:{DATASET}"

    def serve(self) -> None:
        """Serve it, at its own address."""
        self.served = Served("node", self.folder, self.port).__enter__()


@dataclass
class Place:
    """The federation, the accounts of the hub's issuer, and the visas that were ever granted, by person and member."""

    folder: Path
    port: int
    members: dict[str, Member] = field(default_factory=dict)
    subjects: dict[str, str] = field(default_factory=dict)
    cookies: dict[str, str] = field(default_factory=dict)
    visas: dict[tuple[str, str], list[str]] = field(default_factory=dict)
    hub: Served | None = None
    _passports: dict[tuple[str, str, int], tuple[float, str]] = field(default_factory=dict)
    _engine: Engine | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def hub_folder(self) -> Path:
        return self.folder / "hub"

    @property
    def issuer(self) -> str:
        return f"{self.url}/broker"

    def serve_hub(self) -> None:
        """Serve the hub, at its own address."""
        self.hub = Served("hub", self.hub_folder, self.port).__enter__()

    def grant(self, who: str, member: str, *, authority: str = "", at: Path | None = None) -> str:
        """A visa for a member's dataset, by its own authority or another's command line; gives its id."""
        folder, subject = at or self.members[member].folder, self.subjects.setdefault(who, f"subject-of-{who}")
        until = (datetime.now(UTC) + timedelta(days=30)).date().isoformat()
        words = ("dac", "grant", folder, "--dataset", self.members[member].dataset, "--to", subject, "--until", until)
        more = ("--authority", authority) if authority else ()
        granted = json.loads(done(*words, *more, "--json").out)["visa"]
        database = self._hub_engine() if folder == self.hub_folder else open_database(str(folder / "node.sqlite"))
        [visa] = [one.visa for one in Grants(database).all() if one.identifier == granted]
        self.visas.setdefault((who, member), []).append(visa)
        return str(granted)

    def grant_abroad(self, who: str, member: str, *, by: str) -> None:
        """A visa that the authority of `by` signs for another member's data, which that member's own list of trust allows."""
        authority, now = find_authority(self.members[by].folder, None), datetime.now(UTC)
        visa = sign_visa(
            authority.keys.current(),
            issuer=authority.issuer,
            jwks=authority.jwks,
            identifier=f"{authority.id}:abroad-{who}",
            subject=self.subjects.setdefault(who, f"subject-of-{who}"),
            subject_issuer=self.issuer,
            kind=VisaKind.CONTROLLED_ACCESS_GRANTS,
            value=visa_value(self.url, self.members[member].dataset),
            source=authority.issuer,
            by="dac",
            asserted=now,
            issued=now,
            expires=now + timedelta(days=30),
        )
        self.visas.setdefault((who, member), []).append(visa)

    def passport(self, who: str, member: str) -> str:
        """A passport for a member, with every visa that the person was ever granted there, and registered access."""
        held = self.visas.get((who, member), [])
        key, kept = (who, member, len(held)), self._passports.get((who, member, len(held)))
        if kept and kept[0] > time.monotonic():
            return kept[1]
        keys, now = BrokerKeys(self.hub_folder / "broker" / "keys"), datetime.now(UTC)
        stated = [
            sign_visa(
                keys.current(),
                issuer=self.issuer,
                jwks=f"{self.issuer}/jwks.json",
                identifier=f"{who}-{kind.value}",
                subject=self.subjects[who],
                subject_issuer=self.issuer,
                kind=kind,
                value=REGISTERED_ACCESS,
                source=self.url,
                by=by,
                asserted=now,
                issued=now,
                expires=now + timedelta(minutes=30),
            )
            for kind, by in ((VisaKind.RESEARCHER_STATUS, "system"), (VisaKind.ACCEPTED_TERMS_AND_POLICIES, "self"))
        ]
        claims = {
            "iss": self.issuer,
            "sub": self.subjects[who],
            "aud": f"urn:cohelix:node:{member}",
            "iat": int(now.timestamp()),
            "exp": int(now.timestamp()) + _PASSPORT_SECONDS,
            "jti": f"{who}-{member}-{now.timestamp()}",
            "ga4gh_passport_v1": [*stated, *held],
        }
        passport = keys.sign(claims, "vnd.ga4gh.passport+jwt")
        self._passports[key] = time.monotonic() + _RENEWED_SECONDS, passport
        return passport

    def question(self, who: str, member: str, name: str, document: Mapping[str, Any]) -> tuple[str, bytes, dict[str, str]]:
        """A signed question as the hub asks it: address, body and headers."""
        passport = self.passport(who, member)
        body = orjson.dumps({**document, "passport": passport, "purpose": "the proof of revocation"})
        url = f"{self.members[member].url}/federation/v1/{name}"
        return url, body, sign_request(load_identity(self.hub_folder), method="POST", url=url, body=body)

    def _hub_engine(self) -> Engine:
        self._engine = self._engine or open_hub_database(self.hub_folder)
        return self._engine


@contextmanager
def served(folder: Path) -> Iterator[Place]:
    """The federation, joined and serving, each server a process of its own."""
    place = Place(folder, free_port())
    with inside():
        engine = _made(place)
    try:
        place.serve_hub()
        for member in place.members.values():
            member.serve()
        with inside():
            _joined(place)
        yield place
    finally:
        for one in (place.hub, *(member.served for member in place.members.values())):
            if one is not None:
                one.stop()
        engine.dispose()


def _made(place: Place) -> Engine:
    """The folders and accounts."""
    done("hub", "init", place.hub_folder, "--url", place.url)
    with (place.hub_folder / "hub.toml").open("a", encoding="utf-8") as settings:
        settings.write("\n[broker]\nembedded = true\n")
    engine = open_hub_database(place.hub_folder)
    broker = open_broker(place.hub_folder, read_settings(place.hub_folder), engine)
    for who in (CONTROLLED, REGISTERED):
        account, _ = broker.accounts.add(who, researcher=True)
        broker.accounts.set_password(account, PASSWORD)
        place.subjects[who] = account.subject
    region = region_1based("22", 20_000_001, 20_030_000)
    sizes = dict.fromkeys(MEMBERS, PEOPLE)
    whole = simulate_cohort(sizes, 400, seed=7, region=region, assembly=Assembly.GRCH37)
    for number, name in enumerate(MEMBERS):
        own = part_of(whole, slice(number * PEOPLE, (number + 1) * PEOPLE))
        place.members[name] = _member(place, name, own)
    return engine


def _joined(place: Place) -> None:
    """Members, authorities that have signed, and sessions of browsers."""
    for member in place.members.values():
        invited = json.loads(done("hub", "invite", place.hub_folder, "--member", member.id, "--json").out)
        done("node", "join", member.folder, invited["token"], "--url", member.url)
    _authorities(place)
    for who in (CONTROLLED, REGISTERED):
        with Browser(place.url) as browser:
            browser.log_in(who, PASSWORD)
            place.cookies[who] = "; ".join(f"{name}={value}" for name, value in browser.cookies.items())


def _authorities(place: Place) -> None:
    for name in ("FI", "GB"):
        done("dac", "init", place.members[name].folder, "--authority", f"{name}-DAC", "--name", f"A committee of {name}")
    words = ("--authority", CENTRAL, "--name", "A committee for several", "--dataset", f"IT:{DATASET}")
    done("dac", "init", place.hub_folder, *words)
    with (place.members["IT"].folder / "node.toml").open("a", encoding="utf-8") as settings:
        for authority in (CENTRAL, "GB-DAC"):
            issuer = f"{place.url}/authorities/{authority}"
            settings.write(f'\n[[trust]]\nissuer = "{issuer}"\nrole = "authority"\njwks = "{issuer}/jwks.json"\n')
            settings.write(f'datasets = ["IT:{DATASET}"]\n')
    until = time.monotonic() + 60
    while not _all_signed(place):
        if time.monotonic() > until:
            raise RuntimeError("the authorities did not sign a list within a minute")
        time.sleep(0.5)


def _all_signed(place: Place) -> bool:
    answer = httpx.get(f"{place.url}/api/v1/revocations", trust_env=False)
    return answer.status_code == 200 and len(answer.json()["signatures"]) == 3


def _member(place: Place, name: str, cohort: SimulatedCohort) -> Member:
    """A node's folder with its people, some of whom have an allele and a height of their own."""
    folder = place.folder / name
    done("node", "init", folder, "--id", name, "--name", f"Bank of {name}", "--country", name)
    with (folder / "node.toml").open("a", encoding="utf-8") as settings:
        settings.write(f'\n[[trust]]\nissuer = "{place.issuer}"\nrole = "broker"\njwks = "{place.issuer}/jwks.json"\n')
    genotypes, table = folder.with_suffix(".vcf.gz"), folder.with_suffix(".tsv")
    write_vcf(cohort, genotypes)
    planted = _planted(cohort)
    heights = {one.individual: one.height for one in planted}
    lines = ["individual_id\tsex\tpopulation\theight [1]"]
    for sample, sex, population, trait in zip(cohort.samples, cohort.sexes, cohort.populations, cohort.trait, strict=True):
        lines.append(f"{sample}\t{sex}\t{population}\t{heights.get(sample, 170 + float(trait)):.3f}")
    table.write_text("\n".join(lines) + "\n", encoding="utf-8")
    words = ("node", "load", folder, "--dataset", DATASET, "--genotypes", genotypes, "--assembly", "GRCh37")
    done(*words, "--individuals", table, "--disclosure", "floored")
    done("node", "projects", folder, "--allow", PROJECT)
    carriers = np.asarray((cohort.alleles > 0).any(axis=2)).sum(axis=1)
    common = int(np.argmin(np.abs(carriers - PEOPLE // 2)))
    return Member(name, folder, free_port(), planted, _name(cohort, common))


def _planted(cohort: SimulatedCohort) -> tuple[Planted, ...]:
    found: dict[str, str] = {}
    carries = np.asarray((cohort.alleles > 0).any(axis=2))
    for row in np.flatnonzero(carries.sum(axis=1) == 1):
        found.setdefault(cohort.samples[int(np.argmax(carries[row, :]))], _name(cohort, int(row)))
    if len(found) < 6:
        raise RuntimeError("the simulated people have too few alleles of their own")
    return tuple(Planted(who, variant, PLANTED + number) for number, (who, variant) in enumerate(found.items()))


def _name(cohort: SimulatedCohort, row: int) -> str:
    return f"22-{int(cohort.positions[row]) + 1}-{cohort.refs[row]}-{cohort.alts[row]}"
