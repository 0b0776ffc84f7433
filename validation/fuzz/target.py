"""One parser under atheris: `python -m validation.fuzz.target FORM SECONDS FOLDER`; what it finds stands in the folder.

The first byte of an input says which of the form's files it replaces, the rest is that file. Half of the mutations are
libFuzzer's, half those of `validation.malformed.fuzz`. Compiled scans are not instrumented: changed bytecode would not
compile, and there the mutations go by the coverage of what surrounds them.
"""

from __future__ import annotations

import hashlib
import json
import random
import re
import sys
import time
from pathlib import Path

import atheris

from validation.malformed.forms import FORMS
from validation.malformed.fuzz import FINE, MEMORY_MAX, SECONDS_MAX, mutate, outcome_of

INPUT_BYTES_MAX = 64 << 10
_COMPILED = (
    *("scan", "scan_vcf", "scan_bcf", "scan_calls", "scan_sites", "scan_layout", "kernels", "export", "count_lines"),
    *("tallies", "depths", "plink_records"),
)


def main(kind: str, seconds: int, folder: Path) -> None:
    """Fuzz one form; libFuzzer ends the process when the time is over."""
    form = FORMS[kind]
    valid = form.good()
    names = form.names()
    excluded = [f"cohelix.genotypes.{name}" for name in _COMPILED] + [
        f"cohelix.stats.{name}" for name in ("hwe", "bits", "kinship")
    ]
    with atheris.instrument_imports(include=["cohelix"], exclude=excluded):
        outcome_of(form, valid)  # imports, inside functions too
    tally = {"executions": 0, "loaded": 0, "refused": 0}
    found: dict[str, int] = {}
    start = noted = time.monotonic()

    def note() -> None:
        record = {**tally, "seconds": round(time.monotonic() - start, 1), "found": found}
        (folder / "tally.json").write_text(json.dumps(record))

    def one(data: bytes) -> None:
        nonlocal noted
        name = names[data[0] % len(names)] if data else names[0]
        outcome, detail = outcome_of(form, {**valid, name: data[1:]})
        tally["executions"] += 1
        if outcome in FINE:
            tally[outcome] += 1
        else:
            places = re.findall(r'File "[^"]*/(\w+\.py)", line (\d+)', detail)
            where = outcome + (f" at {places[-1][0]}:{places[-1][1]}" if places else f": {detail[:60]}")
            if where not in found:
                (folder / f"found-{hashlib.sha256(data).hexdigest()[:12]}.bin").write_bytes(data)
                (folder / f"found-{hashlib.sha256(data).hexdigest()[:12]}.txt").write_text(f"{name}\n{where}\n{detail}\n")
            found[where] = found.get(where, 0) + 1
        if time.monotonic() - noted > 1:
            noted = time.monotonic()
            note()

    def changed(data: bytes, size_max: int, seed: int) -> bytes:
        rng = random.Random(seed)
        if rng.random() < 0.5:
            return bytes(atheris.Mutate(data, size_max))
        inner = bytearray(data[1:])
        for _ in range(rng.choice((1, 1, 2, 4))):
            mutate(inner, rng)
        return (data[:1] + bytes(inner))[:size_max]

    corpus = folder / "corpus"
    corpus.mkdir(parents=True, exist_ok=True)
    for number, name in enumerate(names):
        (corpus / f"valid-{number}").write_bytes(bytes((number,)) + valid[name])
    limits = [f"-max_total_time={seconds}", f"-timeout={SECONDS_MAX}", f"-rss_limit_mb={MEMORY_MAX >> 20}"]
    words = [*limits, f"-max_len={INPUT_BYTES_MAX}", "-len_control=0", f"-artifact_prefix={folder}/", "-print_final_stats=1"]
    note()
    atheris.Setup([sys.argv[0], *words, str(corpus)], one, custom_mutator=changed)
    atheris.Fuzz()


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), Path(sys.argv[3]))
