"""The matrix: every state of a person, type of dataset and question; what the policy says, and what a node answers."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final, NamedTuple

import httpx
import numpy as np
import orjson
from joserfc import jwt
from joserfc.jwk import ECKey

from cohelix import node
from cohelix.access.actor import REGISTERED_ACCESS, Actor, Role, Visa, VisaKind
from cohelix.access.authority import Authority, init_authority
from cohelix.access.grants import Grants
from cohelix.access.policy import Decision, Disclosure, Purpose, Revocations, Terms, decide
from cohelix.access.visas import sign_visa
from cohelix.bank import Bank
from cohelix.bank.consent import ConsentMode
from cohelix.bank.load import LoadRequest, load
from cohelix.core.genome import Assembly, region_1based
from cohelix.core.ids import DatasetId, NodeId
from cohelix.db import open_database
from cohelix.federation.joining import write_pinned
from cohelix.federation.signing import Identity, create_identity, sign_request
from cohelix.node.app import create_app
from cohelix.phenotypes.consents import SCOPES, Scope
from cohelix.testing.cohorts import SimulatedCohort, simulate_cohort, write_vcf
from cohelix.testing.federation import address_of, free_listener, running_app
from cohelix.testing.revocations import hub_address, serving_lists
from cohelix.wire.federation import PinnedHub
from cohelix.wire.packed import pack, unpack

HUB: Final = hub_address()  # which has a list of revocations, and nothing else
BROKER: Final = f"{HUB}/broker"
CENTRAL: Final = f"{HUB}/authorities/central"
AUDIENCE: Final = "urn:cohelix:node:FI"
PEOPLE: Final = 160
DATASETS: Final[Mapping[str, Disclosure]] = {"open": "open", "floored": "floored", "closed": "closed"}
BOUNDS: Final = (0.60, 1.0)  # what the operator lets everybody ask: the data are above the first
MODES: Final[Mapping[float, ConsentMode]] = {0.60: "opt-out", 1.0: "opt-in"}  # who has said nothing is in, or out
PURPOSE: Final = "the matrix"
TIERS: Final = ("nobody", "known", "registered")
VISAS: Final = (
    "none",
    "valid",
    "expired",
    "revoked",
    "other dataset",
    "other person",
    "other node",
    "untrusted issuer",
    "forged",
    "not revocable",
    "passport expired",
    "passport for another node",
    "passport forged",
)
# What the person who is asked about has said; none where nothing was.
CONSENTS: Final[Mapping[str, Mapping[Scope, bool]]] = {
    "given": dict.fromkeys(SCOPES, True),
    "unspoken": {},
    "withdrawn": dict.fromkeys(SCOPES, False),
    **{f"no {scope}": {one: one != scope for one in SCOPES} for scope in SCOPES},
}
ALIKE: Final = 11  # of each sex say the same: more than any floor, so that releases leave out nobody for others' sake
QUESTIONS: Final = ("rare allele", "region", "beacon variant", "beacon people", "people", "person", "analysis")
# What a question's exact answer is made of: people who agree to this.
SCOPE_OF: Final[Mapping[str, Scope]] = {
    **dict.fromkeys(("rare allele", "region", "beacon variant"), "frequencies"),
    "person": "individual-queries",
    "analysis": "secondary-use",
}
COHORT: Final = 60  # people of the analysis, whom the person who is asked about makes a round number
_MARKED: Final = 9
_BATCH: Final = 200  # people whose documents, which last ten minutes, are made together
ACCESS_RULES: Final = ("project", "visa-required", "visa-revoked", "revocation-unknown", "passport-refused")


class Seen(NamedTuple):
    """What a node's answer shows of one dataset: refused, floored or exact, the reason, and whether the person is in it."""

    level: str
    reason: str = ""
    person: bool | None = None


@dataclass(frozen=True)
class Case:
    """One cell: who asks, with which visa and role, under which bound, about somebody who has said what.

    The role must make no difference.
    """

    tier: str
    visa: str
    role: Role | None
    bound: float
    consent: str = "given"

    def __str__(self) -> str:
        said = f"{MODES[self.bound]}, consent {self.consent}"
        return f"{self.tier}, visa {self.visa}, {self.role or 'no role'}, bound {self.bound}, {said}"

    def agrees(self, scope: Scope) -> bool:
        """Whether the person who is asked about agrees to a use."""
        return CONSENTS[self.consent].get(scope, MODES[self.bound] == "opt-out")


