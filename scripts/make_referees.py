"""Have the programs that the tests compare us with: installs the Debian packages where it may, else names them.

python3 scripts/make_referees.py
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys

# Program and the Debian package that holds it.
REFEREES = {
    "bcftools": "bcftools",
    "samtools": "samtools",
    "bgzip": "tabix",
    "tabix": "tabix",
    "plink2": "plink2",
    "chromium": "chromium",
}


def main() -> None:
    missing = sorted({package for program, package in REFEREES.items() if shutil.which(program) is None})
    if not missing:
        return
    if os.geteuid() == 0 and shutil.which("apt-get"):
        print(f"installing {', '.join(missing)}", flush=True)
        environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
        for words in (["update"], ["install", "-y", "--no-install-recommends", *missing]):
            if subprocess.run(["apt-get", "-qq", *words], env=environment, check=False, stdout=subprocess.DEVNULL).returncode:
                break
        missing = sorted({package for program, package in REFEREES.items() if shutil.which(program) is None})
    if missing:
        print(
            f"missing referees: {', '.join(missing)}. Tests that compare with them will fail and say so; "
            f"install them with: apt-get install {' '.join(missing)}",
            file=sys.stderr,
        )


if __name__ == "__main__":
    main()
