"""The demo's people: what they learn of a guarded copy of open data, with a visa and after its revocation, and the audit."""

from __future__ import annotations

import json
import os
import secrets
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final, TypeVar

from cohelix.cli.demo_journeys import DemoFederation, Detail, expect
from cohelix.core.clock import SystemClock
from cohelix.core.errors import CohelixError
from cohelix.testing.browser import Browser
from cohelix.testing.members import Share, write_near

if TYPE_CHECKING:
    from pathlib import Path

HOLDER: Final = "FI"
GUARDED: Final = "guarded"
GUARDED_BASES: Final = 100_000  # to either side of the variant that is asked about
COUNTRIES: Final = ("FI", "GB", "IT", "US")
# Every account: what it may do, and for what where the role is for something.
ACCOUNTS: Final[dict[str, tuple[tuple[str, str], ...]]] = {
    "researcher": (("researcher", ""),),
    "reviewer": (("output-reviewer", ""),),
    "auditor": (("auditor", ""),),
    "operator": (("hub-operator", ""),),
    "signing-official": (("signing-official", "Demo institute"),),
    "dac-member": tuple(("dac-member", f"{node}-dac") for node in ("FI", "GB", "IT", "CEU")),
    "dac-chair": tuple(("dac-chair", f"{node}-dac") for node in ("FI", "GB", "IT", "CEU")),
    "data-holder": tuple(("data-holder", node) for node in ("FI", "GB", "IT", "CEU")),
    **{f"national-{country.lower()}": (("national-coordination-point", country),) for country in COUNTRIES},
}
MINUTE_SECONDS: Final = 60.0
_CONFIG: Final = "COHELIX_CONFIG"
T = TypeVar("T")


def embed_broker(hub_folder: Path) -> None:
    """Let a new hub know people by itself, as a demo may."""
    with (hub_folder / "hub.toml").open("a", encoding="utf-8") as file:
        file.write("\n[broker]\nembedded = true\n")


def trust_broker(folder: Path, hub_url: str) -> None:
    """Let a new node believe what the demo's hub says of who somebody is."""
    with (folder / "node.toml").open("a", encoding="utf-8") as file:
        file.write(f'\n[[trust]]\nissuer = "{hub_url}/broker"\nrole = "broker"\njwks = "{hub_url}/broker/jwks.json"\n')


def accounts(federation: DemoFederation) -> Detail:
    """Accounts named by role, each with a password of its own; the terms are accepted at the first login."""
    from cohelix.access.actor import Role
    from cohelix.access.roles import Roles
    from cohelix.hub.identity import open_broker
    from cohelix.hub.settings import open_hub_database, read_settings

    folder = federation.hub_folder
    engine = open_hub_database(folder)
    broker, given = open_broker(folder, read_settings(folder), engine), Roles(engine)
    for name, roles in ACCOUNTS.items():
        federation.passwords[name] = own = secrets.token_urlsafe(9)
        account, _ = broker.accounts.add(name, shown=f"Demo {name}", researcher=name == "researcher", password=own)
        for role, what in roles:
            if what:
                given.grant_for(Role(role), what, account.subject, broker.issuer)
            else:
                given.grant(Role(role), account.subject, broker.issuer)
    return {"accounts": list(federation.passwords)}


