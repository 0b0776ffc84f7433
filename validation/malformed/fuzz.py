"""Breaks valid VCF and BCF files at random; a load either ends well or says `CohelixError`, within time and memory.

`python -m validation.malformed.fuzz SEEDS_FROM SEEDS_TO` is the worker: a crash of the process, or a hang, is seen by
the parent (`run`), which notes the case and goes on after it.
"""

from __future__ import annotations

import gzip
import random
import subprocess
import sys
import tempfile
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from validation import synthetic

KINDS = ("vcf", "vcf.gz", "bcf", "bcf-raw")
SECONDS_MAX = 20
_PEOPLE = 12


class Case(NamedTuple):
    """What became of one broken file: "loaded", "refused", or what is wrong with the house."""

    seed: int
    kind: str
    outcome: str
    detail: str


def originals(folder: Path) -> dict[str, bytes]:
    """One valid file in every form; "bcf-raw" is inflated before it is broken and deflated again."""
    cohort = synthetic.make_cohort(_PEOPLE, 5)
    plain = synthetic.write_vcf(folder / "valid.vcf", cohort, per_contig=25, seed=6).read_bytes()
    zipped = synthetic.write_vcf(folder / "valid.vcf.gz", cohort, per_contig=25, seed=6).read_bytes()
    binary = synthetic.write_vcf(folder / "valid.bcf", cohort, per_contig=25, seed=6).read_bytes()
    return {"vcf": plain, "vcf.gz": zipped, "bcf": binary, "bcf-raw": gzip.decompress(binary)}


def broken(valid: dict[str, bytes], seed: int) -> tuple[str, bytes]:
    """The kind of file and its bytes after one to four mutations."""
    rng = random.Random(seed)
    kind = KINDS[seed % len(KINDS)]
    data = bytearray(valid[kind])
    for _ in range(rng.choice((1, 1, 1, 2, 4))):
        rng.choice(_MUTATIONS)(data, rng)
    return kind, gzip.compress(bytes(data), 1) if kind == "bcf-raw" else bytes(data)


def _flip_bit(data: bytearray, rng: random.Random) -> None:
    if data:
        data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)


def _set_byte(data: bytearray, rng: random.Random) -> None:
    if data:
        data[rng.randrange(len(data))] = rng.choice((0, 9, 10, 13, 32, 44, 46, 47, 48, 124, 127, 128, 255, rng.randrange(256)))


def _cut_end(data: bytearray, rng: random.Random) -> None:
    del data[rng.randrange(len(data) + 1) :]


def _cut_middle(data: bytearray, rng: random.Random) -> None:
    start = rng.randrange(len(data) + 1)
    del data[start : start + rng.choice((1, 2, 7, 64, 1000))]


def _double(data: bytearray, rng: random.Random) -> None:
    start = rng.randrange(len(data) + 1)
    data[start:start] = data[start : start + rng.choice((1, 3, 40, 900))]


def _move(data: bytearray, rng: random.Random) -> None:
    start, length = rng.randrange(len(data) + 1), rng.choice((4, 50, 700))
    piece = data[start : start + length]
    del data[start : start + length]
    place = rng.randrange(len(data) + 1)
    data[place:place] = piece


def _noise(data: bytearray, rng: random.Random) -> None:
    place = rng.randrange(len(data) + 1)
    data[place:place] = rng.randbytes(rng.choice((1, 8, 300)))


def _big_number(data: bytearray, rng: random.Random) -> None:
    """Overwrite four bytes with an extreme integer: lengths, counts and offsets of BCF."""
    if len(data) > 4:
        place = rng.randrange(len(data) - 4)
        value = rng.choice((0, 1, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, 0x80, 0xFFFF, rng.getrandbits(32)))
        data[place : place + 4] = value.to_bytes(4, "little")