def cases(rounds: int = len(CONSENTS)) -> Iterator[Case]:
    """All cells that can be: somebody unknown has no visa and no role. Fewer `rounds` try fewer consents of each, in turn."""
    turn = itertools.cycle(CONSENTS)
    for _ in range(rounds):
        for bound in BOUNDS:
            yield Case("nobody", "none", None, bound, next(turn))
            for tier in TIERS[1:]:
                for visa in VISAS:
                    for role in (None, *Role):
                        yield Case(tier, visa, role, bound, next(turn))
        next(turn)  # what was asked about one is asked about the next


@dataclass(frozen=True)
class Signer:
    """A key pair of an issuer."""

    kid: str
    private: ECKey

    @classmethod
    def new(cls, kid: str) -> Signer:
        """With a new key."""
        return cls(kid, ECKey.generate_key("P-256"))

    @property
    def public(self) -> dict[str, Any]:
        """As lists of trust pin it."""
        return {**self.private.as_dict(private=False), "kid": self.kid, "use": "sig", "alg": "ES256"}


@dataclass(frozen=True)
class Asker:
    """A person of a case: as the policy sees them, and the passport that the node is sent."""

    case: Case
    actor: Actor
    passport: str | None
    revocations: Revocations
    refused_passport: bool = False


@dataclass
class Nodes:
    """A served node for each bound, the identity of the hub that they have pinned, and the keys that they trust."""

    urls: dict[float, str]
    authorities: dict[float, Authority]
    grants: dict[float, Grants]
    powers: dict[str, float | None]
    hub: Identity
    broker: Signer
    central: Signer
    stranger: Signer
    client: httpx.Client
    questions: Mapping[str, Mapping[str, tuple[str, dict[str, Any]]]]

    def asker(self, case: Case, number: int) -> Asker:
        """A person of a case; the one of each number is another, so that nobody spends another's budget."""
        if case.tier == "nobody":
            return Asker(case, Actor(), None, Revocations())
        subject, now, authority = f"person-{number}", datetime.now(UTC), self.authorities[case.bound]
        stated = list(self._stated(case, subject, now))
        granted = list(self._granted(case, subject, now)) if case.visa != "none" else []
        late = 900 if case.visa == "passport expired" else 0
        claims = {
            "iss": BROKER,
            "sub": subject,
            "aud": "urn:cohelix:node:GB" if case.visa == "passport for another node" else AUDIENCE,
            "iat": int(now.timestamp()) - late,
            "exp": int(now.timestamp()) - late + 600,
            "jti": f"passport-{number}",
            "ga4gh_passport_v1": [document for document, _ in (*stated, *granted)],
        }
        header = {"alg": "ES256", "typ": "vnd.ga4gh.passport+jwt", "kid": self.broker.kid}
        signer = self.stranger if case.visa == "passport forged" else self.broker
        passport = jwt.encode(header, claims, signer.private)
        if case.visa.startswith("passport"):
            return Asker(case, Actor(), passport, Revocations(), refused_passport=True)
        visas = tuple(visa for _, visa in (*stated, *granted) if visa is not None)
        revoked = {authority.issuer: frozenset(visa.identifier for visa in visas if case.visa == "revoked")}
        known = Revocations(revoked, {authority.issuer: now + timedelta(hours=1)})
        return Asker(case, Actor(subject, BROKER, frozenset(), visas, now + timedelta(seconds=600)), passport, known)

    def _stated(self, case: Case, subject: str, now: datetime) -> Iterator[tuple[str, Visa]]:
        """What the broker says of the person: registered access, and the role, which opens nothing."""
        said = []
        if case.tier == "registered":
            said += [
                (VisaKind.RESEARCHER_STATUS, REGISTERED_ACCESS, "so"),
                (VisaKind.ACCEPTED_TERMS_AND_POLICIES, REGISTERED_ACCESS, "self"),
            ]
        if case.role is not None:
            said.append((VisaKind.AFFILIATION_AND_ROLE, f"{case.role.value}@fi.example", "system"))
        for kind, value, by in said:
            made = _Made(f"{subject}-{kind.value}", kind, value, by, now - timedelta(hours=1), now + timedelta(minutes=30))
            yield made.signed(self.broker, BROKER, subject), made.seen(BROKER, subject)

    def _granted(self, case: Case, subject: str, now: datetime) -> Iterator[tuple[str, Visa | None]]:
        """Grants of both datasets that are not open, as the case has them: each document, and what a policy may see of it."""
        authority, grants = self.authorities[case.bound], self.grants[case.bound]
        for dataset in ("floored", "closed"):
            if case.visa in ("valid", "revoked"):
                until = now + timedelta(days=1)
                named = f"FI:{dataset}"
                grant = grants.grant(authority, hub_url=HUB, dataset=named, subject=subject, subject_issuer=BROKER, until=until)
                if case.visa == "revoked":
                    grants.revoke(grant.identifier)
                value, kind = f"{HUB}/datasets/FI:{dataset}", VisaKind.CONTROLLED_ACCESS_GRANTS
                made = _Made(grant.identifier, kind, value, "dac", now, until)
                yield grant.visa, made.seen(authority.issuer, subject)
                continue
            named = {"other dataset": "FI:elsewhere", "other node": f"GB:{dataset}"}.get(case.visa, f"FI:{dataset}")
            issuer, key = authority.issuer, Signer(authority.keys.current().kid, authority.keys.current().private)
            if case.visa == "untrusted issuer":
                issuer, key = "http://stranger.example", self.stranger
            elif case.visa == "forged":
                key = Signer(key.kid, self.stranger.private)
            elif case.visa == "not revocable":
                issuer, key = CENTRAL, self.central
            ends = now - timedelta(hours=1) if case.visa == "expired" else now + timedelta(days=1)
            value, kind = f"{HUB}/datasets/{named}", VisaKind.CONTROLLED_ACCESS_GRANTS
            made = _Made(f"{subject}-{dataset}", kind, value, "dac", now - timedelta(hours=2), ends)
            whose = "somebody-else" if case.visa == "other person" else subject
            holds = case.visa in ("other dataset", "other node", "not revocable")
            yield made.signed(key, issuer, whose), made.seen(issuer, subject) if holds else None

    def expected(self, asker: Asker, dataset: str, project: str = "") -> Decision:
        """What the policy says."""
        terms = Terms(
            dataset=f"FI:{dataset}",
            disclosure=DATASETS[dataset],
            membership_power=self.powers[dataset],
            anonymous_power_max=asker.case.bound,
            visa_value=f"{HUB}/datasets/FI:{dataset}",
            authorities=frozenset((self.authorities[asker.case.bound].issuer, CENTRAL)),
        )
        return decide(
            asker.actor,
            terms,
            Purpose(PURPOSE, project),
            datetime.now(UTC),
            revocations=asker.revocations,
            refused_passport="it was refused" if asker.refused_passport else "",
        )

    def answers(self, asker: Asker, question: str) -> dict[str, Seen]:
        """What the node says to one question, by dataset."""
        name, document = self.questions[asker.case.consent][question]
        more = {} if asker.passport is None else {"passport": asker.passport, "purpose": PURPOSE}
        body = orjson.dumps({**document, **more})
        if name.startswith("analysis"):
            return {dataset: self._analysis(asker, dataset, {**document, **more}) for dataset in DATASETS}
        answer = self._ask(asker.case.bound, name, body)
        assert answer.status_code == 200, (str(asker.case), question, answer.text)
        read = _persons if question == "person" else _READ[name]
        return read(answer.json(), self.questions[asker.case.consent]["rare allele"][1]["variant"])

    def _analysis(self, asker: Asker, dataset: str, document: dict[str, Any]) -> Seen:
        plan = {**document["plan"], "datasets": [f"FI:{dataset}"]}
        answer = self._ask(asker.case.bound, "analysis-check", pack({**document, "plan": plan}))
        assert answer.status_code == 200, (str(asker.case), dataset, answer.text)
        said = unpack(answer.content).document
        rule = said["refusal"]["rule"] if said["refusal"] else ""
        return Seen("refused" if rule in ACCESS_RULES else "exact", rule, None if rule else said["people"] >= COHORT)

    def _ask(self, bound: float, question: str, body: bytes) -> httpx.Response:
        url = f"{self.urls[bound]}/federation/v1/{question}"
        return self.client.post(url, content=body, headers=sign_request(self.hub, method="POST", url=url, body=body))