def guarded(federation: DemoFederation) -> Detail:
    """A floored copy of a part of every member's open cohort, and beside it the committee that decides about it."""
    from cohelix.access.authority import init_authority
    from cohelix.bank.description import Description, describe
    from cohelix.core.ids import DatasetId
    from cohelix.wire.dataset import DataUseClause

    near = federation.question.around(GUARDED_BASES)

    def guard(share: Share) -> None:
        node, folder = share.member.id, str(federation.folders[share.member.id])
        genotypes = federation.hub_folder.parent / f"{node}-guarded.vcf"
        write_near(share, near, genotypes)
        options = ["--assembly", federation.assembly, "--individuals", str(share.people), "--disclosure", "floored"]
        options += ["--genotypes", str(genotypes), "--title", f"{share.member.name}: the same people, guarded"]
        federation.processes.run(f"load-guarded-{node}", "node", "load", folder, "--dataset", GUARDED, *options)
        dataset, authority = f"{node}:{GUARDED}", f"{node}-dac"
        name = f"A data access committee of {share.member.name}"
        clauses = (DataUseClause(code="HMB"), DataUseClause(code="PUB"))
        if node == _holder(federation):
            made = ("--authority", authority, "--name", name, "--dataset", dataset)
            federation.processes.run(f"dac-{node}", "dac", "init", folder, *made, "--json")
            said = ("--dataset", GUARDED, "--authority", authority, "--duo", "HMB", "--duo", "PUB")
            federation.processes.run(f"describe-{node}", "node", "describe", folder, *said, "--json")
            return
        # As the same commands do it, without a process for each.
        place = federation.folders[node]
        init_authority(place, authority=authority, name=name, hub_url=federation.hub.url, datasets=(dataset,))
        describe(place, DatasetId(GUARDED), Description(authority=authority, duo=clauses))

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(guard, federation.shares.shares))
    asked = _line(federation)
    expect("what somebody unknown is told", (asked["status"], _slug(asked)), ("refused", "login-required"))
    return {"dataset": _dataset(federation), "anonymous": asked["reason"]}


def login(federation: DemoFederation) -> Detail:
    """The researcher logs in by the command line's code, and gets floored answers within a budget; no single person."""
    from cohelix.sdk.identity import log_in

    def allow(code: str) -> None:
        with Browser(federation.hub.url) as browser:
            browser.allow_program(code, "researcher", federation.passwords["researcher"])

    with as_person("researcher", federation):
        codes: list[str] = []
        log_in(federation.hub.url, lambda asked: codes.append(asked.code), sleep=lambda _: allow(codes[0]))
        me = json.loads(federation.processes.run("whoami", "whoami", "--hub", federation.hub.url, "--json"))
        federation.subject = me["subject"]
        floored = _line(federation)
        expect("status for a registered researcher", floored["status"], "answered")
        people = people_with_variant(federation)
        expect("single people without a visa", people, 0)
    return {"subject": federation.subject, "floored": _row(floored), "people": people}


def grant(federation: DemoFederation) -> Detail:
    """The committee grants access; the visa arrives by itself, and exact answers and single people with it."""
    node = _holder(federation)
    last = (SystemClock().now() + timedelta(days=30)).date().isoformat()
    words = ("dac", "grant", str(federation.folders[node]), "--dataset", _dataset(federation), "--to", federation.subject)
    granted = json.loads(federation.processes.run("dac", *words, "--until", last, "--json"))
    federation.visa = granted["visa"]
    with as_person("researcher", federation):
        seconds, people = until(lambda: people_with_variant(federation), lambda found: found > 0, "the visa opens the dataset")
        exact = _row(_line(federation))
    if federation.shares.open_release:
        copies, called = federation.question.counts[node]
        expect("exact counts with the visa", exact, {"alleleCount": copies, "alleleNumber": called})
    return {"visa": federation.visa, "exact": exact, "people": people, "seconds": round(seconds, 1)}


def revocation(federation: DemoFederation) -> Detail:
    """The visa is revoked: within a minute it opens nothing any more."""
    folder = str(federation.folders[_holder(federation)])
    federation.processes.run(
        "dac", "dac", "revoke", folder, "--visa", federation.visa, "--reason", "The demo goes on.", "--json"
    )
    with as_person("researcher", federation):
        seconds, _ = until(lambda: people_with_variant(federation), lambda found: found == 0, "the revocation is known")
    return {"visa": federation.visa, "seconds": round(seconds, 1)}


def withdrawal(federation: DemoFederation) -> Detail:
    """A person withdraws consent to frequencies: within a minute the person's alleles are in no count; then gives it again."""
    node = _holder(federation)
    folder = str(federation.folders[node])
    person = next(share for share in federation.shares.shares if share.member.id == node).people
    individual = person.read_text(encoding="utf-8").splitlines()[1].split("\t")[0]
    before = _row(_line(federation, federation.dataset))
    words = ("node", "consent", folder, "--individual", individual, "--scope", "frequencies", "--json")
    federation.processes.run("consent", *words, "--withdraw")

    def called() -> int:
        return int(_row(_line(federation, federation.dataset))["alleleNumber"])

    wanted = before["alleleNumber"] - 2
    seconds, _ = until(called, lambda found: found == wanted, "the withdrawal is in the counts")
    federation.processes.run("consent", *words, "--give")
    until(called, lambda found: found == before["alleleNumber"], "the consent that is given again is in the counts")
    return {"calledBefore": before["alleleNumber"], "calledWithout": wanted, "seconds": round(seconds, 1)}


