"""What the demo asks of its federation, and what each answer must be."""

from __future__ import annotations

import csv
import json
import time
from collections.abc import Callable, Container, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import httpx
from rich.table import Table

from cohelix.core.errors import CohelixError, NotFound
from cohelix.core.genes import genes_in
from cohelix.core.genome import Region
from cohelix.core.variant import VariantKey, parse_variant
from cohelix.sdk.client import Client
from cohelix.testing.members import Share, Shares, records_of

if TYPE_CHECKING:
    from rich.console import Console

    from cohelix.testing.browser import Browser
    from cohelix.testing.processes import Processes, Server

FEMALE: Final = "NCIT:C16576"  # NCI Thesaurus, as Beacon's individuals name it
# CRELD2's best-known expression variant in the real data; copies of A and called alleles, counted by plink2 and bcftools.
KNOWN_VARIANT: Final = "22-50313359-G-A"
KNOWN_COUNTS: Final = {"FI": (31, 184), "GB": (36, 172), "IT": (46, 182), "CEU": (45, 178)}
KNOWN_MEASUREMENT: Final = "ENSG00000184164.10"
AROUND_BASES: Final = 1_000
EXACT_BASES: Final = 100_000
_TRIED: Final = 40  # substitutions looked at for one to ask about
DEADLINE_SECONDS: Final = 5.0
DEADLINE_SLACK_SECONDS: Final = 0.5
Detail = dict[str, Any]


class Question(NamedTuple):
    """A variant of the loaded data, and its copies and called alleles by node as counted in the members' files."""

    variant: VariantKey
    counts: Mapping[str, tuple[int, int]]

    def around(self, bases: int) -> Region:
        """The stretch of so many bases to either side."""
        return Region(self.variant.contig, max(0, self.variant.position - bases), self.variant.position + bases)


def serve_node(processes: Processes, node: str, folder: Path, port: int | None = None) -> Server:
    """Start a node's server on a free port, or again on the one that the hub knows."""
    from cohelix.testing.processes import free_port

    return processes.serve(node, "node", "serve", str(folder), "--port", str(port or free_port()))


@dataclass
class DemoFederation:
    """The demo's running federation, and what the journeys have learned of it."""

    processes: Processes
    hub: Server
    servers: dict[str, Server]
    folders: dict[str, Path]
    shares: Shares
    dataset: str
    hub_folder: Path
    members: list[Detail] = field(default_factory=list)
    frequency: Detail | None = None
    passwords: dict[str, str] = field(default_factory=dict)
    subject: str = ""  # of the researcher, and the visa that was granted
    visa: str = ""
    # Of the governance loop: the application that is looked at, all of them, the plan, and people who have logged in.
    application: str = ""
    applications: tuple[str, ...] = ()
    plan: Path | None = None
    browsers: dict[str, Browser] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.client = Client(self.hub.url)
        self.assembly = str(self.shares.assembly)
        self.question = question_of(self.shares)

    def ask(self, *words: str) -> Any:
        """Ask with the command line, as a process of its own; the answer is its JSON document."""
        return json.loads(self.processes.run(f"ask-{words[0]}", *words, "--hub", self.hub.url, "--json"))

    def ask_analysis(self, *words: str, ended: Container[int] = (0,)) -> Any:
        """A command of `cohelix analysis` to the hub; the answer is its JSON document."""
        asked = ("analysis", *words, "--hub", self.hub.url, "--json")
        return json.loads(self.processes.run(f"analysis-{words[0]}", *asked, ended=ended))

    def at_every_node(self, noun: str, *words: str) -> list[str]:
        """What `cohelix node <noun>` prints in each node's folder, two at a time."""

        def run(node: str) -> str:
            place = (str(self.folders[node]), "--dataset", self.dataset)
            return self.processes.run(f"{noun}-{node}", "node", noun, *place, *words)

        with ThreadPoolExecutor(2) as pool:
            return list(pool.map(run, self.folders))

    def attempt(self, journey: Callable[[DemoFederation], Detail]) -> tuple[bool, Detail]:
        """Go on a journey; whatever goes wrong on it is its result, not the demo's end."""
        try:
            return True, journey(self)
        except Exception as error:
            return False, {"error": getattr(error, "detail", None) or f"{type(error).__name__}: {error}"}


