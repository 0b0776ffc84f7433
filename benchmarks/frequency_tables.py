"""A table of frequencies without people: loaded, and asked by HTTP, beside a scan of Parquet files of ten million bases.

The referee does what the closest peer does (gdi-mini-node 0.9.1): one row for each variant and group, a
file for every 10 Mb sorted by position (zstd), and for each question a filter over the file by position, alleles and
type. It answers in process, without HTTP and JSON; ours answers whole requests.
"""

from __future__ import annotations

import asyncio
import gzip
import json
import random
import re
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlencode, urlsplit

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pysam

from benchmarks.measure import Row, Times, duration
from benchmarks.scale import Scale
from cohelix.core.variant import trim
from validation.processes import Served, cohelix, done

# The peer, measured on a table of this size.
PEER_VARIANTS_PER_SECOND, PEER_SECONDS = 39_300, 0.061
MALES, FEMALES = 1_233, 1_271
_FILE_BASES = 10_000_000
_GROUPS = {"": "Total", "_M": "M", "_F": "F"}


class Site(NamedTuple):
    """A record of the table; `position` 1-based, figures (AC, AN, homozygotes) of all, males, females."""

    position: int
    ref: str
    alt: str
    counts: tuple[tuple[int, int, int], ...]


def simulated(n_sites: int) -> list[Site]:
    """Sites on chromosome 3 from 40 Mb on, every seventh an insertion or a deletion; the same every time."""
    rng = np.random.default_rng(3)
    places = 40_000_000 + np.sort(rng.choice(_FILE_BASES, n_sites, replace=False))
    bases = np.array(list("ACGT"))
    sites = []
    frequency = rng.beta(0.15, 2.5, n_sites)
    for number, place in enumerate(places.tolist()):
        ref = str(bases[rng.integers(4)])
        kind = number % 14
        tail = "".join(bases[rng.integers(4, size=1 + number % 5)])
        alt = str(bases[(list("ACGT").index(ref) + 1 + rng.integers(3)) % 4])
        ref, alt = (ref + tail, ref) if kind == 0 else (ref, ref + tail) if kind == 7 else (ref, alt)
        halves = []
        for people in (MALES, FEMALES):
            genotypes = rng.multinomial(people, _genotypes(float(frequency[number])))
            carried = int(genotypes[1] + 2 * genotypes[2])
            halves.append((max(carried, int(people == FEMALES)), 2 * people, int(genotypes[2])))
        total = tuple(sum(column) for column in zip(*halves, strict=True))
        sites.append(Site(place, ref, alt, (total, *halves)))  # type: ignore[arg-type]
    return sites


def _genotypes(frequency: float) -> tuple[float, float, float]:
    return (1 - frequency) ** 2, 2 * frequency * (1 - frequency), frequency**2


def write_vcf(sites: Sequence[Site], path: Path) -> None:
    """The sites as VCF.gz without sample columns."""
    plain = path.with_suffix("")
    with plain.open("w", encoding="ascii") as file:
        file.write("##fileformat=VCFv4.3\n##contig=<ID=3,length=198022430>\n")
        for suffix in _GROUPS:
            for key in ("AC", "AN", "nhomalt"):
                file.write(f'##INFO=<ID={key}{suffix},Number={"1" if key == "AN" else "A"},Type=Integer,Description="count">\n')
        file.write("#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\n")
        for site in sites:
            info = ";".join(
                f"AC{suffix}={ac};AN{suffix}={an};nhomalt{suffix}={hom}"
                for suffix, (ac, an, hom) in zip(_GROUPS, site.counts, strict=True)
            )
            file.write(f"3\t{site.position}\t.\t{site.ref}\t{site.alt}\t.\tPASS\t{info}\n")
    pysam.tabix_compress(str(plain), str(path), force=True)