class _Made(NamedTuple):
    """A visa in the making."""

    identifier: str
    kind: VisaKind
    value: str
    by: str
    issued: datetime
    expires: datetime

    def signed(self, key: Signer, issuer: str, subject: str) -> str:
        """Its document."""
        return sign_visa(
            key,
            issuer=issuer,
            jwks=f"{issuer}/jwks.json",
            identifier=self.identifier,
            subject=subject,
            subject_issuer=BROKER,
            kind=self.kind,
            value=self.value,
            source=issuer,
            by=self.by,
            asserted=self.issued,
            issued=self.issued if self.issued < self.expires else self.expires - timedelta(hours=1),
            expires=self.expires,
        )

    def seen(self, issuer: str, subject: str) -> Visa:
        """What a policy sees of it."""
        return Visa(self.identifier, self.kind, self.value, issuer, self.by, issuer, subject, self.issued, self.expires)


def matches(decision: Decision, question: str, seen: Seen) -> bool:
    """Whether a node's answer is what the policy says."""
    if question == "analysis":
        return seen.level == ("exact" if decision.analyses else "refused")
    level = decision.people if question in ("beacon people", "people", "person") else decision.genomic
    if question == "person" and level == "floored":
        return seen.level == "refused"  # floored data count nobody by what one person alone has
    if level == "refused":
        return seen.level == "refused" and seen.reason.startswith(decision.reasons[0].slug)
    if level == "floored" and decision.tier == "registered" and seen.reason.startswith("budget-spent"):
        return True
    return seen.level == level