def _swap_lines(data: bytearray, rng: random.Random) -> None:
    lines = bytes(data).split(b"\n")
    if len(lines) > 3:
        a, b = rng.randrange(len(lines)), rng.randrange(len(lines))
        lines[a], lines[b] = lines[b], lines[a]
        data[:] = b"\n".join(lines)


def _swap_fields(data: bytearray, rng: random.Random) -> None:
    fields = bytes(data).split(b"\t")
    if len(fields) > 3:
        a, b = rng.randrange(len(fields)), rng.randrange(len(fields))
        fields[a], fields[b] = fields[b], fields[a]
        data[:] = b"\t".join(fields)


_MUTATIONS: tuple[Callable[[bytearray, random.Random], None], ...] = (
    *(_flip_bit, _set_byte, _cut_end, _cut_middle, _double, _move, _noise, _big_number, _swap_lines, _swap_fields),
)


def load_broken(valid: dict[str, bytes], seed: int, folder: Path) -> Case:
    """Load one broken file in this process."""
    from cohelix.core.errors import BadFile, CohelixError
    from cohelix.core.genome import Assembly
    from cohelix.genotypes.load import load_genotypes

    kind, data = broken(valid, seed)
    path = folder / f"broken{seed}.{kind.removesuffix('-raw')}"
    path.write_bytes(data)
    target = folder / f"store{seed}"
    try:
        load_genotypes([path], target, assembly=Assembly.GRCH37, reference=None, progress=None)
    except BadFile as error:
        complete = error.path and error.expected and path.name in error.detail
        return Case(seed, kind, "refused" if complete else "refused without path or expectation", error.detail[:300])
    except CohelixError as error:
        return Case(seed, kind, "refused, but not as a BadFile", f"{type(error).__name__}: {error.detail[:300]}")
    except MemoryError:
        return Case(seed, kind, "out of memory", traceback.format_exc()[-600:])
    except Exception as error:
        return Case(seed, kind, f"raised {type(error).__name__}", traceback.format_exc()[-900:])
    finally:
        path.unlink()
    return Case(seed, kind, "loaded", "")


def run(first: int, last: int) -> list[Case]:
    """Cases `first` to `last`, in worker processes whose end or silence is a finding of its own."""
    cases: list[Case] = []
    seed = first
    while seed < last:
        with subprocess.Popen(
            [sys.executable, "-m", "validation.malformed.fuzz", str(seed), str(last)],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=Path(__file__).parents[2],
        ) as worker:  # fmt: skip
            assert worker.stdout is not None
            for line in worker.stdout:
                number, kind, outcome, detail = line.rstrip("\n").split("\t", 3)
                cases.append(Case(int(number), kind, outcome, detail.replace("\\n", "\n")))
                seed = int(number) + 1
            said = worker.stderr.read() if worker.stderr else ""
        if worker.returncode:
            outcome = (
                f"hung for more than {SECONDS_MAX} s"
                if worker.returncode == -14
                else f"killed the process ({worker.returncode})"
            )
            cases.append(Case(seed, KINDS[seed % len(KINDS)], outcome, said[-600:]))
            seed += 1
    return cases


def _worker(first: int, last: int) -> None:
    import resource
    import signal

    # Address space, not resident: Numba and Arrow reserve a lot without touching it.
    resource.setrlimit(resource.RLIMIT_AS, (12 << 30, 12 << 30))
    with tempfile.TemporaryDirectory(prefix="cohelix-fuzz-") as folder:
        valid = originals(Path(folder))
        warm = Path(folder) / "valid.vcf"
        warm.write_bytes(valid["vcf"])
        for seed in range(first, last):
            signal.alarm(SECONDS_MAX + (60 if seed == first else 0))  # the first call may compile
            case = load_broken(valid, seed, Path(folder))
            signal.alarm(0)
            detail = case.detail.replace("\n", "\\n").replace("\t", " ")
            print(case.seed, case.kind, case.outcome, detail, sep="\t", flush=True)


if __name__ == "__main__":
    _worker(int(sys.argv[1]), int(sys.argv[2]))
