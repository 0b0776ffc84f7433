"""Write `src/cohelix/core/data/contigs.tsv`: every sequence of GRCh37 and GRCh38 with its length and names.

Source: the PyPI package `bioutils` (Apache-2.0), which carries NCBI's assembly reports. Run with `bioutils` installed:

    python scripts/make_contigs.py
"""

from __future__ import annotations

from pathlib import Path

from bioutils.assemblies import get_assembly

TARGET = Path(__file__).resolve().parents[1] / "src/cohelix/core/data/contigs.tsv"
PATCHES = {"GRCh37": "GRCh37.p13", "GRCh38": "GRCh38.p14"}  # each holds all sequences of the earlier patches


def main() -> None:
    lines = ["assembly\tname\tlength\trole\trefseq\tgenbank\taliases"]
    for assembly, patch in PATCHES.items():
        for sequence in get_assembly(patch)["sequences"]:
            refseq = "" if sequence["refseq_ac"] == "na" else sequence["refseq_ac"]
            aliases = ",".join(alias for alias in sequence["aliases"] if alias != "na")
            fields = (assembly, sequence["name"], sequence["length"], sequence["sequence_role"], refseq)
            lines.append("\t".join(map(str, (*fields, sequence["genbank_ac"], aliases))))
    TARGET.write_text("\n".join(lines) + "\n", encoding="utf-8")
    TARGET.with_name("contigs.SOURCE.txt").write_text(
        "contigs.tsv: made by scripts/make_contigs.py from the PyPI package bioutils (Apache-2.0),\n"
        "which carries NCBI's assembly reports (public domain), GRCh37.p13 and GRCh38.p14.\n",
        encoding="utf-8",
    )


if __name__ == "__main__":
    main()
