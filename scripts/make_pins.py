"""Write `constraints.txt`: the newest versions that the package's dependencies, all extras included, allow together.

    python3 scripts/make_pins.py

Only resolves, in an environment of its own; run `make test` afterwards, and commit the file with what it took.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[1]
EXTRAS = ".[bench,dask,data,notebook,postgres,test]"
BUILD = ("hatchling", "editables")  # what builds the package itself; constrained like the rest
HEAD = """\
# The exact versions that this release was tested with: every install of the Makefile is held to them.
# Made anew by `make pins`; why pins stand beside lower bounds: docs/decisions/0001-architecture.md.
"""


def main() -> None:
    with tempfile.TemporaryDirectory() as scratch:
        report = Path(scratch) / "report.json"
        subprocess.run([sys.executable, "-m", "venv", scratch + "/venv"], check=True)
        pip = [scratch + "/venv/bin/python", "-m", "pip", "install", "--quiet", "--dry-run", "--only-binary", ":all:"]
        subprocess.run([*pip, "--report", str(report), EXTRAS, *BUILD], cwd=REPOSITORY, check=True)
        found = [entry["metadata"] for entry in json.loads(report.read_text(encoding="utf-8"))["install"]]
    pins = {one["name"].lower().replace("_", "-"): one["version"] for one in found}
    pins.pop("cohelix")
    lines = "".join(f"{name}=={version}\n" for name, version in sorted(pins.items()))
    (REPOSITORY / "constraints.txt").write_text(HEAD + lines, encoding="utf-8")


if __name__ == "__main__":
    main()
