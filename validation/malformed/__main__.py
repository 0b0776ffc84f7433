"""Malformed files, random mutations and bombs through the command line; writes `validation/malformed/RESULTS.md`."""

from __future__ import annotations

import json
import sys
import tempfile
import time
from collections import Counter
from dataclasses import asdict
from pathlib import Path

from validation.malformed import bombs, cases, fuzz
from validation.malformed.forms import FORMS

HERE = Path(__file__).parent
PROCESSES = 200
MUTATIONS = 2_000  # of each form
BOMB_BYTES = 6_000_000_000


def main() -> int:
    """Exit 0 only if every file was refused in words, or loaded where it is good, within time and memory."""
    start = time.perf_counter()
    with tempfile.TemporaryDirectory(prefix="cohelix-malformed-") as folder:
        judged = list(cases.verdicts(Path(folder), processes=PROCESSES))
        print(f"{len(judged)} malformed files, {sum(bool(v.faults) for v in judged)} at fault", file=sys.stderr, flush=True)
        mutated = [case for kind in FORMS for case in fuzz.run(kind, 0, MUTATIONS)]
        wrong = [case for case in mutated if case.outcome not in fuzz.FINE]
        print(f"{len(mutated)} mutations, {len(wrong)} at fault", file=sys.stderr, flush=True)
        exploded = []
        for name, (pieces, expected) in bombs.bombs(BOMB_BYTES).items():
            exploded.append(bombs.try_bomb(name, pieces, expected, Path(folder)))
            print(exploded[-1], file=sys.stderr, flush=True)
    return _write(judged, mutated, exploded, time.perf_counter() - start)


def _write(judged: list[cases.Verdict], mutated: list[fuzz.Case], exploded: list[bombs.BombOutcome], seconds: float) -> int:
    wrong = [case for case in mutated if case.outcome not in fuzz.FINE]
    kinds = {kind: Counter(case.outcome for case in mutated if case.kind == kind) for kind in FORMS}
    lines = [
        "# Malformed files",
        "",
        "Made by `python -m validation.malformed`.",
        "",
        f"## {len(judged)} malformed genotype and table files",
        "",
        f"Each through the command line of `cohelix node load`, {sum(v.own_bytes > 0 for v in judged)} of them as processes of",
        "their own: exit status 2, a message with file, place and what was expected, no traceback, at most",
        f"{cases.SECONDS_MAX:.0f} s and 1 GiB. The good version stays published throughout.",
        "",
        f"At fault: {sum(bool(v.faults) for v in judged)}. Slowest {max(v.seconds for v in judged):.1f} s, largest "
        f"{max(v.own_bytes for v in judged) >> 20} MiB.",
        *(f"* {v.name}: {'; '.join(v.faults)}" for v in judged if v.faults),
        "",
        f"## {len(mutated):,} random mutations of valid files of {len(FORMS)} forms",
        "",
        "Bits, bytes, lengths, lines and fields changed, cut, doubled or moved; `-inside`: before the bytes are packed.",
        "Some are still valid. Anything but a load, or a refusal that names file and expectation, within",
        f"{fuzz.SECONDS_MAX} s and {fuzz.MEMORY_MAX >> 30} GiB, is at fault: {len(wrong)}.",
        "",
        "| form | read | refused | at fault |",
        "|---|---|---|---|",
        *(
            f"| {kind} | {n['loaded']} | {n['refused']} | {n.total() - n['loaded'] - n['refused']} |"
            for kind, n in kinds.items()
        ),
        *(f"* {case.seed} {case.kind}: {case.outcome}: {case.detail[:300]}" for case in wrong[:20]),
        "",
        f"## Bombs: small files that expand to {BOMB_BYTES / 1e9:.0f} GB",
        "",
        "| file | compressed | ratio | exit status | seconds | memory | with pages of files | fine |",
        "|---|---|---|---|---|---|---|---|",
        *(
            f"| {b.name} | {b.compressed_bytes / 1e6:.1f} MB | {b.expanded_bytes / b.compressed_bytes:.0f} : 1 | {b.status} "
            f"| {b.seconds} | {b.own_bytes >> 20} MiB | {b.peak_bytes >> 20} MiB | {'yes' if b.good else '**no**'} |"
            for b in exploded
        ),
        "",
        f"{seconds:.0f} s.",
    ]
    (HERE / "RESULTS.md").write_text("\n".join(lines) + "\n")
    record = {
        "files": [asdict(v) for v in judged],
        "mutations": kinds,
        "bombs": [asdict(b) for b in exploded],
    }
    (HERE / "results.json").write_text(json.dumps(record, indent=1) + "\n")
    print("\n".join(lines))
    return 1 if wrong or any(v.faults for v in judged) or not all(b.good for b in exploded) else 0


if __name__ == "__main__":
    sys.exit(main())
