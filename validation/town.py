"""A small federation, made and served by the command line alone, for stories that are told over HTTP, and for leak hunts."""

from __future__ import annotations

import json
import subprocess
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from cohelix.testing.commands import run_command
from cohelix.testing.processes import free_port
from validation import naive, synthetic
from validation.processes import Served, done

ASSEMBLY = "GRCh37"


@dataclass
class MemberNode:
    """A node of the small federation: its folder and address, its own people, and the variants of its file."""

    id: str
    folder: Path
    port: int
    cohort: synthetic.Cohort
    genotypes: Path
    people_table: Path
    served: Served | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def people(self) -> naive.People:
        """Sex and population in column order, for the naive twin."""
        samples = self.cohort.samples
        return naive.People([self.cohort.sex[s] for s in samples], [self.cohort.population[s] for s in samples])

    def variants(self) -> list[naive.NaiveVariant]:
        """What the file holds, the first of each key."""
        return naive.firsts(naive.read_variants(self.genotypes))

    def load(self, dataset: str = "cohort", disclosure: str = "open", *more: str | Path) -> None:
        """Load the node's own file, or, with `--genotypes` among `more`, another."""
        words: list[str | Path] = ["node", "load", self.folder, "--dataset", dataset, "--disclosure", disclosure, *more]
        if "--genotypes" not in more:
            words += ["--genotypes", self.genotypes]
        if "--assembly" not in more:
            words += ["--assembly", ASSEMBLY]
        if "--individuals" not in more:
            words += ["--individuals", self.people_table]
        done(*words)


@dataclass
class Town:
    """The hub and its members."""

    folder: Path
    hub_url: str
    nodes: dict[str, MemberNode]
    client: httpx.Client
    hub: Served | None = None
    stack: ExitStack = field(default_factory=ExitStack)

    def frequency(self, variant: str, assembly: str = ASSEMBLY) -> dict[str, Any]:
        """The hub's frequency answer."""
        answer = self.client.get(f"/api/v1/frequency/{variant}", params={"assembly": assembly})
        assert answer.status_code == 200, answer.text
        document: dict[str, Any] = answer.json()
        return document

    def dataset(self, variant: str, dataset: str, assembly: str = ASSEMBLY) -> dict[str, Any]:
        """One dataset's part of it."""
        node = dataset.split(":", maxsplit=1)[0]
        [part] = [n for n in self.frequency(variant, assembly)["nodes"] if n["node"] == node]
        [found] = [d for d in part["datasets"] if d["id"] == dataset]
        return dict(found)

    def command(self, *words: str) -> tuple[int, Any]:
        """A question by the command line: exit status and the JSON document."""
        ended = run_command(*words, "--hub", self.hub_url, "--json")
        return ended.returncode, json.loads(ended.stdout) if ended.stdout.strip() else None

    def start(self, node: MemberNode) -> None:
        """Serve a node at its address."""
        node.served = self.stack.enter_context(Served("node", node.folder, node.port))


def split_cohort(folder: Path, whole: synthetic.Cohort, genotypes: Path, parts: dict[str, slice]) -> dict[str, MemberNode]:
    """Give each node the columns of its own people, all sites kept, and a folder made by `cohelix node init`."""
    nodes = {}
    for name, part in parts.items():
        samples = whole.samples[part]
        cohort = synthetic.Cohort(samples, {s: whole.sex[s] for s in samples}, {s: whole.population[s] for s in samples})
        path = folder / f"{name}.bcf"
        subprocess.run(
            ["bcftools", "view", "--no-version", "-I", "-s", ",".join(samples), "-Ob", "-o", path, genotypes],
            check=True,
            capture_output=True,
        )
        table = synthetic.write_people(folder / f"{name}.tsv", cohort)
        done("node", "init", folder / name, "--id", name, "--name", f"Bank of {name}", "--country", name[:2])
        nodes[name] = MemberNode(name, folder / name, free_port(), cohort, path, table)
    return nodes


def open_town(folder: Path, nodes: dict[str, MemberNode]) -> Town:
    """Make and serve a hub, serve the nodes, and join each by its one-time token."""
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    done("hub", "init", folder / "hub", "--url", url)
    town = Town(folder, url, nodes, httpx.Client(base_url=url, timeout=30))
    town.stack.enter_context(town.client)
    served = [Served("hub", folder / "hub", port), *(Served("node", node.folder, node.port) for node in nodes.values())]
    with ThreadPoolExecutor() as pool:  # they start side by side
        for one in pool.map(Served.__enter__, served):
            town.stack.push(one)
    town.hub = served[0]
    for node, one in zip(nodes.values(), served[1:], strict=True):
        node.served = one
        invited = json.loads(done("hub", "invite", folder / "hub", "--member", node.id, "--json").out)
        done("node", "join", node.folder, invited["token"], "--url", node.url)
    return town


def genotypes_text(path: Path, region: str) -> str:
    """A part of a file as VCF text with contig 22 alone in its header."""
    lines = subprocess.run(
        ["bcftools", "view", "--no-version", "-t", region, path], check=True, capture_output=True, text=True
    ).stdout
    kept = [line for line in lines.splitlines() if not line.startswith("##contig") or "ID=22," in line]
    return "\n".join(kept) + "\n"