def question_of(shares: Shares) -> Question:
    """The known variant where the data are the known ones, else the commonest balanced substitution in the files.

    Balanced: at the member where it is least so, both alleles are as frequent as can be, so that a floored copy
    answers as well: neither its carriers nor its non-carriers are few.
    """
    if shares.kind == "geuvadis":
        return Question(parse_variant(KNOWN_VARIANT), KNOWN_COUNTS)
    best: tuple[float, Question] | None = None
    for fields in islice(_plain_substitutions(shares.shares[0]), _TRIED):
        variant = parse_variant(f"{fields[0]}-{fields[1]}-{fields[3]}-{fields[4]}")
        counts = {share.member.id: _counted(share, fields[:5]) for share in shares.shares}
        balance = min(min(copies, called - copies) / max(called, 1) for copies, called in counts.values())
        if best is None or balance > best[0]:
            best = balance, Question(variant, counts)
    if best is None:
        raise NotFound("the files hold no plain substitution to ask about")
    return best[1]


def _plain_substitutions(share: Share) -> Iterator[list[str]]:
    """The fields of the records with one base for one base."""
    return (fields for fields in records_of(share) if len(fields[3]) == 1 and fields[4] in ("A", "C", "G", "T"))


def members(federation: DemoFederation) -> Detail:
    """Every member has joined, is active and declares its dataset."""
    answer = federation.client.members()
    federation.members = [
        {
            "id": member.id,
            "name": member.name,
            "country": member.country,
            "url": member.url,
            "state": member.state,
            "datasets": list(member.datasets),
        }
        for member in answer.members
    ]
    states = {member.id: member.state for member in answer.members}
    expect("members", states, dict.fromkeys(federation.servers, "active"))
    declared = {member.id: list(member.datasets) for member in answer.members}
    expect("datasets", declared, {node: [f"{node}:{federation.dataset}"] for node in federation.servers})
    return {"members": states}


def frequency(federation: DemoFederation) -> Detail:
    """One variant, asked of everybody: each node's exact counts, and their sum."""
    answer = _ask_frequency(federation)
    federation.frequency = answer
    expect("nodes", {node["node"]: node["status"] for node in answer["nodes"]}, dict.fromkeys(federation.servers, "answered"))
    found = _node_counts(answer)
    if federation.shares.open_release:
        expect("counts", found, dict(federation.question.counts))
        expect("pooled counts", _pooled(answer), _sum(found))
    return {"variant": answer["variant"], "nodes": found, "pooled": _pooled(answer)}


def region(federation: DemoFederation) -> Detail:
    """All variants around it, by the command line."""
    asked = str(federation.question.around(AROUND_BASES))
    answer = federation.ask("region", asked, "--assembly", federation.assembly)
    names = [variant["variant"] for variant in answer["variants"]]
    if federation.shares.open_release and str(federation.question.variant) not in names:
        raise CohelixError(f"{federation.question.variant} is not among the {len(names)} variants of {asked}")
    return {"region": asked, "variants": len(names)}


def gene(federation: DemoFederation) -> Detail:
    """All variants of the gene that the variant lies in, by the command line."""
    variant = federation.question.variant
    found = genes_in(Region(variant.contig, variant.position, variant.end), federation.shares.assembly)
    if not found:
        return {"gene": None, "variants": None, "note": f"no gene of the table lies at {variant}"}
    answer = federation.ask("gene", found[0].symbol, "--assembly", federation.assembly)
    names = [one["variant"] for one in answer["variants"]]
    if federation.shares.open_release and str(variant) not in names:
        raise CohelixError(f"{variant} is not among the {len(names)} variants of {found[0].symbol}")
    return {"gene": found[0].symbol, "ensemblId": found[0].ensembl_id, "region": str(found[0].region), "variants": len(names)}


def beacon(federation: DemoFederation) -> Detail:
    """The same variant, asked of the Beacon network at the hub."""
    variant = federation.question.variant
    document = federation.client.beacon(
        "g_variants",
        {
            "assemblyId": federation.assembly,
            "referenceName": variant.contig,
            "start": variant.position,
            "referenceBases": variant.ref,
            "alternateBases": variant.alt,
            "requestedGranularity": "record",
            "includeResultsetResponses": "ALL",
        },
    )
    sets = {one["id"]: one["exists"] for one in document["response"]["resultSets"]}
    if federation.shares.open_release:
        expected = {f"{node}:{federation.dataset}": copies > 0 for node, (copies, _) in federation.question.counts.items()}
        expect("result sets", sets, expected)
        expect("exists", document["responseSummary"]["exists"], any(expected.values()))
    return {"exists": document["responseSummary"]["exists"], "resultSets": sets}