def load_parquet(vcf: Path, folder: Path) -> None:
    """The referee's load: a loop over records into columns, a Parquet file for every stretch of ten million bases."""
    columns: dict[str, list[object]] = {name: [] for name in ("POS", "REF", "ALT", "VT", "POPULATION", "AC", "AN", "AC_HOM")}
    stretch = -1

    def flush() -> None:
        if columns["POS"]:
            target = folder / f"allele-freq-chr3.{stretch}.parquet"
            sorting = pq.SortingColumn.from_ordering(pa.table(columns).schema, [("POS", "ascending")])
            pq.write_table(pa.table(columns), target, sorting_columns=sorting, write_page_index=True, compression="zstd")
            for values in columns.values():
                values.clear()

    with gzip.open(vcf, "rt", encoding="ascii") as file:
        for line in file:
            if line.startswith("#"):
                continue
            _, position, _, ref, alt, _, _, text = line.rstrip("\n").split("\t")
            info = dict(entry.split("=") for entry in text.split(";"))
            if int(position) // _FILE_BASES != stretch:
                flush()
                stretch = int(position) // _FILE_BASES
            for suffix, label in _GROUPS.items():
                values = (int(position) - 1, ref, alt, "SNP" if len(ref) == len(alt) else "INDEL", label)
                counts = (int(info[f"AC{suffix}"]), int(info[f"AN{suffix}"]), int(info[f"nhomalt{suffix}"]))
                for column, value in zip(columns.values(), (*values, *counts), strict=True):
                    column.append(value)
    flush()


def ask_parquet(folder: Path, position: int, ref: str, alt: str) -> list[dict[str, object]]:
    """The referee's answer: rows of the file that match."""
    file = folder / f"allele-freq-chr3.{position // _FILE_BASES}.parquet"
    kind = "SNP" if len(ref) == len(alt) else "INDEL"
    wanted = (pc.field("POS") == position - 1) & (pc.field("REF") == ref) & (pc.field("ALT") == alt) & (pc.field("VT") == kind)
    found: list[dict[str, object]] = ds.dataset(file).filter(wanted).to_table().to_pylist()
    return found


async def _serially(url: str, targets: Sequence[str]) -> tuple[list[float], list[bytes]]:
    """One question after another on one connection: seconds and bodies."""
    place = urlsplit(url)
    reader, writer = await asyncio.open_connection(place.hostname, place.port)
    seconds, bodies = [], []
    for target in targets:
        start = time.perf_counter()
        writer.write(f"GET {target} HTTP/1.1\r\nHost: {place.netloc}\r\nAccept: application/json\r\n\r\n".encode())
        head = (await reader.readuntil(b"\r\n\r\n")).lower()
        length = next(int(line.split(b":")[1]) for line in head.split(b"\r\n") if line.startswith(b"content-length:"))
        bodies.append(await reader.readexactly(length))
        seconds.append(time.perf_counter() - start)
    writer.close()
    return seconds, bodies


def _told(body: bytes) -> dict[str, tuple[int, int, int]]:
    """The counts of an answer by label; none where the variant is not there."""
    results = [result for entry in json.loads(body)["response"]["resultSets"] for result in entry["results"]]
    return {
        item["population"]: (item["alleleCount"], item["alleleNumber"], item["alleleCountHomozygous"])
        for result in results
        for item in result["frequencyInPopulations"][0]["frequencies"]
    }


