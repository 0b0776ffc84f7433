"""Tampers 10,000 times with a log (`RESULTS.md`), and measures the log at full size (`FIGURES.md`)."""

from __future__ import annotations

import os
import sys
import tempfile
import threading
import time
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from cohelix.audit.bundle import Trust, prove, verify_proof, verify_store
from cohelix.audit.checkpoint import public_text
from cohelix.audit.events import Decided, LogoutDone, Person, QuestionAnswered
from cohelix.audit.log import AuditLog
from cohelix.audit.store import Batch, Line
from cohelix.db import open_database
from validation.audit.over_http import with_and_without
from validation.audit.tampering import DEPTHS, KINDS, ORIGIN, detected, make_log, tamper

HERE = Path(__file__).parent
TAMPERINGS = 10_000
ENTRIES = 1_000_000
GROUP = 1_000
CALLERS, CALLS, CALLS_A_SECOND = 16, 4_000, 200
PROVED = 2_000
ANSWERS, ANSWERS_A_SECOND, QUESTIONS = (
    4_000,
    100,
    8_000,
)  # over HTTP, of both nodes: controlled ones; and each, of somebody unknown
WAITING, EACH = 64, 300  # threads that wait for their entries, and how many each appends
PERSON = Person("researcher", "https://broker.example")


def main() -> int:
    """Exit 0 only if every tampering is seen (`tamperings`), and every figure is as promised (`figures`); both by default."""
    wanted = sys.argv[1:] or ["tamperings", "figures"]
    sound = True
    for name, file, make in (("tamperings", "RESULTS.md", _tamperings), ("figures", "FIGURES.md", _figures)):
        if name in wanted:
            with tempfile.TemporaryDirectory() as folder:
                lines, holds = make(Path(folder) / "log")
            made = f"Made by `python -m validation.audit {name}`; {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}."
            text = "\n".join([f"# The audit log: {name}", "", made, "", *lines]) + "\n"
            (HERE / file).write_text(text)
            print(text)
            sound = sound and holds
    return 0 if sound else 1


def _tamperings(folder: Path) -> tuple[list[str], bool]:
    made = make_log(folder, 700, seed=0)
    found, named, alone, all_of = Counter[str](), Counter[str](), Counter[str](), Counter[str]()
    for seed in range(TAMPERINGS):
        kind, depth, touched = tamper(made, folder / "copy.sqlite", seed)
        all_of[f"{kind}/{depth}"] += 1
        misfit = detected(folder / "copy.sqlite", folder, made, with_witness=True)
        found[f"{kind}/{depth}"] += misfit is not None
        named[f"{kind}/{depth}"] += misfit is not None and misfit.first - 1 <= touched <= misfit.last + 1
        if depth == DEPTHS[-1] and seed % 10 == 0:
            alone[kind] += detected(folder / "copy.sqlite", folder, made, with_witness=False) is not None
            alone[f"all {kind}"] += 1
        if seed % 1000 == 999:
            print(f"{seed + 1:,} tamperings", file=sys.stderr, flush=True)
    lines = [
        f"{TAMPERINGS:,} random tamperings (seeds 0…{TAMPERINGS - 1:,}) with a log of {made.size} entries in SQLite, by",
        "somebody who mends nothing (`rows`), numbers, leaf hashes and copies too (`hashes`), or signs every checkpoint",
        "anew with the log's own key (`signed anew`). The verifier knows the log's key, and checkpoints that another member",
        "holds. The last column: how many of those signed anew are seen without them, of each tenth one. The first entry",
        "counts as named where the one that was touched, or its neighbour, is among those that the message names.",
        "",
        f"| | {' | '.join(DEPTHS)} | all seen | first entry named | signed anew, without a witness |",
        f"|---|{'---|' * (len(DEPTHS) + 3)}",
    ]
    for kind in KINDS:
        keys = [f"{kind}/{depth}" for depth in DEPTHS]
        cells = [f"{found[key]:,} of {all_of[key]:,}" for key in keys]
        whole = sum(all_of[key] for key in keys)
        missed = whole - sum(found[key] for key in keys)
        seen = "yes" if not missed else f"**{missed} missed**"
        precise = "–" if kind == "key swap" else f"{sum(named[key] for key in keys) / whole:.0%}"
        unaided = f"{alone[kind]} of {alone[f'all {kind}']}"
        lines.append(f"| {kind} | {' | '.join(cells)} | {seen} | {precise} | {unaided} |")
    return lines, sum(found.values()) == TAMPERINGS


