"""Q5, Q6 and size on disk: loading and exporting beside plink2 and bcftools, as whole processes and in process."""

from __future__ import annotations

import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks import data
from benchmarks.measure import Row, duration, folder_bytes, interleaved, size
from benchmarks.scale import Scale
from cohelix.core.genome import Region
from cohelix.genotypes.export import write_region
from cohelix.genotypes.store import GenotypeStore, open_store
from validation.processes import COMMAND, cohelix, done

MEMORY_MAX = 1 << 30


@dataclass(frozen=True)
class Loaded:
    """A node that has loaded the cohort as dataset `cohort`, and where its genotype store lies."""

    node: Path
    store_folder: Path


def load_node(files: data.CohortFiles, folder: Path) -> Loaded:
    """Load the BCF into a fresh node by the command line."""
    node = folder / "node"
    done("node", "init", node, "--id", "BENCH", "--name", "Bench", "--country", "FI")
    done(*_load_words(node, files.bcf, files.people), seconds=3600)
    return Loaded(node, max((node / "datasets/cohort/versions").iterdir()) / "genotypes")


def _load_words(node: Path, genotypes: Path, people: Path) -> list[str | Path]:
    return [
        *("node", "load", node, "--dataset", "cohort", "--genotypes", genotypes, "--assembly", "GRCh37"),
        *("--individuals", people, "--disclosure", "open"),
    ]


def load(scale: Scale, files: data.CohortFiles, folder: Path) -> list[Row]:
    """Whole `cohelix node load` (counts of all groups and report included) beside whole `plink2 --make-pgen`."""
    rows = []
    genotypes = files.n_people * files.n_variants
    for source, option in ((files.bcf, "--bcf"), (files.vcf, "--vcf")):
        house, referee, peaks, owns, referee_peaks = [], [], [], [], []
        _read_into_cache(source)
        for number in range(min(3, scale.repeats)):
            node = folder / f"load{number}"
            done("node", "init", node, "--id", "LOAD", "--name", "Load", "--country", "FI")
            ended = cohelix(*_load_words(node, source, files.people), seconds=3600)
            assert ended.status == 0, ended.err
            shutil.rmtree(node)
            seconds, peak = _process(
                ["plink2", "--threads", "2", option, str(source), "--make-pgen", "--out", str(folder / "p")]
            )
            house.append(ended.seconds)
            peaks.append(ended.peak_bytes)
            owns.append(ended.own_bytes)
            referee.append(seconds)
            referee_peaks.append(peak)
        ours, theirs = float(np.median(house)), float(np.median(referee))
        ratio = theirs / ours
        text = f"{files.n_variants:,} variants × {files.n_people:,} people"
        name = "BCF" if option == "--bcf" else "VCF.gz"
        rows += [
            Row(
                f"Q6 load {name}, whole process",
                text,
                f"{duration(ours)} ({genotypes / ours / 1e6:.0f} M genotypes/s)",
                f"plink2 {option} --make-pgen {duration(theirs)}",
                f"{ratio:.2f} × plink2's throughput",
                "≥ 0.5 × (goal 1.0 ×)",
                ratio >= 0.5,
            ),
            Row(
                f"Q6 load {name}, peak memory",
                text,
                f"{size(max(owns))} own, {size(max(peaks))} with pages of mapped files",
                f"plink2 {size(max(referee_peaks))}",
                f"{max(owns) / max(referee_peaks):.2f} of plink2's",
                "≤ 1 GiB",
                max(peaks) <= MEMORY_MAX,
            ),
        ]
    return rows


def _read_into_cache(path: Path) -> None:
    with path.open("rb") as file:
        while file.read(1 << 24):
            pass


def _process(words: list[str]) -> tuple[float, int]:
    """Wall seconds and largest resident bytes of one process."""
    start = time.perf_counter()
    process = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    _pid, status, usage = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - start
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise RuntimeError(f"{words} ended with {process.returncode}")
    return seconds, _max_rss(usage)