def run(scale: Scale, folder: Path) -> list[Row]:
    """Load the table both ways, then ask both the same questions, half of them for alleles that are not there."""
    sites = simulated(scale.table_sites)
    vcf, parquet = folder / "table.vcf.gz", folder / "parquet"
    write_vcf(sites, vcf)
    parquet.mkdir()
    ours, apart, theirs = [], [], []
    node = folder / "table-node"
    done("node", "init", node, "--id", "TABLE", "--name", "Table", "--country", "FI")
    words = ("node", "load", node, "--dataset", "table", "--genotypes", vcf, "--assembly", "GRCh37", "--disclosure", "open")
    for _ in range(min(3, scale.repeats)):
        ended = cohelix(*words, seconds=600)
        assert ended.status == 0, ended.err
        ours.append(ended.seconds)
        apart.append(float(re.search(r"published in ([\d.]+) s", ended.out)[1]))  # type: ignore[index]
        start = time.perf_counter()
        load_parquet(vcf, parquet)
        theirs.append(time.perf_counter() - start)
    house, loading, referee = (float(np.median(seconds)) for seconds in (ours, apart, theirs))
    known = {trim(site.position - 1, site.ref, site.alt): site for site in sites}
    rng, questions = random.Random(5), []
    for number in range(scale.table_questions):
        site = rng.choice(sites)
        alt = site.alt if number % 2 == 0 else site.ref[0] + rng.choice(["TTTTTTT", "GATTACA"])
        questions.append((site.position, site.ref, alt))
    targets = [
        "/beacon/v2/g_variants?"
        + urlencode(
            {
                "referenceName": "3",
                "start": position - 1,
                "referenceBases": ref,
                "alternateBases": alt,
                "assemblyId": "GRCh37",
                "requestedGranularity": "record",
            }
        )
        for position, ref, alt in questions
    ]
    with Served("node", node) as server:
        asyncio.run(_serially(server.url, targets[:50]))
        seconds, bodies = asyncio.run(_serially(server.url, targets))
    asked = []
    for question in questions[: max(20, len(questions) // 20)]:
        start = time.perf_counter()
        rows = ask_parquet(parquet, *question)
        asked.append(time.perf_counter() - start)
        wanted = known.get(trim(question[0] - 1, *question[1:]))
        assert {row["POPULATION"]: row["AC"] for row in rows} == _by_label(wanted, 0)
    right = sum(
        _told(body) == _expected(known.get(trim(position - 1, ref, alt)))
        for (position, ref, alt), body in zip(questions, bodies, strict=True)
    )
    indels = sum(len(ref) != len(alt) for _, ref, alt in questions)
    times, scan = Times(tuple(seconds)), Times(tuple(asked))
    text = f"{len(sites):,} sites, 3 groups, VCF.gz"
    rate, apart_rate, peer_rate = (len(sites) / seconds for seconds in (house, loading, referee))
    return [
        Row(
            "Table of frequencies: load, whole process",
            text,
            f"{duration(house)} ({rate:,.0f} variants/s)",
            f"Parquet per 10 Mb, in process: {duration(referee)} ({peer_rate:,.0f} variants/s)",
            f"{rate / peer_rate:.1f} ×",
            f"≥ 3 × {PEER_VARIANTS_PER_SECOND:,} variants/s",
            rate >= 3 * PEER_VARIANTS_PER_SECOND,
        ),
        Row(
            "Table of frequencies: load, starts of processes apart",
            text,
            f"{duration(loading)} ({apart_rate:,.0f} variants/s)",
            f"Parquet per 10 Mb, in process: {duration(referee)} ({peer_rate:,.0f} variants/s)",
            f"{apart_rate / peer_rate:.1f} ×",
            f"≥ 3 × the referee, and 3 × {PEER_VARIANTS_PER_SECOND:,} variants/s",
            apart_rate >= 3 * max(peer_rate, PEER_VARIANTS_PER_SECOND),
        ),
        Row(
            "Table of frequencies: exact question, ours over HTTP, serial",
            f"{text}; {len(questions):,} questions, {indels:,} of indels, half absent",
            f"p50 {duration(times.p50)}, p95 {duration(times.p95)}; {right:,} of {len(questions):,} right",
            f"Parquet per 10 Mb, in process: p50 {duration(scan.p50)}",
            f"{scan.p50 / times.p50:.1f} ×",
            f"p50 ≤ 2 ms (1/30 of {PEER_SECONDS * 1000:.0f} ms), p95 < 5.7 ms, all right",
            times.p50 <= 2e-3 and times.p95 < 5.7e-3 and right == len(questions),
        ),
    ]


def _by_label(site: Site | None, figure: int) -> dict[str, int]:
    return {} if site is None else {label: counts[figure] for label, counts in zip(_GROUPS.values(), site.counts, strict=True)}


def _expected(site: Site | None) -> dict[str, tuple[int, int, int]]:
    return {} if site is None else dict(zip(_GROUPS.values(), site.counts, strict=True))


def main(argv: Sequence[str] | None = None) -> int:
    """`python -m benchmarks.frequency_tables`: this benchmark alone, at full size."""
    import tempfile

    from benchmarks.scale import FULL

    del argv
    with tempfile.TemporaryDirectory(prefix="cohelix-table-") as folder:
        for row in run(FULL, Path(folder)):
            print(row.text())
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