def _figures(folder: Path) -> tuple[list[str], bool]:
    (folder / "identity").mkdir(parents=True)
    key = Ed25519PrivateKey.generate()
    path = folder / "audit.sqlite"
    log = AuditLog(folder, ORIGIN, database=lambda: open_database(path), signer=lambda: key)
    log.record(LogoutDone(), by=PERSON, wait=True)
    waiting = _appends(log)
    added = np.quantile(_waits(log), (0.5, 0.99)) * 1e3
    log.close()
    store, trust, now = log.store(), Trust(key=public_text(key)), datetime.now(UTC)
    start = time.perf_counter()
    for first in range(0, ENTRIES - WAITING * EACH - CALLS, GROUP):
        store.append(Batch([Line(_event(log, first + one), PERSON, now) for one in range(GROUP)]), key, now)
    filling = (ENTRIES - WAITING * EACH) / (time.perf_counter() - start)
    start = time.perf_counter()
    used = time.process_time()
    found = verify_store(store, trust)
    seconds, verifying = time.perf_counter() - start, time.process_time() - used
    proofs, used = [], time.process_time()
    dice = np.random.default_rng(1)
    for number in dice.integers(0, found.size, PROVED):
        start = time.perf_counter()
        proof = prove(store, int(number))
        proofs.append(time.perf_counter() - start)
        verify_proof(proof, trust)
    cpu = (time.process_time() - used) / PROVED * 1e3
    p50, p99 = (float(np.quantile(proofs, one)) * 1e3 for one in (0.5, 0.99))
    size = path.stat().st_size / found.size
    written, unwritten = with_and_without(folder.with_name("nodes"), ANSWERS, ANSWERS_A_SECOND, QUESTIONS)
    over_http = [[float(np.quantile(one.controlled, share)) * 1e3 for share in (0.5, 0.99)] for one in (written, unwritten)]
    more = over_http[0][1] - over_http[1][1]
    cost = written.public_cpu / unwritten.public_cpu - 1
    rows = [
        (
            "entries verified, with every signed checkpoint",
            f"{found.size:,} in {seconds:.1f} s",
            "10^6 in ≤ 60 s",
            seconds <= 60,
        ),
        ("… processor time", f"{verifying:.1f} s", "–", True),
        (f"proof of inclusion, {PROVED:,} random entries", f"p50 {p50:.2f} ms, p99 {p99:.2f} ms", "≤ 5 ms", p50 <= 5),
        ("… processor time of a proof and its verification", f"{cpu:.2f} ms", "–", True),
        (
            f"appends that {WAITING} threads wait for (group commit, fsync)",
            f"{waiting:,.0f} a second",
            "≥ 3,000",
            waiting >= 3000,
        ),
        (f"appends in groups of {GROUP:,}, as of public answers", f"{filling:,.0f} a second", "–", True),
        (
            f"what the wait adds to a controlled answer, {CALLERS} callers, {CALLS_A_SECOND} answers a second",
            f"p50 {added[0]:.2f} ms, p99 {added[1]:.2f} ms",
            "≤ 20 ms",
            added[1] <= 20,
        ),
        (
            f"p99 of a controlled answer over HTTP, with the audit and without, {ANSWERS_A_SECOND} answers a second",
            f"{over_http[0][1]:.1f} and {over_http[1][1]:.1f} ms, {more:+.1f} "
            f"(p50 {over_http[0][0]:.1f} and {over_http[1][0]:.1f} ms)",
            "≤ 20 ms more",
            more <= 20,
        ),
        (
            "processor time of an answer to everybody over HTTP, with the audit and without",
            f"{written.public_cpu * 1e6:.0f} and {unwritten.public_cpu * 1e6:.0f} µs ({cost:+.0%})",
            "–",
            True,
        ),
        ("bytes on disk, an entry", f"{size:,.0f}", "–", found.misfit is None),
    ]
    lines = ["| on SQLite | | promised | |", "|---|---|---|---|"]
    lines += [f"| {what} | {figure} | {promise} | {_verdict(promise, met)} |" for what, figure, promise, met in rows]
    return lines, all(met for *_rest, met in rows)


def _verdict(promise: str, met: bool) -> str:
    if promise == "–":
        return "–"
    return "met" if met else "**missed**"


def _appends(log: AuditLog) -> float:
    """Entries a second that threads append, each waiting for every one of its own."""

    def append() -> None:
        for number in range(EACH):
            log.record(_event(log, number), by=PERSON, wait=True)

    threads = [threading.Thread(target=append) for _ in range(WAITING)]
    start = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return WAITING * EACH / (time.perf_counter() - start)


def _waits(log: AuditLog) -> list[float]:
    """Seconds that each answer waits for its entry: the call that the gate makes before a controlled answer leaves."""
    found: list[float] = []

    def answer(seed: int) -> None:
        dice = np.random.default_rng(seed)
        for pause in dice.exponential(CALLERS / CALLS_A_SECOND, CALLS // CALLERS):
            time.sleep(pause)
            start = time.perf_counter()
            log.record(_event(log, seed), by=PERSON, wait=True)
            found.append(time.perf_counter() - start)

    threads = [threading.Thread(target=answer, args=(seed,)) for seed in range(CALLERS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return found


def _event(log: AuditLog, number: int) -> QuestionAnswered:
    decided = Decided("FI:cohort", "answered", "controlled", granularity="count", visas=(f"visa-{number % 100}",))
    return QuestionAnswered("frequency", "hub", log.keyed(f"22-{number}-G-A"), "research", (decided,))


if __name__ == "__main__":
    sys.exit(main())