def audit(federation: DemoFederation) -> Detail:
    """The logs of hub and holder verify from their first entry on, and one entry is proven to somebody who has no log."""
    folders = {"hub": federation.hub_folder, _holder(federation): federation.folders[_holder(federation)]}
    sizes = {}
    for name, folder in folders.items():
        said = json.loads(federation.processes.run(f"audit-{name}", "audit", "verify", str(folder), "--json"))
        sizes[name] = said.get("entries", said.get("size"))
    proof = federation.hub_folder.parent / "entry.proof.json"
    proof.write_text(
        federation.processes.run("audit", "audit", "prove", str(folders[_holder(federation)]), "--entry", "0", "--json")
    )
    federation.processes.run("audit", "audit", "verify", "--proof", str(proof), "--json")
    return {"entries": sizes}


ACCESS_JOURNEYS: Final[tuple[tuple[str, Callable[[DemoFederation], Detail]], ...]] = (
    ("accounts", accounts),
    ("guarded-copy", guarded),
    ("login", login),
    ("grant", grant),
    ("revocation", revocation),
    ("withdrawal", withdrawal),
)


@contextmanager
def as_person(name: str, federation: DemoFederation) -> Iterator[None]:
    """Commands and the client ask as this person for a while, with logins kept in a folder of the demo's own."""
    before = os.environ.get(_CONFIG)
    os.environ[_CONFIG] = str(federation.hub_folder.parent / "logins" / name)
    try:
        yield
    finally:
        if before is None:
            del os.environ[_CONFIG]
        else:
            os.environ[_CONFIG] = before


def _holder(federation: DemoFederation) -> str:
    return HOLDER if HOLDER in federation.folders else next(iter(federation.folders))


def _dataset(federation: DemoFederation) -> str:
    return f"{_holder(federation)}:{GUARDED}"


def _line(federation: DemoFederation, dataset: str = GUARDED) -> dict[str, Any]:
    """What the holder's dataset says of the known variant to whoever has logged in."""
    from cohelix.sdk.client import Client

    node = _holder(federation)
    with Client(federation.hub.url) as client:
        found = client.frequency(str(federation.question.variant), assembly=federation.assembly)
    answer = json.loads(found.model_dump_json())
    lines = [one for member in answer["nodes"] if member["node"] == node for one in member["datasets"]]
    return next(one for one in lines if one["id"] == f"{node}:{dataset}")


def _row(line: dict[str, Any]) -> dict[str, int]:
    """Copies and called alleles of everybody in a dataset's line."""
    if line["status"] != "answered":
        raise CohelixError(f"{line['id']} says {line['status']}: {line['reason']}")
    return {name: line["populations"][0][name] for name in ("alleleCount", "alleleNumber")}


def _slug(line: dict[str, Any]) -> str:
    return str(line["reason"] or "").partition(":")[0]


def people_with_variant(federation: DemoFederation) -> int:
    """How many single people of the guarded copy the network's Beacon shows."""
    from cohelix.sdk.client import Client

    query = {"requestedGranularity": "record", "includeResultsetResponses": "ALL", "pagination": {"limit": 5}}
    body = {"meta": {"apiVersion": "v2.1.1"}, "query": query}
    with Client(federation.hub.url) as client:
        document = client.beacon("individuals", body=body)
    sets = {one["id"]: one for one in document["response"]["resultSets"]}
    return len(sets.get(_dataset(federation), {}).get("results") or ())


def until(ask: Callable[[], T], holds: Callable[[T], bool], what: str) -> tuple[float, T]:
    """Ask until it holds; gives the seconds that it took, and the answer. `CohelixError` after a minute."""
    start = time.perf_counter()
    while True:
        found = ask()
        seconds = time.perf_counter() - start
        if holds(found):
            return seconds, found
        if seconds > MINUTE_SECONDS:
            raise CohelixError(f"after a minute it does not hold yet that {what}: {found}")
        time.sleep(0.5)
