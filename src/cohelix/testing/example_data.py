"""Real genomes for the demo: finds or fetches the Debian package `qtltools-example`, without root and without dpkg.

The package holds the genotypes of 358 people of 1000 Genomes phase 3 at 85,485 common variants of chromosome 22
(GRCh37), their gene expression (608 genes, GEUVADIS) and 53 covariates. All donors agreed to open release.
"""

from __future__ import annotations

import io
import lzma
import os
import shutil
import subprocess
import tarfile
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import BinaryIO, Final, Literal, NamedTuple

from cohelix.core.errors import BadFile, BadUsage, Unreachable

PACKAGE: Final = "qtltools-example"
ARCHIVE: Final = "examples.tar.xz"
GENOTYPES: Final = "genotypes.chr22.vcf.gz"
EXPRESSION: Final = "genes.50percent.chr22.bed.gz"
COVARIATES: Final = "genes.covariates.pc50.txt.gz"
INSTALLED: Final = Path("/usr/share/doc/qtltools/examples") / ARCHIVE
APT_TIMEOUT_SECONDS: Final = 240
_VCF_NAMES = (".vcf", ".vcf.gz", ".vcf.bgz")

Kind = Literal["geuvadis", "example", "simulated"]
Say = Callable[[str], None]


class ExampleData(NamedTuple):
    """Files with the genotypes of one set of people, and what is measured of them.

    Attributes
    ----------
    genotypes
        VCF files, all with the same sample columns.
    expression
        QTLtools BED: one line per gene, one column per person; or None.
    covariates
        One line per covariate, one column per person, separated by blanks; or None.
    source
        Where it comes from, as the report and the pages say it.
    kind
        `geuvadis` for the Debian package's data, `example` for other files, `simulated` where no such person exists.
    """

    genotypes: tuple[Path, ...]
    expression: Path | None
    covariates: Path | None
    source: str
    kind: Kind


def find_example(given: Path | None, cache: Path, say: Say) -> ExampleData:
    """The example data: from `given`, else from the cache, the machine's own copy, or Debian's archive by `apt-get`.

    Parameters
    ----------
    given
        A folder with the `.deb`, with `examples.tar.xz`, with its files, or with any VCF files.
    cache
        Folder that keeps the unpacked files for the next time.

    Raises
    ------
    BadUsage
        If `given` holds nothing of the kind.
    Unreachable
        If nothing was given and the package can be had nowhere.
    """
    if given is not None:
        return _from_folder(given, cache)
    if _is_complete(cache):
        say(f"using the copy in {cache}")
        return _unpacked(cache, f"Debian package {PACKAGE}")
    if INSTALLED.is_file():
        unpack_archive(io.BytesIO(INSTALLED.read_bytes()), cache)
        return _unpacked(cache, f"Debian package {PACKAGE}")
    with tempfile.TemporaryDirectory(prefix="cohelix-apt-") as scratch:
        unpack_package(fetch_package(Path(scratch), say), cache)
    return _unpacked(cache, f"Debian package {PACKAGE}")


def user_cache() -> Path:
    """The user's cache folder for the demo, by the XDG rule."""
    root = os.environ.get("XDG_CACHE_HOME") or ""
    base = Path(root) if Path(root).is_absolute() else Path.home() / ".cache"
    return base / "cohelix" / PACKAGE


def fetch_package(folder: Path, say: Say) -> Path:
    """Download the package with `apt-get` into `folder`, with package lists of our own, so that no root is needed.

    The machine's own apt configuration says from where; apt checks the signatures.
    """
    if shutil.which("apt-get") is None:
        raise Unreachable("this machine has no apt-get to fetch the Debian package with")
    for part in ("lists/partial", "cache/archives/partial"):
        (folder / part).mkdir(parents=True)
    options = {
        "Dir::State::Lists": folder / "lists",
        "Dir::Cache": folder / "cache",
        "APT::Sandbox::User": "root",  # as root, apt would otherwise drop to a user who may not write here
        "Acquire::Languages": "none",
        "Acquire::Retries": 2,
        "Acquire::http::Timeout": 30,
    }
    apt = ["apt-get", "-qq", *(f"-o{name}={value}" for name, value in options.items())]
    say("reading the package lists (apt-get update, in a folder of our own)")
    _apt([*apt, "update"], folder)
    say(f"fetching {PACKAGE} (13.6 MB)")
    _apt([*apt, "download", PACKAGE], folder)
    found = next(folder.glob(f"{PACKAGE}_*.deb"), None)
    if found is None:
        raise Unreachable(f"apt-get did not bring {PACKAGE}")
    return found


def unpack_package(package: Path, target: Path) -> None:
    """Unpack the example files of a `.deb` into `target`, complete or not at all."""
    with tarfile.open(fileobj=_data_member(package)) as data:
        member = next((entry for entry in data if entry.name.endswith(f"/{ARCHIVE}")), None)
        content = data.extractfile(member) if member else None
        if content is None:
            raise BadFile(str(package), "", f"it holds no {ARCHIVE}", f"the Debian package {PACKAGE}")
        unpack_archive(io.BytesIO(content.read()), target)


