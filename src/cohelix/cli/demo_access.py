"""The demo's people: what they learn of a guarded copy of open data, with a visa and after its revocation, and the audit."""

from __future__ import annotations

import json
import os
import secrets
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

from cohelix.cli.demo_journeys import DemoFederation, Detail, expect
from cohelix.core.clock import SystemClock
from cohelix.core.errors import CohelixError
from cohelix.testing.browser import Browser

if TYPE_CHECKING:
    from pathlib import Path

HOLDER: Final = "FI"
GUARDED: Final = "guarded"
AUTHORITY: Final = "FI-dac"
ACCOUNTS: Final = {
    "researcher": ("researcher",),
    "dac-member": ("dac-member",),
    "reviewer": ("output-reviewer",),
    "auditor": ("auditor",),
}
MINUTE_SECONDS: Final = 60.0
_CONFIG: Final = "COHELIX_CONFIG"


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
        account, _ = broker.accounts.add(name, shown=f"Demo {name}", researcher=name == "researcher")
        federation.passwords[name] = secrets.token_urlsafe(9)
        broker.accounts.set_password(account, federation.passwords[name])
        for role in roles:
            given.grant(Role(role), account.subject, broker.issuer)
    return {"accounts": list(federation.passwords)}


def guarded(federation: DemoFederation) -> Detail:
    """A floored copy of one member's open cohort, and the authority that decides about it, at the member alone."""
    node = _holder(federation)
    share = next(share for share in federation.shares.shares if share.member.id == node)
    folder = str(federation.folders[node])
    options = ["--assembly", federation.assembly, "--individuals", str(share.people), "--disclosure", "floored"]
    options += ["--title", f"{share.member.name}: the same people, guarded"]
    for path in share.genotypes:
        options += ["--genotypes", str(path)]
    federation.processes.run("load-guarded", "node", "load", folder, "--dataset", GUARDED, *options)
    name = "A data access committee of the demo"
    words = ("dac", "init", folder, "--authority", AUTHORITY, "--name", name, "--dataset", _dataset(federation))
    federation.processes.run("dac", *words, "--json")
    asked = _line(federation)
    expect("what somebody unknown is told", (asked["status"], _slug(asked)), ("refused", "login-required"))
    return {"dataset": _dataset(federation), "anonymous": asked["reason"]}


def login(federation: DemoFederation) -> Detail:
    """The researcher logs in by the command line's code, and gets floored answers within a budget; no single person."""
    from cohelix.sdk.identity import log_in

    def allow(code: str) -> None:
        with Browser(federation.hub.url) as browser:
            browser.allow_program(code, "researcher", federation.passwords["researcher"])

    with _as("researcher", federation):
        codes: list[str] = []
        log_in(federation.hub.url, lambda asked: codes.append(asked.code), sleep=lambda _: allow(codes[0]))
        me = json.loads(federation.processes.run("whoami", "whoami", "--hub", federation.hub.url, "--json"))
        federation.subject = me["subject"]
        floored = _line(federation)
        expect("status for a registered researcher", floored["status"], "answered")
        people = _people(federation)
        expect("single people without a visa", people, 0)
    return {"subject": federation.subject, "floored": _row(floored), "people": people}


def grant(federation: DemoFederation) -> Detail:
    """The committee grants access; the visa arrives by itself, and exact answers and single people with it."""
    node = _holder(federation)
    until = (SystemClock().now() + timedelta(days=30)).date().isoformat()
    words = ("dac", "grant", str(federation.folders[node]), "--dataset", _dataset(federation), "--to", federation.subject)
    granted = json.loads(federation.processes.run("dac", *words, "--until", until, "--json"))
    federation.visa = granted["visa"]
    with _as("researcher", federation):
        seconds, people = _until(lambda: _people(federation), lambda found: found > 0, "the visa opens the dataset")
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
    with _as("researcher", federation):
        seconds, _ = _until(lambda: _people(federation), lambda found: found == 0, "the revocation is known")
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
    seconds, _ = _until(called, lambda found: found == wanted, "the withdrawal is in the counts")
    federation.processes.run("consent", *words, "--give")
    _until(called, lambda found: found == before["alleleNumber"], "the consent that is given again is in the counts")
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
    ("audit", audit),
)


@contextmanager
def _as(name: str, federation: DemoFederation) -> Iterator[None]:
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


def _people(federation: DemoFederation) -> int:
    """How many single people of the guarded copy the network's Beacon shows."""
    from cohelix.sdk.client import Client

    query = {"requestedGranularity": "record", "includeResultsetResponses": "ALL", "pagination": {"limit": 5}}
    body = {"meta": {"apiVersion": "v2.1.1"}, "query": query}
    with Client(federation.hub.url) as client:
        document = client.beacon("individuals", body=body)
    sets = {one["id"]: one for one in document["response"]["resultSets"]}
    return len(sets.get(_dataset(federation), {}).get("results") or ())


def _until(ask: Callable[[], int], holds: Callable[[int], bool], what: str) -> tuple[float, int]:
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
