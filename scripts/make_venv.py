"""Make `.venv` with the package in it, from wheels, held to `constraints.txt`; does nothing where that is done already.

    python3 scripts/make_venv.py [EXTRA ...]

Needs no root, and only the standard library: on a Debian machine without `python3-venv` it fetches Debian's pip wheel
into a folder of its own. Every step that fails ends with one sentence that says what to do.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[1]
VENV = REPOSITORY / ".venv"
PYTHON = VENV / "bin" / "python"
STAMP = VENV / "installed.sha256"
CONSTRAINTS = REPOSITORY / "constraints.txt"
DEBIAN_WHEELS = Path("/usr/share/python-wheels")
PIP_PACKAGE = "python3-pip-whl"
HELP = "install the Debian package python3-venv (apt-get install python3-venv), then run make again"


def main() -> None:
    if sys.version_info < (3, 11):  # noqa: UP036 - an older Python may well run this file
        sys.exit(f"Cohelix needs Python 3.11 or newer; this is {sys.version.split()[0]}: run make PYTHON=python3.11 ...")
    extras = sorted(set(sys.argv[1:]))
    have = _stamped()
    if PYTHON.exists() and have is not None and set(extras) <= have:
        return
    if not _has_pip():
        print("making .venv", flush=True)
        _make()
    wanted = sorted(set(extras) | (have or set()))
    target = f".[{','.join(wanted)}]" if wanted else "."
    print(f"installing {target} from wheels, as pinned in constraints.txt (about a minute)", flush=True)
    # As a variable, the constraints also hold the build backend, which pip installs in an environment of its own.
    environment = {**os.environ, "PIP_CONSTRAINT": str(CONSTRAINTS), "PIP_DISABLE_PIP_VERSION_CHECK": "1"}
    command = [str(PYTHON), "-m", "pip", "install", "--quiet", "--only-binary", ":all:", "--editable", target]
    if subprocess.run(command, cwd=REPOSITORY, env=environment, check=False).returncode != 0:
        sys.exit("pip could not install the packages: see its words above; is this machine's package index reachable?")
    print("compiling the sources and the numeric kernels (once)", flush=True)
    # An environment may forbid that Python keeps what it compiles: then every start would compile the sources anew.
    subprocess.run([str(PYTHON), "-m", "compileall", "-q", "src", "benchmarks", "validation"], cwd=REPOSITORY, check=True)
    subprocess.run([str(PYTHON), "-m", "cohelix.testing.warm"], cwd=REPOSITORY, check=True)
    STAMP.write_text(_fingerprint() + "\n" + "\n".join(wanted) + "\n", encoding="utf-8")


def _stamped() -> set[str] | None:
    """The extras that were installed from the present pins and dependencies, or None."""
    lines = STAMP.read_text(encoding="utf-8").split() if STAMP.is_file() else []
    return set(lines[1:]) if lines and lines[0] == _fingerprint() else None


def _fingerprint() -> str:
    """Changes with the dependencies, the pins and the place of the tree (an installed command knows its place)."""
    content = CONSTRAINTS.read_bytes() + (REPOSITORY / "pyproject.toml").read_bytes() + str(REPOSITORY).encode()
    return hashlib.sha256(content).hexdigest()


def _has_pip() -> bool:
    return PYTHON.exists() and _works([str(PYTHON), "-m", "pip", "--version"])


def _make() -> None:
    if _works([sys.executable, "-m", "venv", "--clear", str(VENV)]) and _has_pip():
        return
    if not _works([sys.executable, "-m", "venv", "--clear", "--without-pip", str(VENV)]):
        sys.exit(f"Python's venv module does not work here: {HELP}")
    if _works([sys.executable, "-m", "pip", f"--python={PYTHON}", "install", "--quiet", "pip"]) and _has_pip():
        return
    with tempfile.TemporaryDirectory() as scratch:
        wheel = next(iter(sorted(DEBIAN_WHEELS.glob("pip-*.whl"))), None) or _debian_wheel(Path(scratch))
        if wheel is None or not _works([str(PYTHON), f"{wheel}/pip", "install", "--quiet", "--no-index", str(wheel)]):
            sys.exit(f"this Python has neither ensurepip nor pip, and pip could not be fetched: {HELP}")


def _debian_wheel(folder: Path) -> Path | None:
    """Debian's pip wheel, out of a package that is downloaded with lists of our own and not installed."""
    if not (shutil.which("apt-get") and shutil.which("dpkg-deb")):
        return None
    for part in ("lists/partial", "cache/archives/partial"):
        (folder / part).mkdir(parents=True)
    settings = (f"Dir::State::Lists={folder}/lists", f"Dir::Cache={folder}/cache", "APT::Sandbox::User=root")
    apt = ["apt-get", "-qq", *(f"-o{setting}" for setting in settings)]
    if not _works([*apt, "update"], folder) or not _works([*apt, "download", PIP_PACKAGE], folder):
        return None
    package = next(folder.glob(f"{PIP_PACKAGE}_*.deb"), None)
    if package is None or not _works(["dpkg-deb", "-x", str(package), str(folder / "package")], folder):
        return None
    return next(iter(sorted((folder / "package").rglob("pip-*.whl"))), None)


def _works(command: list[str], folder: Path = REPOSITORY) -> bool:
    return subprocess.run(command, cwd=folder, check=False, capture_output=True).returncode == 0


if __name__ == "__main__":
    main()