def people(federation: DemoFederation) -> Detail:
    """How many women have a measurement above its median, counted at every node; a floored dataset is asked for sex only."""
    tables = {share.member.id: _people_table(share) for share in federation.shares.shares}
    rows = [row for table in tables.values() for row in table]
    filters: list[Detail] = [{"id": FEMALE}]
    threshold = None
    name = next((name for name in (KNOWN_MEASUREMENT, *list(rows[0])[5:]) if name in rows[0]), None)
    if name is not None and federation.shares.open_release:
        values = sorted(float(row[name]) for row in rows if row[name])
        threshold = values[len(values) // 2]
        filters.append({"id": name, "operator": ">", "value": str(threshold)})
    query = {"filters": filters, "requestedGranularity": "count", "includeResultsetResponses": "ALL"}
    document = federation.client.beacon("individuals", body={"meta": {"apiVersion": "v2.1.1"}, "query": query})
    total = document["responseSummary"].get("numTotalResults")
    if federation.shares.open_release:
        expected = sum(
            row["sex"] == "female" and (threshold is None or (row[name or ""] != "" and float(row[name or ""]) > threshold))
            for row in rows
        )
        expect("people", total, expected)
    return {"filters": filters, "people": total, "of": len(rows)}


def exactness(federation: DemoFederation) -> Detail:
    """Every variant of a stretch: the federation's pooled figures are the sum of what each operator counts at home."""
    asked = str(federation.question.around(EXACT_BASES))
    expected: dict[str, list[int]] = {}
    for table in federation.at_every_node("counts", "--region", asked):
        for row in csv.DictReader(table.splitlines(), delimiter="\t"):
            total = expected.setdefault(f"{row['contig']}-{row['pos']}-{row['ref']}-{row['alt']}", [0, 0, 0])
            for index, column in enumerate(("ac", "an", "hom")):
                total[index] += int(row[column])
    answer = federation.client.region(asked, assembly=federation.assembly)
    if not federation.shares.open_release:
        return {"region": asked, "variants": len(answer.variants), "note": "floored data: exact figures stay at home"}
    pooled = {
        variant.variant: [variant.pooled.allele_count, variant.pooled.allele_number, variant.pooled.homozygotes]
        for variant in answer.variants
        if variant.pooled is not None
    }
    differing = [name for name in expected.keys() | pooled.keys() if pooled.get(name) != expected.get(name)]
    unequal = [name for name in differing if name in pooled or expected[name][0] > 0]
    if unequal or not pooled:
        raise CohelixError(
            f"{len(unequal)} of {len(expected)} variants differ from the sum over the nodes, first {unequal[:3]}"
        )
    return {"region": asked, "variants": len(pooled), "equal": len(pooled), "figures": 3 * len(pooled)}


def stopped_node(federation: DemoFederation) -> Detail:
    """A node is stopped: the others answer within the deadline and it is named; started again, it answers."""
    node = list(federation.servers)[-2]
    stopped = federation.servers[node]
    federation.processes.stop(stopped.process)
    start = time.perf_counter()
    without = _ask_frequency(federation)
    seconds = time.perf_counter() - start
    port = int(stopped.url.rpartition(":")[2])
    federation.servers[node] = serve_node(federation.processes, node, federation.folders[node], port)
    states = {one["node"]: one["status"] for one in without["nodes"]}
    expect("nodes", states, {other: "unreachable" if other == node else "answered" for other in federation.servers})
    if seconds > DEADLINE_SECONDS + DEADLINE_SLACK_SECONDS:
        raise CohelixError(f"the answer without {node} took {seconds:.1f} s")
    if federation.shares.open_release:
        counts = {other: found for other, found in federation.question.counts.items() if other != node}
        expect("pooled counts without it", _pooled(without), _sum(counts))
    again = _ask_frequency(federation)
    expect("nodes after the restart", {one["node"]: one["status"] for one in again["nodes"]}, dict.fromkeys(states, "answered"))
    return {"stopped": node, "nodes": states, "pooled": _pooled(without), "answeredWithinSeconds": round(seconds, 3)}


def portal(federation: DemoFederation) -> Detail:
    """The pages answer, name every member, and say so where the data are simulated."""
    pages = {"/": list(federation.servers)}
    pages[f"/variant/{federation.question.variant}?assembly={federation.assembly}"] = list(federation.servers)
    sizes = {}
    with httpx.Client(base_url=federation.hub.url, trust_env=False) as client:
        for path, names in pages.items():
            page = client.get(path, headers={"accept": "text/html"})
            absent = [name for name in names if name not in page.text]
            if page.status_code != httpx.codes.OK or absent:
                raise CohelixError(f"{path} answered {page.status_code} and does not name {', '.join(absent) or 'anybody'}")
            if federation.shares.kind == "simulated" and "simulated" not in page.text.lower():
                raise CohelixError(f"{path} does not say that the data are simulated")
            sizes[path] = len(page.content)
    return {"bytes": sizes}


JOURNEYS: Final[tuple[tuple[str, Callable[[DemoFederation], Detail]], ...]] = (
    ("members", members),
    ("frequency", frequency),
    ("region", region),
    ("gene", gene),
    ("beacon-network", beacon),
    ("people-count", people),
    ("exactness", exactness),
    ("stopped-node", stopped_node),
    ("portal", portal),
)


def describe(console: Console, name: str, ok: bool, seconds: float, detail: Detail) -> None:
    """Print what a journey brought, for people."""
    mark = "[green]ok[/green]    " if ok else "[red]FAILED[/red]"
    console.print(f"  {mark} {name:<15} {seconds * 1000:8.0f} ms   {_summary(detail)}", highlight=False, soft_wrap=True)
    if ok and name == "frequency":
        table = Table(
            "node", "copies of ALT", "called alleles", "frequency", title=f"{detail['variant']}", title_justify="left"
        )
        for node, (copies, called) in {**detail["nodes"], "pooled": detail["pooled"]}.items():
            share = f"{copies / called:.4f}" if called else "–"
            table.add_row(node, str(copies), str(called), share, style="bold" if node == "pooled" else "")
        console.print(table)


def _summary(detail: Detail) -> str:
    from rich.markup import escape

    shown = {key: value for key, value in detail.items() if key not in ("nodes", "filters", "bytes", "figures")}
    return escape(", ".join(f"{key} {_plain(value)}" for key, value in shown.items() if value is not None))


def _plain(value: Any) -> str:
    if isinstance(value, dict):
        return " ".join(f"{key}={inner}" for key, inner in value.items())
    if isinstance(value, (list, tuple)):
        return "/".join(map(str, value))
    return str(value)


def _ask_frequency(federation: DemoFederation) -> Detail:
    answer = federation.client.frequency(str(federation.question.variant), assembly=federation.assembly)
    return answer.model_dump(mode="json", by_alias=True)


def _node_counts(answer: Detail) -> dict[str, tuple[int, int]]:
    """Copies and called alleles in the total row of each node's one dataset, where it answered."""
    found = {}
    for node in answer["nodes"]:
        for dataset in node["datasets"]:
            if dataset["status"] == "answered":
                total = dataset["populations"][0]
                found[node["node"]] = (total["alleleCount"], total["alleleNumber"])
    return found


def _pooled(answer: Detail) -> tuple[int | None, int | None]:
    return answer["pooled"]["alleleCount"], answer["pooled"]["alleleNumber"]


def _sum(counts: Mapping[str, tuple[int, int]]) -> tuple[int, int]:
    return sum(copies for copies, _ in counts.values()), sum(called for _, called in counts.values())


def _counted(share: Share, site: list[str]) -> tuple[int, int]:
    """Copies of the first ALT and called alleles at a site, counted in the text of the member's own file."""
    for fields in records_of(share):
        if fields[:5] == site:
            calls = [allele for call in fields[9:] for allele in call.partition(":")[0].replace("|", "/").split("/")]
            return calls.count("1"), len(calls) - calls.count(".")
    return 0, 0


def _people_table(share: Share) -> list[dict[str, str]]:
    """The member's table; a measurement goes by its name, without the unit in brackets."""
    header, *lines = share.people.read_text(encoding="utf-8").splitlines()
    names = [name.partition(" [")[0] for name in header.split("\t")]
    return [dict(zip(names, line.split("\t"), strict=True)) for line in lines]


def expect(what: str, found: object, expected: object) -> None:
    """Raise what a journey fails with, where an answer is not what it must be."""
    if found != expected:
        raise CohelixError(f"{what}: {found} where {expected} was expected")
