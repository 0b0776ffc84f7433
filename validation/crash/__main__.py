"""Kills 50 loads of real genomes at random moments and writes `validation/crash/RESULTS.md`."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from collections import Counter
from dataclasses import asdict
from pathlib import Path

from validation import realdata
from validation.crash.kill import Experiment, run
from validation.naive import samples_of

HERE = Path(__file__).parent
TIMES, SEED = 50, 20261122


def main() -> int:
    """Exit 0 only if every killed load left the old version or the complete new one."""
    start = time.perf_counter()
    with tempfile.TemporaryDirectory(prefix="cohelix-crash-") as folder:
        scratch = Path(folder)
        new = realdata.qtltools_example() / "genotypes.chr22.vcf.gz"
        old = scratch / "old.bcf"
        source = realdata.indexed(new, scratch)
        subprocess.run(["bcftools", "view", "-r", "chr22:16000000-20000000", "-Ob", "-o", old, source], check=True)
        people = realdata.write_people(scratch / "people.tsv", realdata.panel(), samples_of(new))
        experiment = Experiment(scratch, old, new, people)
        found = run(experiment, TIMES, SEED)
    tally = Counter(("killed" if a.killed else "had ended") + ", " + a.version for a in found)
    good = all(a.version in ("old", "new") and a.next_load_equal and a.staging_gone for a in found)
    lines = [
        "# kill -9 at random moments of a load",
        "",
        f"Made by `python -m validation.crash` (seed {SEED}): {TIMES} loads of 358 people x 85,485 variants over an older",
        f"version, each killed with SIGKILL at a random moment of the {experiment.seconds:.1f} s of an undisturbed load.",
        "Afterwards the node's counts are those of the old or of the new version, a published version has the bytes of an",
        "undisturbed load, and a further load over the remains gives these bytes too and leaves no staging folder.",
        "",
        "| what was left | times |",
        "|---|---|",
        *(f"| {what} | {n} |" for what, n in sorted(tally.items())),
        "",
        f"Next load byte-identical: {sum(a.next_load_equal for a in found)} of {TIMES}; staging removed: "
        f"{sum(a.staging_gone for a in found)} of {TIMES}. {time.perf_counter() - start:.0f} s.",
    ]
    (HERE / "RESULTS.md").write_text("\n".join(lines) + "\n")
    (HERE / "results.json").write_text(json.dumps([asdict(a) for a in found], indent=1) + "\n")
    print("\n".join(lines))
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
