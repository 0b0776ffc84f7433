"""Damages a store 10,000 times, each time asks it, and writes `validation/integrity/RESULTS.md`."""

from __future__ import annotations

import random
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from cohelix.bank.bank import Bank
from cohelix.bank.load import LoadRequest, load
from cohelix.bank.questions import VariantQuery
from cohelix.core.genome import Assembly
from cohelix.core.ids import DatasetId, NodeId
from validation import synthetic
from validation.integrity.damage import KINDS, damage, outcome

HERE = Path(__file__).parent
TIMES, SEED = 10_000, 20261122
DATASET = DatasetId("store")


def main() -> int:
    """Exit 0 only if every damage is found before an answer leaves, or, in a file that no question reads, by `verify`."""
    start, rng = time.perf_counter(), random.Random(SEED)
    tally: Counter[tuple[str, str]] = Counter()
    missed = []
    with tempfile.TemporaryDirectory(prefix="cohelix-integrity-") as scratch:
        node = Path(scratch) / "node"
        node.mkdir()
        cohort = synthetic.make_cohort(60, SEED)
        table = synthetic.write_people(Path(scratch) / "people.tsv", cohort)
        vcf = synthetic.write_vcf(Path(scratch) / "cohort.vcf", cohort, per_contig=700, seed=SEED, contigs=("22", "X"))
        load(node, LoadRequest(DATASET, (vcf,), Assembly.GRCH37, individuals=table, disclosure="open", quality="off"))
        page = Bank.open(node, NodeId("V")).view(DATASET).variants(VariantQuery("22"), limit=400)
        keys = [found.key for found in page.items][::40]
        for number in range(TIMES):
            kind = KINDS[number % len(KINDS)]
            changed = damage(node / "datasets" / DATASET, kind, rng)
            found = outcome(node, DATASET, keys)
            changed.mend()
            tally[kind, "before an answer" if not found.answered else "by verify" if found.names else "not"] += 1
            if not found.detected:
                missed.append(f"{kind} of {changed.name}: {changed.place}")
    lines = [
        "# Damage to a store",
        "",
        f"Made by `python -m validation.integrity` (seed {SEED}): {TIMES:,} times one file of a dataset (shards, counts,",
        "people, lists, manifest, pointer, report, history of releases) is damaged, the bank is opened anew and",
        "asked, and `verify` runs.",
        "`by verify` are files that no public question reads: the history of releases.",
        "",
        "| damage | found | times |",
        "|---|---|---|",
        *(f"| {kind} | {how} | {times:,} |" for (kind, how), times in sorted(tally.items())),
        "",
        f"Not found: {len(missed)}. {time.perf_counter() - start:.0f} s.",
    ]
    (HERE / "RESULTS.md").write_text("\n".join(lines) + "\n")
    print("\n".join([*lines, *missed[:20]]))
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
