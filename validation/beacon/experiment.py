"""A served node with the same variants as an open and as a floored dataset, questions for it, and the comparison."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import numpy as np

from cohelix.testing.federation import let_everybody_ask
from validation import naive, realdata, synthetic
from validation.beacon.ask import expected, put, questions, told
from validation.beacon.oracle import Oracle
from validation.processes import Served, done


@dataclass
class Part:
    """A loaded node folder, and the oracles of its two datasets."""

    name: str
    node: Path
    oracles: tuple[Oracle, Oracle]


@dataclass
class Outcome:
    """What was asked and found."""

    name: str
    variants: int
    questions: int = 0
    hits: int = 0
    absent: int = 0
    indels: int = 0
    kinds: Counter[str] = field(default_factory=Counter)
    differences: list[str] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)

    def line(self) -> str:
        """As a line of a Markdown table."""
        p50, p99 = (1000 * float(np.quantile(self.seconds, q)) for q in (0.5, 0.99))
        kinds = ", ".join(f"{n:,} {kind}" for kind, n in sorted(self.kinds.items()))
        return (
            f"| {self.name} | {self.variants:,} | {self.questions:,} | {self.hits:,} | {self.absent:,} | {self.indels:,} "
            f"| {kinds} | {len(self.differences)} | {p50:.1f} ms | {p99:.1f} ms |"
        )

    def record(self) -> dict[str, object]:
        """For the JSON file; times are summarised in the table."""
        kept = {k: v for k, v in vars(self).items() if k != "seconds"}
        return {**kept, "differences": len(self.differences), "examples": [d[:600] for d in self.differences[:10]]}


def load_part(
    name: str, scratch: Path, files: Sequence[Path], table: Path, *, people: naive.People, variants: list[naive.NaiveVariant]
) -> Part:
    """Load the files twice, open and floored, into one node."""
    node = scratch / f"node-{name}"
    done("node", "init", node, "--id", "Q", "--name", "Questions", "--country", "FI")
    let_everybody_ask(node)
    for disclosure in ("open", "floored"):
        done(
            *("node", "load", node, "--dataset", disclosure, "--genotypes", *files, "--assembly", "GRCh37"),
            *("--individuals", table, "--disclosure", disclosure),
        )
    return Part(name, node, (Oracle("open", variants, people, "open"), Oracle("floored", variants, people, "floored")))


def synthetic_part(scratch: Path, *, people: int, per_contig: int, unknown: float = 0.03, seed: int = 7) -> Part:
    """Made-up people with missing and half-called genotypes, haploid X, Y and MT, and people of unknown sex or population."""
    cohort = synthetic.make_cohort(people, seed, unknown=unknown)
    path = synthetic.write_vcf(scratch / "synthetic.vcf.gz", cohort, per_contig=per_contig, seed=seed + 1)
    table = synthetic.write_people(scratch / "synthetic.tsv", cohort)
    known = naive.People([cohort.sex[s] for s in cohort.samples], [cohort.population[s] for s in cohort.samples])
    return load_part("synthetic", scratch, [path], table, people=known, variants=list(naive.read_variants(path)))


def real_part(scratch: Path, files: Sequence[Path], panel: dict[str, tuple[str, str]]) -> Part:
    """Files of the 1000 Genomes panel, all with the same sample columns."""
    samples = naive.samples_of(files[0])
    table = realdata.write_people(scratch / "real.tsv", panel, samples)
    variants = [variant for path in files for variant in naive.read_variants(path)]
    return load_part("real", scratch, files, table, people=naive.split(panel, samples), variants=variants)


def run(part: Part, n: int, seed: int) -> Outcome:
    """Serve the node, ask `n` questions, and compare each answer whole."""
    outcome = Outcome(part.name, len(part.oracles[0].variants))
    with Served("node", part.node) as server, httpx.Client(base_url=server.url, timeout=30) as client:
        for asked in questions(part.oracles, n, seed):
            document, seconds = put(client, asked)
            wanted, got = expected(asked, part.oracles), told(document, asked.granularity)
            outcome.questions += 1
            outcome.seconds.append(seconds)
            outcome.hits += wanted["exists"]
            outcome.absent += not asked.present
            outcome.kinds[asked.kind] += 1
            ref, alt = asked.question.ref, asked.question.alt
            outcome.indels += asked.kind == "exact" and len(ref or "") != len(alt or "")
            if wanted != got:
                outcome.differences.append(f"{asked}: expected {wanted}, got {got}")
    return outcome