def keeps_consent(case: Case, question: str, seen: Seen) -> bool:
    """Whether an answer holds the person exactly where the person agrees; what is not exact tells of nobody."""
    if question not in SCOPE_OF:
        return True
    return seen.person is case.agrees(SCOPE_OF[question]) if seen.level == "exact" else not seen.person


def mismatches(nodes: Nodes, chosen: Sequence[Case], note: Callable[[str], None] = lambda _line: None) -> tuple[int, list[str]]:
    """Ask every question of every case; how many cells were tried, and those in which node and policy differ."""
    tried, found = 0, []
    for start in range(0, len(chosen), _BATCH):
        askers = [nodes.asker(case, number) for number, case in enumerate(chosen[start : start + _BATCH], start)]
        time.sleep(1.5)  # a node looks at its own revocations every second
        for asker in askers:
            for question in QUESTIONS:
                for dataset, seen in nodes.answers(asker, question).items():
                    tried += 1
                    decision = nodes.expected(asker, dataset)
                    if not matches(decision, question, seen):
                        found.append(f"{asker.case}: {question} of {dataset}: {seen} where the policy says {decision}")
                    elif not keeps_consent(asker.case, question, seen):
                        found.append(f"{asker.case}: {question} of {dataset}: {seen} by what the person agrees to")
        note(f"{start + len(askers)} of {len(chosen)} people, {len(found)} mismatches")
    return tried, found


@contextmanager
def served(folder: Path) -> Iterator[Nodes]:
    """The node, once for each bound, of simulated people with a common and a rare allele."""
    region = region_1based("22", 20_000_001, 20_004_000)
    cohort = simulate_cohort({"FIN": PEOPLE}, 180, seed=5, region=region, assembly=Assembly.GRCH37)
    write_vcf(cohort, folder / "people.vcf.gz")
    asked_about = _asked_about(cohort)
    _write_people(folder, cohort, asked_about)
    hub = _identity(folder / "hub")
    broker, central, stranger = (Signer.new(name) for name in ("broker-1", "central-1", "stranger-1"))
    urls: dict[float, str] = {}
    nodes = Nodes(urls, {}, {}, {}, hub, broker, central, stranger, httpx.Client(trust_env=False, timeout=30), {})
    with ExitStack() as stack:
        stack.enter_context(nodes.client)
        stack.enter_context(serving_lists(HUB, lambda: tuple(nodes.authorities.values())))
        for bound in BOUNDS:
            place = folder / f"FI-{bound}"
            node.init_node(place, node="FI", name="Finland", country="FI")
            for dataset, disclosure in DATASETS.items():
                load(
                    place,
                    LoadRequest(
                        dataset=DatasetId(dataset),
                        genotypes=(folder / "people.vcf.gz",),
                        assembly=Assembly.GRCH37,
                        individuals=folder / "people.tsv",
                        consent=MODES[bound],
                        consents=folder / "choices.tsv",
                        disclosure=disclosure,
                        simulated=True,
                    ),
                )
            with (place / "node.toml").open("a", encoding="utf-8") as settings:
                settings.write(_settings(bound, broker, central))
            nodes.authorities[bound] = init_authority(place, authority="FI", name="Finland", hub_url=HUB, datasets=("FI:*",))
            nodes.grants[bound] = Grants(open_database(str(place / "node.sqlite")))
            listener = free_listener()
            urls[bound] = address_of(listener)
            write_pinned(
                place, PinnedHub(hub_url=HUB, hub_key=hub.public, node_url=urls[bound], joined_at="2026-01-01T00:00:00Z")
            )
            stack.enter_context(running_app(create_app(place), listener))
            bank = Bank.open(place, NodeId("FI"))
            nodes.powers = {name: bank.view(DatasetId(name)).membership_power for name in DATASETS}
        nodes.questions = {
            consent: _questions(_name(cohort, row), number) for number, (consent, (_, row)) in enumerate(asked_about.items(), 1)
        }
        yield nodes


