"""Measures revocation, withdrawal, a killed hub and a killed committee under load; writes `RESULTS.md`."""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path

from validation.revocation.load import Load, everybody
from validation.revocation.place import served
from validation.revocation.runs import analysed
from validation.revocation.story import BOUND_SECONDS, RATE, Story, figures_of

HERE = Path(__file__).parent


def main() -> int:
    """Exit 0 only if everything takes effect within its minute."""
    start = time.perf_counter()
    with tempfile.TemporaryDirectory(prefix="cohelix-revocation-") as folder, served(Path(folder)) as place:
        with Load(place, RATE).running() as load:
            load.asks = everybody(place)
            story = Story(place, load, lambda line: print(line, file=sys.stderr, flush=True))
            story.begin()
            story.revoke()
            story.withdraw()
            story.kill_the_hub()
            story.kill_the_authority()
        figures = figures_of(story)
    with tempfile.TemporaryDirectory(prefix="cohelix-runs-") as folder, analysed(Path(folder), story.say) as runs:
        runs.tell()
    told = [*story.lines, *runs.lines]
    lines = [
        "# Until when answers go on",
        "",
        "Made by `python -m validation.revocation`: a hub and three members, each a process, one guarded dataset of 240",
        "people each. Somebody with visas and somebody registered ask without a pause: the members, as a hub would that goes",
        "on to send every visa ever granted, and the hub, with a browser's session. A time is from the end of the command to",
        f"the arrival of the last answer that tells what it must no longer tell; the bound is {BOUND_SECONDS:.0f} s.",
        "",
        *figures,
        "",
        "| what | where | seconds | bound | holds |",
        "|---|---|---|---|---|",
        *(
            f"| {one.what} | {one.where} | {one.told} | {one.bound} | {'yes' if one.holds else '**no**'} |"
            for one in story.lines
        ),
        "",
        f"{time.perf_counter() - start:.0f} s in all.",
    ]
    (HERE / "RESULTS.md").write_text("\n".join(lines) + "\n", encoding="utf-8")
    print("\n".join(lines))
    return int(not all(one.holds for one in told))


if __name__ == "__main__":
    sys.exit(main())
