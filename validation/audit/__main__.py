"""Tampers 10,000 times with a log, measures the log at full size, and writes `validation/audit/RESULTS.md`."""

from __future__ import annotations

import os
import sys
import tempfile
import threading
import time
from collections import Counter
from pathlib import Path

import numpy as np
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from cohelix.audit.bundle import Trust, prove, verify_proof, verify_store
from cohelix.audit.checkpoint import public_text
from cohelix.audit.events import Decided, LogoutDone, Person, QuestionAnswered
from cohelix.audit.log import AuditLog
from cohelix.db import open_database
from validation.audit.tampering import DEPTHS, KINDS, ORIGIN, detected, make_log, tamper

HERE = Path(__file__).parent
TAMPERINGS = 10_000
ENTRIES = 1_000_000
PROVED = 2_000
WAITING, EACH = 64, 300  # threads that wait for their entries, and how many each appends
PERSON = Person("researcher", "https://broker.example")


def main() -> int:
    """Exit 0 only if every tampering is seen, and every figure is as promised."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        lines, seen = _tamperings(folder / "tampered")
        figures, met = _figures(folder / "large")
    load = os.getloadavg()[0]
    head = ["# The audit log", "", f"Made by `python -m validation.audit`; {os.cpu_count()} cores, load {load:.1f}.", ""]
    text = "\n".join([*head, *lines, "", *figures]) + "\n"
    (HERE / "RESULTS.md").write_text(text)
    print(text)
    return 0 if seen and met else 1


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
        lines.append(
            f"| {kind} | {' | '.join(cells)} | {'yes' if not missed else f'**{missed} missed**'} "
            f"| {sum(named[key] for key in keys) / whole:.0%} | {alone[kind]} of {alone[f'all {kind}']} |"
        )
    return lines, sum(found.values()) == TAMPERINGS


def _figures(folder: Path) -> tuple[list[str], bool]:
    (folder / "identity").mkdir(parents=True)
    key = Ed25519PrivateKey.generate()
    path = folder / "audit.sqlite"
    log = AuditLog(folder, ORIGIN, database=lambda: open_database(path), signer=lambda: key)
    log.record(LogoutDone(), by=PERSON, wait=True)
    waiting = _appends(log)
    start = time.perf_counter()
    for number in range(ENTRIES - WAITING * EACH):
        log.record(_event(log, number), by=PERSON, wait=number % 50_000 == 0)
    log.record(LogoutDone(), wait=True)
    filling = (ENTRIES - WAITING * EACH) / (time.perf_counter() - start)
    log.close()
    store, trust = log.store(), Trust(key=public_text(key))
    start = time.perf_counter()
    found = verify_store(store, trust)
    seconds = time.perf_counter() - start
    proofs = []
    dice = np.random.default_rng(1)
    for number in dice.integers(0, found.size, PROVED):
        start = time.perf_counter()
        proof = prove(store, int(number))
        proofs.append(time.perf_counter() - start)
        verify_proof(proof, trust)
    p50, p99 = (float(np.quantile(proofs, one)) * 1e3 for one in (0.5, 0.99))
    size = path.stat().st_size / found.size
    rows = [
        (
            "entries verified, with every signed checkpoint",
            f"{found.size:,} in {seconds:.1f} s",
            "10^6 in ≤ 60 s",
            seconds <= 60,
        ),
        (f"proof of inclusion, {PROVED:,} random entries", f"p50 {p50:.2f} ms, p99 {p99:.2f} ms", "≤ 5 ms", p99 <= 5),
        (
            f"appends that {WAITING} threads wait for (group commit, fsync)",
            f"{waiting:,.0f} a second",
            "≥ 3,000",
            waiting >= 3000,
        ),
        ("appends of public answers", f"{filling:,.0f} a second", "–", True),
        ("bytes on disk, an entry", f"{size:,.0f}", "–", found.misfit is None),
    ]
    lines = ["| on SQLite | | promised | |", "|---|---|---|---|"]
    lines += [f"| {what} | {figure} | {promise} | {'met' if met else '**missed**'} |" for what, figure, promise, met in rows]
    return lines, all(met for *_rest, met in rows)


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


def _event(log: AuditLog, number: int) -> QuestionAnswered:
    decided = Decided("FI:cohort", "answered", "controlled", granularity="count", visas=(f"visa-{number % 100}",))
    return QuestionAnswered("frequency", "hub", log.keyed(f"22-{number}-G-A"), "research", (decided,))


if __name__ == "__main__":
    sys.exit(main())
