"""`python -m validation.killed_runs [KILLS]`: at least so many kills (100); writes RESULTS.md."""

from __future__ import annotations

import sys
import tempfile
from collections import Counter
from pathlib import Path

import numpy as np

from cohelix.testing.analyses import analysis_federation
from validation.killed_runs.kill import MEMBERS, Ended, disturbed, undisturbed

_SEED, _KILLS_OF_A_RUN = 44, 5


def main() -> int:
    """Disturb runs until enough servers were killed."""
    wanted = int(sys.argv[1]) if len(sys.argv) > 1 else 100
    chance = np.random.default_rng(_SEED)
    found: list[Ended] = []
    with tempfile.TemporaryDirectory() as name, analysis_federation(Path(name), MEMBERS, variants=400) as federation:
        results = Path(name) / "results"
        expected = undisturbed(federation, results)
        while sum(len(one.kills) for one in found) < wanted:
            found.append(disturbed(federation, expected, _KILLS_OF_A_RUN, chance, results))
            one = found[-1]
            print(len(found), one.state, one.exact, one.reason or "", [kill[0] for kill in one.kills], flush=True)
    wrong = [one for one in found if not (one.exact or (one.state in ("aborted", "refused") and one.reason))]
    _write(found, wrong)
    return 1 if wrong else 0


def _write(found: list[Ended], wrong: list[Ended]) -> None:
    kills = Counter(kill[0] for one in found for kill in one.kills)
    people = sum(MEMBERS.values())
    by_server = ", ".join(f"{name} {count}" for name, count in sorted(kills.items()))
    lines = [
        "# Analyses whose servers are killed",
        "",
        f"`python -m validation.killed_runs {sum(kills.values())}` (seed {_SEED}): a hub and four nodes as processes on",
        f"loopback, {people} simulated people, linear regression under the secure sum; servers are killed with SIGKILL at",
        "random moments after acceptances are gathered, and started again. A run must end with the table of the undisturbed",
        "run, bit for bit and over everybody, or be aborted with its reason.",
        "",
        f"- runs: {len(found)}; kills: {sum(kills.values())} ({by_server})",
        f"- ended with the exact table: {sum(one.exact for one in found)}",
        f"- aborted or refused with a reason: {sum(one.state in ('aborted', 'refused') for one in found)}",
        f"- anything else: {len(wrong)}",
        "",
        "| run | killed | state | exact | reason |",
        "|---|---|---|---|---|",
    ]
    for number, one in enumerate(found, 1):
        killed = ", ".join(name for name, _ in one.kills)
        lines.append(f"| {number} | {killed} | {one.state} | {'yes' if one.exact else 'no'} | {one.reason or ''} |")
    (Path(__file__).parent / "RESULTS.md").write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
