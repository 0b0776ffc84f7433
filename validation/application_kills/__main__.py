"""Kills the application loop 500 times and writes `validation/application_kills/RESULTS.md`."""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path

from validation.application_kills.kill import run

TIMES, SEED = 500, 20261123


def main() -> int:
    """Exit 0 only if no acknowledged event and no notice was lost or doubled."""
    start = time.perf_counter()
    with tempfile.TemporaryDirectory(prefix="cohelix-applications-") as folder:
        found = run(Path(folder), TIMES, SEED)
    amid = sum(0 < one.kept < 15 for one in found)
    unheard = sum(one.kept > one.acknowledged for one in found)
    text = (
        "# kill -9 at random moments of the application loop\n\n"
        f"Made by `python -m validation.application_kills` (seed {SEED}): {TIMES} applications (SQLite), each taken through\n"
        "its 15 events by a process that is killed with SIGKILL at a random moment; then the same requests are sent again.\n\n"
        f"- killed between the first and the last event: {amid}\n"
        f"- kept, but killed before it was acknowledged: {unheard}\n"
        f"- acknowledged events lost, or any event doubled: {sum(not one.good for one in found)}\n"
        f"- applications in which a notice to a person is missing, or there twice: {sum(not one.notices for one in found)}\n"
        f"- {time.perf_counter() - start:.0f} s\n"
    )
    (Path(__file__).parent / "RESULTS.md").write_text(text)
    print(text)
    return 0 if all(one.good and one.notices for one in found) else 1


if __name__ == "__main__":
    sys.exit(main())
