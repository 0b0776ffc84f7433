"""The malformed files that the tests keep, genotypes and tables, put before the real command line one by one."""

from __future__ import annotations

import importlib.util
import random
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

from validation.processes import Ended, cohelix, done, said
from validation.realdata import REPOSITORY

SECONDS_MAX = 20.0
MEMORY_MAX = 1 << 30


@dataclass(frozen=True)
class Verdict:
    """How `cohelix node load` took one malformed file."""

    name: str
    status: int
    seconds: float
    own_bytes: int  # 0 where it ran in this process
    faults: tuple[str, ...]


def _module(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"validation_{path.stem}", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def verdicts(scratch: Path, *, processes: int, seed: int = 1) -> Iterator[Verdict]:
    """Load every malformed file of the tests; the node keeps its one good version throughout.

    A seeded sample of `processes` of them is loaded by a process of its own, with its time and memory; the others run
    the same command line in this process.
    """
    genotypes = _module(REPOSITORY / "tests/genotypes/malformed.py")
    tables = _module(REPOSITORY / "tests/phenotypes/test_refusals.py")
    node, good = scratch / "node", scratch / "good.vcf"
    done("node", "init", node, "--id", "M", "--name", "Malformed", "--country", "FI")
    good.write_bytes(genotypes.good())
    done("node", "load", node, "--dataset", "d", "--genotypes", good, "--assembly", "GRCh37")
    before = _published(node)
    cases = list(genotypes.cases())
    total = len(cases) + len(tables.TABLES)
    apart = set(random.Random(seed).sample(range(total), min(processes, total)))
    for number, case in enumerate(cases):
        folder = scratch / f"case{number}"
        folder.mkdir()
        files, reference = genotypes.write(case, folder)
        words = ["--reference", reference] if reference else []
        ended = _load(number in apart, node, files, *words)
        named = [name for name, _ in case.files] + ([reference.name] if reference else [])
        yield _judge(f"genotypes: {case.name}", ended, named, case.place)
        shutil.rmtree(folder)
    for number, (name, (content, place, _word)) in enumerate(tables.TABLES.items(), start=len(cases)):
        table = scratch / "people.table"
        table.write_bytes(content.encode() if isinstance(content, str) else content)
        yield _judge(f"table: {name}", _load(number in apart, node, [good], "--individuals", table), ["people.table"], place)
    if _published(node) != before:
        yield Verdict("after all of them", 0, 0, 0, ("a refused load has published something",))


def _load(apart: bool, node: Path, files: list[Path], *more: str | Path) -> Ended:
    words = ["node", "load", node, "--dataset", "d", "--genotypes", *files, "--assembly", "GRCh37", *more]
    return cohelix(*words, seconds=SECONDS_MAX * 3) if apart else said(*words)


def _judge(name: str, ended: Ended, files: list[str], place: str) -> Verdict:
    wanted = {
        f"ended with {ended.status}": ended.status == 2,
        "traceback": "Traceback" not in ended.err,
        "does not name the file": any(file in ended.err for file in files) or not files,
        "does not say where": place in ended.err,
        "does not say what was expected": "expected" in ended.err,
        f"took {ended.seconds:.1f} s": ended.seconds <= SECONDS_MAX,
        f"took {ended.own_bytes >> 20} MiB": ended.own_bytes <= MEMORY_MAX,
    }
    faults = tuple(fault for fault, fine in wanted.items() if not fine)
    if faults:
        faults += (ended.err.strip()[-300:],)
    return Verdict(name, ended.status, round(ended.seconds, 2), ended.own_bytes, faults)


def _published(node: Path) -> list[str]:
    return sorted(str(p) for p in (node / "datasets").rglob("current.json")) + [
        p.read_text() for p in (node / "datasets").rglob("current.json")
    ]
