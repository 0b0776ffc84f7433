"""Have the programs that the tests compare us with: installs the Debian packages where it may, else names them.

python3 scripts/make_referees.py
"""

from __future__ import annotations

import ctypes.util
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
    "plink1.9": "plink1.9",  # sex from X: plink2 has another check
    "plink2": "plink2",
    "chromium": "chromium",
    "curl": "curl",  # the portal's snippets are run as a reader would run them
}
# Shared library and its package: the driver of Chromium, out of a wheel, is linked to it.
LIBRARIES = {"atomic": "libatomic1"}


def main() -> None:
    missing = absent()
    if not missing:
        return
    if os.geteuid() == 0 and shutil.which("apt-get"):
        print(f"installing {', '.join(missing)}", flush=True)
        environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
        for words in (["update"], ["install", "-y", "--no-install-recommends", *missing]):
            if subprocess.run(["apt-get", "-qq", *words], env=environment, check=False, stdout=subprocess.DEVNULL).returncode:
                break
        missing = absent()
    if missing:
        print(
            f"missing referees: {', '.join(missing)}. Tests that compare with them will fail and say so; "
            f"install them with: apt-get install {' '.join(missing)}",
            file=sys.stderr,
        )


def absent() -> list[str]:
    """The packages that are not there."""
    programs = {package for program, package in REFEREES.items() if shutil.which(program) is None}
    libraries = {package for library, package in LIBRARIES.items() if ctypes.util.find_library(library) is None}
    return sorted(programs | libraries)


if __name__ == "__main__":
    main()
