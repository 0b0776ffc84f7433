"""Makes `old_store/`: a node's dataset as the code of issue 2 (commit 8df18e7) loaded it, manifest format 1.

Run in a work tree of that commit: `git worktree add /tmp/old 8df18e7 && PYTHONPATH=/tmp/old/src python make_old_store.py OUT`.
"""

from __future__ import annotations

import random
import sys
import tempfile
from pathlib import Path

N_PEOPLE, N_RECORDS = 40, 30


def write_input(folder: Path) -> tuple[Path, Path]:
    """A VCF and a table of people."""
    rng = random.Random(8)
    names = [f"OLD{number:02d}" for number in range(N_PEOPLE)]
    head = ["##fileformat=VCFv4.2", "##contig=<ID=22,length=51304566>"]
    head += ['##FORMAT=<ID=GT,Number=1,Type=String,Description="Genotype">']
    lines = [*head, "\t".join(["#CHROM", "POS", "ID", "REF", "ALT", "QUAL", "FILTER", "INFO", "FORMAT", *names])]
    for number in range(N_RECORDS):
        calls = ["|".join(rng.choice("01") for _ in range(2)) for _ in names]
        lines.append("\t".join(["22", str(20_000_000 + number), ".", "A", "G", ".", ".", ".", "GT", *calls]))
    vcf, table = folder / "old.vcf", folder / "old.tsv"
    vcf.write_text("\n".join(lines) + "\n")
    rows = [f"{name}\t{'male' if number % 2 else 'female'}\tAAA" for number, name in enumerate(names)]
    table.write_text("\n".join(["individual_id\tsex\tpopulation", *rows]) + "\n")
    return vcf, table


def main(out: Path) -> None:
    """Load the input into a node's folder."""
    from cohelix.bank.load import LoadRequest, load
    from cohelix.core.genome import Assembly
    from cohelix.core.ids import DatasetId

    with tempfile.TemporaryDirectory() as folder:
        vcf, table = write_input(Path(folder))
        load(out, LoadRequest(DatasetId("old"), (vcf,), Assembly.GRCH37, individuals=table))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