def _asked_about(cohort: SimulatedCohort) -> dict[str, tuple[int, int]]:
    """By consent, the person (by number) who is asked about, and the row of an allele that nobody else has."""
    carries = np.asarray((cohort.alleles > 0).any(axis=2))
    alone: dict[int, int] = {}
    for row in np.flatnonzero(carries.sum(axis=1) == 1):
        alone.setdefault(int(np.argmax(carries[row, :])), int(row))
    assert len(alone) >= len(CONSENTS), alone
    return dict(zip(CONSENTS, alone.items(), strict=False))


def _write_people(folder: Path, cohort: SimulatedCohort, asked_about: Mapping[str, tuple[int, int]]) -> None:
    """Who they are, and what each has said: as many say what each of those who are asked about says, all others agree."""
    said = {person: consent for consent, (person, _) in asked_about.items()}
    marks = {person: place for place, person in enumerate(said, 1)}
    for sex in sorted(set(cohort.sexes)):
        others = iter(number for number in range(PEOPLE) if cohort.sexes[number] == sex and number not in marks)
        for consent in CONSENTS:
            already = cohort.sexes[asked_about[consent][0]] == sex
            said |= {next(others): consent for _ in range(ALIKE - already)} if consent != "given" else {}
        said |= dict.fromkeys(others, "given")
    agreeing = [person for person in sorted(said) if CONSENTS[said[person]].get("secondary-use") and person not in marks]
    marks |= dict.fromkeys(agreeing[: COHORT - 1], _MARKED)
    table, choices = ["individual_id\tsex\tpopulation\theight [1]\tmark [1]"], ["\t".join(("individual_id", *SCOPES))]
    for number, sample in enumerate(cohort.samples):
        words = (sample, cohort.sexes[number], cohort.populations[number])
        table.append("\t".join((*words, f"{cohort.trait[number]:.4f}", str(marks.get(number, 0)))))
        told = CONSENTS[said[number]]
        choices.append("\t".join((sample, *(("yes" if told[scope] else "no") if scope in told else "" for scope in SCOPES))))
    for name, lines in (("people.tsv", table), ("choices.tsv", choices)):
        (folder / name).write_text("\n".join(lines) + "\n", encoding="utf-8")


def _name(cohort: SimulatedCohort, row: int) -> str:
    return f"22-{int(cohort.positions[row]) + 1}-{cohort.refs[row]}-{cohort.alts[row]}"


def _identity(folder: Path) -> Identity:
    folder.mkdir()
    return create_identity(folder)


def _settings(bound: float, broker: Signer, central: Signer) -> str:
    def entry(issuer: str, role: str, key: Signer, more: str = "") -> str:
        pinned = ", ".join(f'{name} = "{value}"' for name, value in key.public.items())
        return f'\n[[trust]]\nissuer = "{issuer}"\nrole = "{role}"\njwks = "{issuer}/jwks.json"\nkeys = [{{{pinned}}}]\n{more}'

    return (
        f"\n[disclosure]\nanonymous_power_max = {bound}\n"
        + entry(BROKER, "broker", broker)
        + entry(CENTRAL, "authority", central, 'datasets = ["FI:*"]\n')
    )