def unpack_archive(archive: BinaryIO, target: Path) -> None:
    """Unpack the three files that the demo reads from `examples.tar.xz` into `target`, complete or not at all."""
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=".unpacking-") as scratch:
        staging = Path(scratch) / "files"
        staging.mkdir()
        with tarfile.open(fileobj=archive, mode="r:xz") as entries:
            for entry in entries:
                # Only plain files of known names, and only their last name: an archive cannot write elsewhere.
                name = Path(entry.name).name
                content = entries.extractfile(entry) if entry.isfile() else None
                if content is not None and name in (GENOTYPES, EXPRESSION, COVARIATES):
                    (staging / name).write_bytes(content.read())
        if not _is_complete(staging):
            raise BadFile(ARCHIVE, "", "it does not hold the genotypes", f"the file {GENOTYPES} in it")
        shutil.rmtree(target, ignore_errors=True)
        staging.rename(target)


def _from_folder(folder: Path, cache: Path) -> ExampleData:
    if not folder.is_dir():
        raise BadUsage(f"--data {folder} is not a folder")
    if _is_complete(folder):
        return _unpacked(folder, f"files of the Debian package {PACKAGE} in {folder}")
    package = next(iter(sorted(folder.glob(f"{PACKAGE}*.deb"))), None)
    if package is not None:
        unpack_package(package, cache)
        return _unpacked(cache, f"Debian package {PACKAGE} ({package.name})")
    if (folder / ARCHIVE).is_file():
        unpack_archive(io.BytesIO((folder / ARCHIVE).read_bytes()), cache)
        return _unpacked(cache, f"{ARCHIVE} of the Debian package {PACKAGE}")
    files = tuple(sorted(path for path in folder.iterdir() if path.name.endswith(_VCF_NAMES)))
    if not files:
        raise BadUsage(f"--data {folder} holds neither {PACKAGE}*.deb, nor {ARCHIVE}, nor a VCF file (.vcf, .vcf.gz)")
    return ExampleData(files, None, None, f"VCF files in {folder}", "example")


def _is_complete(folder: Path) -> bool:
    return (folder / GENOTYPES).is_file()


def _unpacked(folder: Path, source: str) -> ExampleData:
    expression, covariates = folder / EXPRESSION, folder / COVARIATES
    return ExampleData(
        (folder / GENOTYPES,),
        expression if expression.is_file() else None,
        covariates if covariates.is_file() else None,
        source,
        "geuvadis",
    )


def _apt(command: list[str], folder: Path) -> None:
    try:
        done = subprocess.run(
            command,
            cwd=folder,
            check=False,
            capture_output=True,
            text=True,
            timeout=APT_TIMEOUT_SECONDS,
            stdin=subprocess.DEVNULL,
        )
    except subprocess.TimeoutExpired as error:
        raise Unreachable(f"apt-get took longer than {APT_TIMEOUT_SECONDS} s") from error
    if done.returncode != 0:
        raise Unreachable(f"apt-get failed: {_last_line(done.stderr.splitlines())}")


def _last_line(lines: Iterable[str]) -> str:
    return next((line for line in reversed(list(lines)) if line.strip()), "it did not say why")


def _data_member(package: Path) -> BinaryIO:
    """The uncompressed `data.tar` of a Debian package, which is an `ar` archive (deb(5))."""
    content = package.read_bytes()
    position = 8
    if content[:position] != b"!<arch>\n":
        raise BadFile(str(package), "byte 0", "it is not a Debian package", "a file made by dpkg-deb")
    while position + 60 <= len(content):
        name = content[position : position + 16].decode("ascii", "replace").strip().rstrip("/")
        size_field = content[position + 48 : position + 58].strip()
        if not size_field.isdigit():
            raise BadFile(str(package), f"byte {position}", "a member's size is not a number", "an undamaged package")
        start, size = position + 60, int(size_field)
        if name.startswith("data.tar"):
            return _decompressed(content[start : start + size], name, package)
        position = start + size + size % 2  # members begin at even bytes
    raise BadFile(str(package), "", "it has no data.tar", "an undamaged Debian package")


def _decompressed(content: bytes, name: str, package: Path) -> BinaryIO:
    suffix = name.removeprefix("data.tar").removeprefix(".")
    try:
        match suffix:
            case "xz":
                return io.BytesIO(lzma.decompress(content))
            case "zst" | "gz":
                import pyarrow

                codec = "zstd" if suffix == "zst" else "gzip"
                return io.BytesIO(pyarrow.CompressedInputStream(pyarrow.BufferReader(content), codec).read())
            case "":
                return io.BytesIO(content)
    except (lzma.LZMAError, OSError) as error:
        raise BadFile(str(package), name, f"it cannot be decompressed ({error})", "an undamaged package") from error
    raise BadFile(str(package), name, f"compression {suffix!r} is not known", "xz, zst or gz")
