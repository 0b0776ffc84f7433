"""`python -m validation.killed_runs [KILLS]`: at least so many kills (100); writes RESULTS.md after every run."""

from __future__ import annotations

import sys
import tempfile
from collections import Counter
from pathlib import Path

import numpy as np

from cohelix.testing.analyses import analysis_federation
from validation.killed_runs.kill import (
    DIALLING_OUT,
    MEMBERS,
    Ended,
    disturbed,
    lost_for_good,
    restart_hub,
    undisturbed,
)

_SEED, _KILLS_OF_A_RUN = 44, 5
_DEADLINE, _LATE_SECONDS = 45.0, 5.0


def main() -> int:
    """Disturb runs until enough servers were killed."""
    wanted = int(sys.argv[1]) if len(sys.argv) > 1 else 100
    chance = np.random.default_rng(_SEED)
    found: list[Ended] = []
    lost: list[str] = []
    with (
        tempfile.TemporaryDirectory() as name,
        analysis_federation(Path(name), MEMBERS, variants=400, dialling_out=DIALLING_OUT) as federation,
    ):
        results = Path(name) / "results"
        restart_hub(federation, deadline_seconds=_DEADLINE)
        for member in ("GB", "CEU"):
            run, seconds = lost_for_good(federation, member)
            clean = run.state == "aborted" and member in str(run.reason) and seconds <= _DEADLINE + _LATE_SECONDS
            word = "clean" if clean else "WRONG"
            lost.append(f"{word}: {member} killed for good: {run.state} after {seconds:.0f} s: {run.reason}")
            print(lost[-1], flush=True)
        restart_hub(federation, deadline_seconds=None)
        expected = undisturbed(federation, results)
        while sum(len(one.kills) for one in found) < wanted:
            found.append(disturbed(federation, expected, _KILLS_OF_A_RUN, chance, results))
            one = found[-1]
            print(len(found), one.state, one.exact, one.reason or "", [kill[0] for kill in one.kills], flush=True)
            _write(found, lost)
    return 1 if _wrong(found) or any(line.startswith("WRONG") for line in lost) else 0


def _wrong(found: list[Ended]) -> list[Ended]:
    return [one for one in found if not (one.exact or (one.state in ("aborted", "refused") and one.reason))]


def _write(found: list[Ended], lost: list[str]) -> None:
    kills = Counter(kill[0] for one in found for kill in one.kills)
    by_server = ", ".join(f"{name} {count}" for name, count in sorted(kills.items()))
    lines = [
        "# Analyses whose servers are killed",
        "",
        f"`python -m validation.killed_runs {sum(kills.values())}` (seed {_SEED}): a hub and four nodes as processes on",
        f"loopback ({', '.join(DIALLING_OUT)} dials out), {sum(MEMBERS.values())} simulated people, linear regression under",
        "the secure sum.",
        f"Servers are killed with SIGKILL at random moments, at most {_KILLS_OF_A_RUN} in a run, and started again. A run must",
        "end with the table of the undisturbed run, bit for bit and over everybody, or be aborted or refused with its reason.",
        "",
        f"- runs: {len(found)}; kills: {sum(kills.values())} ({by_server})",
        f"- ended with the exact table: {sum(one.exact for one in found)}",
        f"- aborted or refused with a reason: {sum(one.state in ('aborted', 'refused') for one in found)}",
        f"- anything else: {len(_wrong(found))}",
        "",
        f"A member that does not come back, and a deadline of {_DEADLINE:.0f} s:",
        "",
        *(f"- {line}" for line in lost),
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
