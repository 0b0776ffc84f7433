"""Breaks valid files of every form at random; reading one either ends well or says `BadFile`, within time and memory.

`python -m validation.malformed.fuzz FORM SEEDS_FROM SEEDS_TO` is the worker: a crash of the process, or a hang, is seen by
the parent (`run`), which notes the case and goes on after it.
"""

from __future__ import annotations

import random
import subprocess
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from validation.malformed.forms import FORMS, Files, Form, scratch_folders

SECONDS_MAX = 30
MEMORY_MAX = 2 << 30  # resident, of a worker over all its files
FINE = ("loaded", "refused")


class Case(NamedTuple):
    """What became of one broken file: "loaded", "refused", or what is wrong with the house."""

    seed: int
    kind: str
    outcome: str
    detail: str


def broken(form: Form, valid: Files, seed: int) -> Files:
    """The files of a form, one of them after one to four mutations."""
    rng = random.Random(seed)
    name = rng.choice(form.names())
    data = bytearray(valid[name])
    for _ in range(rng.choice((1, 1, 1, 2, 4))):
        mutate(data, rng)
    return {**valid, name: bytes(data)}


def mutate(data: bytearray, rng: random.Random) -> None:
    """Change, cut, double or move bits, bytes, numbers, lines or fields, in place."""
    rng.choice(_MUTATIONS)(data, rng)


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


def outcome_of(form: Form, files: Files) -> tuple[str, str]:
    """What reading the files comes to, in a word, and its details."""
    from cohelix.core.errors import BadFile, CohelixError

    with scratch_folders(form, files) as (folder, scratch):
        try:
            form.read(folder, scratch)
        except BadFile as error:
            named = any(name in error.detail for name in files) or str(folder) in error.detail
            complete = error.path and error.problem and error.expected and named and error.exit_status == 2
            return "refused" if complete else "refused without file or expectation", error.detail[:300]
        except CohelixError as error:
            return "refused, but not as a BadFile", f"{type(error).__name__}: {error.detail[:300]}"
        except MemoryError:
            return "out of memory", traceback.format_exc()[-600:]
        except Exception as error:
            return f"raised {type(error).__name__}", traceback.format_exc()[-1500:]
    return "loaded", ""


def run(kind: str, first: int, last: int) -> list[Case]:
    """Cases `first` to `last` of a form, in worker processes whose end or silence is a finding of its own."""
    cases: list[Case] = []
    seed = first
    while seed < last:
        with subprocess.Popen(
            [sys.executable, "-m", "validation.malformed.fuzz", kind, str(seed), str(last)],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=Path(__file__).parents[2],
        ) as worker:  # fmt: skip
            assert worker.stdout is not None
            for line in worker.stdout:
                number, outcome, detail = line.rstrip("\n").split("\t", 2)
                cases.append(Case(int(number), kind, outcome, detail.replace("\\n", "\n")))
                seed = int(number) + 1
            said = worker.stderr.read() if worker.stderr else ""
        if worker.returncode:
            outcome = (
                f"hung for more than {SECONDS_MAX} s"
                if worker.returncode == -14
                else f"killed the process ({worker.returncode})"
            )
            cases.append(Case(seed, kind, outcome, said[-600:]))
            seed += 1
    return cases


def _peak_bytes() -> int:
    """The largest resident memory of this program; `getrusage` would count that of the process that started it, too."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return next(int(line.split()[1]) * 1024 for line in status.splitlines() if line.startswith("VmHWM:"))


def _worker(kind: str, first: int, last: int) -> None:
    import resource
    import signal

    # Address space, not resident: Numba and Arrow reserve a lot without touching it.
    resource.setrlimit(resource.RLIMIT_AS, (12 << 30, 12 << 30))
    form = FORMS[kind]
    valid = form.good()
    for seed in range(first, last):
        signal.alarm(SECONDS_MAX + (60 if seed == first else 0))  # the first call may compile
        outcome, detail = outcome_of(form, broken(form, valid, seed))
        signal.alarm(0)
        if _peak_bytes() > MEMORY_MAX:
            outcome = "took more than 2 GiB"
        print(seed, outcome, detail.replace("\n", "\\n").replace("\t", " ").replace("\r", " "), sep="\t", flush=True)


if __name__ == "__main__":
    _worker(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