def _max_rss(usage: resource.struct_rusage) -> int:
    return usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def export(scale: Scale, files: data.CohortFiles, loaded: Loaded, folder: Path) -> list[Row]:
    """50 kb as BCF: in a running process and by the command, beside `bcftools view -r` on the indexed source."""
    store = open_store(loaded.store_folder)
    first = data.START + scale.bases // 2
    last = first + min(50_000, scale.bases // 4)
    region, text = Region("22", first - 1, last), f"22:{first}-{last}"
    ours, theirs = folder / "ours.bcf", folder / "theirs.bcf"
    bcftools = ["bcftools", "view", "--no-version", "-r", text, "-Ob", "-o", str(theirs), str(files.bcf)]
    command = [*COMMAND, "node", "export", str(loaded.node), "--dataset", "cohort", "--region", text, "--out", str(ours)]
    times = interleaved(
        {
            "in process": lambda: _fresh(ours, lambda: write_region(store, region, ours)),
            "command": lambda: _fresh(ours, lambda: subprocess.run(command, check=True, capture_output=True)),
            "bcftools": lambda: subprocess.run(bcftools, check=True, capture_output=True),
        },
        scale.repeats,
    )
    assert _genotypes(ours) == _genotypes(theirs)
    n = len(store.rows_starting(region))
    scale_text = f"{n:,} variants × {files.n_people:,} people"
    rows = []
    for name, what in (
        ("in process", "Q5 export 50 kb as BCF, in a running process"),
        ("command", "Q5 the same, whole command"),
    ):
        ratio = times["bcftools"].p50 / times[name].p50
        rows.append(
            Row(
                what,
                scale_text,
                f"p50 {duration(times[name].p50)}",
                f"bcftools view -r p50 {duration(times['bcftools'].p50)}",
                f"{ratio:.2f} × as fast",
                "faster than bcftools view -r",
                ratio > 1,
            )
        )
    return rows


def _fresh(path: Path, call) -> None:  # type: ignore[no-untyped-def]
    path.unlink(missing_ok=True)
    call()


def _genotypes(path: Path) -> bytes:
    words = ["bcftools", "query", "-f", "%CHROM %POS %REF %ALT[ %GT]\n", str(path)]
    return subprocess.run(words, check=True, capture_output=True).stdout


def disk(files: data.CohortFiles, loaded: Loaded) -> list[Row]:
    """The genotype store's bytes beside the source BCF's (GT only) and pgen's."""
    ours = folder_bytes(loaded.store_folder)
    bcf, pgen = files.bcf.stat().st_size, files.pgen.stat().st_size
    counts = folder_bytes(loaded.store_folder.with_name("counts"))
    bits = 8 * ours / (files.n_people * files.n_variants)
    text = f"{files.n_variants:,} variants × {files.n_people:,} people"
    return [
        Row(
            "Size on disk: genotype store (phase, alleles and index included)",
            text,
            f"{size(ours)} ({bits:.3f} bits/genotype); counts of all groups {size(counts)}",
            f"BCF {size(bcf)}, pgen {size(pgen)}",
            f"{ours / bcf:.2f} of the BCF, {ours / pgen:.2f} of the pgen",
            "≤ the source BCF (goal ≤ pgen)",
            ours <= bcf,
        )
    ]


def sparse_missing(scale: Scale, store: GenotypeStore) -> Row:
    """Bytes of a store of rare variants before and after one call in a thousand is taken away: they stay lists."""
    from cohelix.core.genome import Assembly
    from cohelix.genotypes.encode import encode_calls
    from cohelix.genotypes.writer import StoreWriter

    n = len(store.info.samples)
    counted = store.allele_counts(np.arange(store.info.n_variants))
    rare = np.flatnonzero((counted.ac >= 1) & (counted.ac <= n // 100))[: min(2000, scale.lookups)]
    rng = np.random.default_rng(8)
    sizes = {}
    for name, rate in (("complete", 0.0), ("with gaps", 0.001)):
        with tempfile.TemporaryDirectory(prefix="cohelix-bench-") as folder:
            target = Path(folder) / "store"
            with StoreWriter(target, assembly=Assembly.GRCH37, samples=list(store.info.samples)) as writer:
                for start in range(0, len(rare), 200):
                    rows = rare[start : start + 200]
                    calls = store.calls(rows)
                    alleles = calls.alleles.copy()
                    alleles[rng.random(alleles.shape[:2]) < rate] = -1
                    keys = [store.key(int(row)) for row in rows]
                    batch = encode_calls(
                        keys[0].contig,
                        np.array([k.position for k in keys], np.uint32),
                        np.array([k.end for k in keys], np.uint32),
                        *([k.ref for k in keys], [k.alt for k in keys], [""] * len(keys)),
                        *(rows.astype(np.int64), np.zeros(len(keys), np.uint16), np.ones(len(keys), np.uint16)),
                        *([""] * len(keys), alleles, calls.phased),
                    )
                    writer.add(batch, complete_before=int(keys[-1].position) + 1)
            sizes[name] = folder_bytes(target)
    listed = rate * n * len(rare) * 4
    dense = len(rare) * n / 4
    ratio = (sizes["with gaps"] - sizes["complete"]) / listed
    return Row(
        "Missing genotypes: rare variants (AF ≤ 0.5 %) with 0.1 % of calls missing stay sparse",
        f"{len(rare):,} variants × {n:,} people",
        f"{size(sizes['complete'])} complete, {size(sizes['with gaps'])} with gaps",
        f"as packed 2-bit rows {size(dense)}",
        f"{ratio:.2f} of 4 bytes per missing call",
        "a rare variant with missing calls stays sparse",
        sizes["with gaps"] - sizes["complete"] <= 1.5 * listed + 4096 and sizes["with gaps"] < dense,
    )