def _questions(rare: str, mark: int) -> dict[str, tuple[str, dict[str, Any]]]:
    """Each question: its name at the node's door, and the message."""
    plan = {
        "project": "matrix",
        "assembly": "GRCh37",
        "trait": {"measurement": "height"},
        "covariates": ["sex"],
        "cohort": {"any": [{"measurement": "mark", "=": mark}, {"measurement": "mark", "=": _MARKED}]},
        "variants": {"region": "22:20000001-20004000", "maf_min": 0.05},
        "method": "linear",
    }
    variant: dict[str, Any] = dict(
        zip(("referenceName", "start", "referenceBases", "alternateBases"), rare.split("-"), strict=True)
    )
    variant["start"] = [int(variant["start"]) - 1]
    beacon = {"requestParameters": {**variant, "assemblyId": "GRCh37"}, "requestedGranularity": "record"}
    beacon["includeResultsetResponses"] = "ALL"
    people = {"requestedGranularity": "record", "includeResultsetResponses": "ALL"}
    meta = {"apiVersion": "v2.0"}
    return {
        "rare allele": ("frequency", {"variant": rare, "assembly": "GRCh37"}),
        "region": ("region", {"region": "22:20000001-20004000", "assembly": "GRCh37", "limit": 500}),
        "beacon variant": ("beacon", {"path": "g_variants", "body": {"meta": meta, "query": beacon}}),
        "beacon people": ("beacon", {"path": "individuals", "body": {"meta": meta, "query": people}}),
        "people": ("cohort-count", {"expression": {"sex": "female"}, "datasets": []}),
        "person": ("cohort-count", {"expression": {"measurement": "mark", "=": mark}, "datasets": []}),
        "analysis": ("analysis-check", {"plan": plan}),
    }


def _local(name: str) -> str:
    return name.partition(":")[2]


def _frequencies(document: Any, _rare: str) -> dict[str, Seen]:
    """An answer with genotypes of everybody is exact; a total alone, or too few to tell, is what floors leave."""
    found = {}
    for one in document["datasets"]:
        rows, status = one["populations"], one["status"]
        if status == "refused":
            found[_local(one["id"])] = Seen("refused", one["reason"])
        elif status == "below_floor" or rows[0]["homozygotes"] is None or _floored_only(rows):
            found[_local(one["id"])] = Seen("floored", one["reason"] or "")
        else:
            found[_local(one["id"])] = Seen("exact", person=rows[0]["alleleCount"] == 1)
    return found


def _floored_only(rows: Sequence[Mapping[str, Any]]) -> bool:
    return any(row["alleleCount"] is None for row in rows)


def _regions(document: Any, rare: str) -> dict[str, Seen]:
    """The exact answer alone has alleles of a single carrier."""
    found = {}
    for one in document["datasets"]:
        if one["status"] == "refused":
            found[_local(one["id"])] = Seen("refused", one["reason"])
        else:
            singles = {row["variant"] for row in one["variants"] if row["populations"][0]["alleleCount"] == 1}
            found[_local(one["id"])] = Seen("exact" if singles else "floored", person=rare in singles)
    return found


def _beacon(document: Any, _rare: str) -> dict[str, Seen]:
    """Records are exact; a count alone is what floors leave."""
    assert document["status"] == 200, document
    answer, found = document["document"], {}
    sets = {one["id"]: one for one in answer.get("response", {}).get("resultSets", ())}
    for line in answer["info"]["datasets"]:
        if line["status"] == "refused":
            found[_local(line["id"])] = Seen("refused", line["reason"])
        else:
            results = bool(sets.get(line["id"], {}).get("results"))
            told = results or (line["status"] == "answered" and not line["exists"])  # that nobody is there is exact, too
            found[_local(line["id"])] = Seen("exact" if told else "floored", person=results)
    return found


def _counts(document: Any, _rare: str) -> dict[str, Seen]:
    """A number that is no multiple of ten is exact; the matrix's cohort has such a one."""
    found = {}
    for one in document["datasets"]:
        if one["status"] == "refused":
            found[_local(one["id"])] = Seen("refused", one["reason"])
        else:
            found[_local(one["id"])] = Seen("exact" if one["count"] % 10 else "floored")
    return found


def _persons(document: Any, _rare: str) -> dict[str, Seen]:
    """Who alone has something is counted in exact answers only."""
    found = {}
    for one in document["datasets"]:
        told = one["status"] in ("answered", "empty")
        found[_local(one["id"])] = Seen("exact", person=one["count"] == 1) if told else Seen("refused", one["reason"])
    return found


_READ: Final[Mapping[str, Callable[[Any, str], dict[str, Seen]]]] = {
    "frequency": _frequencies,
    "region": _regions,
    "beacon": _beacon,
    "cohort-count": _counts,
}
