"""The example package is unpacked without dpkg, completely or not at all, and found wherever it may lie."""

from __future__ import annotations

import gzip
import io
import lzma
import tarfile
from pathlib import Path

import pyarrow
import pytest

from cohelix.core.errors import BadFile, BadUsage
from cohelix.testing.example_data import ARCHIVE, COVARIATES, EXPRESSION, GENOTYPES, PACKAGE, find_example, unpack_package

CONTENT = {GENOTYPES: b"genotypes", EXPRESSION: b"expression", COVARIATES: b"covariates"}


def tar(files: dict[str, bytes], compression: str = "") -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode=f"w:{compression}") as archive:
        for name, content in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    return buffer.getvalue()


def ar(members: dict[str, bytes]) -> bytes:
    parts = [b"!<arch>\n"]
    for name, content in members.items():
        parts.append(f"{name:<16}{0:<12}{0:<6}{0:<6}{'100644':<8}{len(content):<10}`\n".encode())
        parts.append(content + b"\n" * (len(content) % 2))
    return b"".join(parts)


def zstd(content: bytes) -> bytes:
    sink = pyarrow.BufferOutputStream()
    with pyarrow.CompressedOutputStream(sink, "zstd") as stream:
        stream.write(content)
    return sink.getvalue().to_pybytes()


COMPRESSIONS = {".xz": lzma.compress, ".gz": gzip.compress, ".zst": zstd, "": bytes}


def package(compression: str = ".xz", files: dict[str, bytes] | None = None) -> bytes:
    examples = tar({f"./{name}": content for name, content in (files or CONTENT).items()}, "xz")
    data = tar({"./usr/share/doc/copyright": b"x", f"./usr/share/doc/qtltools/examples/{ARCHIVE}": examples})
    # A control member of odd length: the next member begins at an even byte.
    members = {"debian-binary": b"2.0\n", "control.tar.xz": b"odd", f"data.tar{compression}": COMPRESSIONS[compression](data)}
    return ar(members)


@pytest.mark.parametrize("compression", list(COMPRESSIONS))
def test_a_package_is_unpacked_whatever_its_compression(compression: str, tmp_path: Path) -> None:
    deb = tmp_path / f"{PACKAGE}_1_all.deb"
    deb.write_bytes(package(compression))
    unpack_package(deb, tmp_path / "out")
    assert {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()} == CONTENT


@pytest.mark.parametrize(
    "damage",
    [
        lambda deb: b"not a package",
        lambda deb: deb[: len(deb) // 2],
        lambda deb: deb.replace(b"data.tar.xz", b"data.tar.br"),
        lambda deb: deb[:8] + deb[8:].replace(b"4         `", b"four      `", 1),
        lambda deb: ar({"debian-binary": b"2.0\n"}),
        lambda deb: package(files={"README": b"no genotypes"}),
    ],
)
def test_a_damaged_package_is_refused_and_leaves_nothing(damage: object, tmp_path: Path) -> None:
    deb = tmp_path / f"{PACKAGE}_1_all.deb"
    assert callable(damage)
    deb.write_bytes(damage(package()))
    with pytest.raises(BadFile):
        unpack_package(deb, tmp_path / "out")
    assert [path.name for path in tmp_path.iterdir()] == [deb.name]


def test_an_archive_cannot_write_outside_its_folder(tmp_path: Path) -> None:
    deb = tmp_path / f"{PACKAGE}_1_all.deb"
    deb.write_bytes(package(files={f"../../{GENOTYPES}": b"genotypes", "../../evil": b"evil"}))
    unpack_package(deb, tmp_path / "in" / "out")
    assert not (tmp_path / "evil").exists()
    assert (tmp_path / "in" / "out" / GENOTYPES).read_bytes() == b"genotypes"


@pytest.mark.parametrize("form", ["deb", "archive", "files"])
def test_data_is_found_in_each_form(form: str, tmp_path: Path) -> None:
    given, cache = tmp_path / "given", tmp_path / "cache" / "example"
    given.mkdir()
    if form == "deb":
        (given / f"{PACKAGE}_1.3_all.deb").write_bytes(package())
    elif form == "archive":
        (given / ARCHIVE).write_bytes(tar(CONTENT, "xz"))
    else:
        for name, content in CONTENT.items():
            (given / name).write_bytes(content)
    found = find_example(given, cache, print)
    assert found.genotypes[0].read_bytes() == b"genotypes"
    assert found.expression is not None and found.expression.read_bytes() == b"expression"
    assert found.covariates is not None and found.covariates.read_bytes() == b"covariates"
    assert found.kind == "geuvadis"
    assert PACKAGE in found.source


def test_any_vcf_will_do_and_the_cache_is_used_without_a_wish(tmp_path: Path) -> None:
    (tmp_path / "b.vcf").write_text("")
    (tmp_path / "a.vcf.gz").write_bytes(b"")
    (tmp_path / "notes.txt").write_text("")
    found = find_example(tmp_path, tmp_path / "cache", print)
    assert [path.name for path in found.genotypes] == ["a.vcf.gz", "b.vcf"]
    assert found.kind == "example"
    assert found.expression is None
    cached = tmp_path / "cached"
    cached.mkdir()
    (cached / GENOTYPES).write_bytes(b"kept")
    assert find_example(None, cached, print).genotypes[0].read_bytes() == b"kept"


def test_a_folder_without_data_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadUsage, match="neither"):
        find_example(tmp_path, tmp_path / "cache", print)
    with pytest.raises(BadUsage, match="not a folder"):
        find_example(tmp_path / "absent", tmp_path / "cache", print)
