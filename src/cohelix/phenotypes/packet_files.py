"""Files of phenopackets: one JSON document or one packet a line, plain or gzipped, as documents with their places."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson

from cohelix.core.errors import BadFile
from cohelix.phenotypes.documents import Json, Place
from cohelix.phenotypes.tabular import raw_lines

ENDINGS = (".json", ".ndjson", ".jsonl", ".json.gz", ".ndjson.gz", ".jsonl.gz")
_LINES = (".ndjson", ".jsonl", ".ndjson.gz", ".jsonl.gz")
_FILE_BYTES_MAX = 256 << 20  # of one JSON document; more people go one packet a line
_DEPTH_MAX = 100
EXPECTED = "phenopackets (GA4GH Phenopackets v2) as JSON"
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_SNAKE = re.compile(r"_([a-z])")
# Phenopackets v1 has these; v2 names them otherwise, and reading them as v2 would turn "excluded" into "present".
_VERSION_1 = ("negated", "classOfOnset", "ageOfOnset", "ageAtCollection")


def holds_phenopackets(path: Path) -> bool:
    """Whether a file is JSON by its first sign."""
    try:
        with path.open("rb") as file:
            magic = file.read(4)
        first = next(raw_lines(path, magic), b"") if magic else b""
    except (OSError, BadFile):
        return False
    return first.removeprefix(b"\xef\xbb\xbf").lstrip()[:1] in (b"{", b"[")


def packet_documents(path: Path, unknown: Counter[str]) -> Iterator[tuple[Place, Any]]:
    """Packets, families and cohorts of a file with their places; `unknown` is for their readers to count."""
    name = str(path)
    if path.exists() and not path.is_file():
        raise BadFile(name, "", "it is not a plain file", EXPECTED)
    try:
        with path.open("rb") as file:
            magic = file.read(4)
    except OSError as error:
        raise BadFile(name, "", f"cannot be read ({error.strerror})", EXPECTED) from None
    if not magic:
        raise BadFile(name, "line 1", "the file is empty", EXPECTED)
    by_line = path.name.lower().endswith(_LINES)
    rest: list[bytes] = []
    size = 0
    for number, line in enumerate(raw_lines(path, magic), start=1):
        text = line.removeprefix(b"\xef\xbb\xbf").strip() if number == 1 else line.strip()
        if not rest and text and (by_line or text[:1] + text[-1:] == b"{}"):
            by_line = by_line or _parses(text)
        if by_line:
            if text:
                yield from _split(name, f"line {number}", _parse(name, f"line {number}", text), unknown)
            continue
        rest.append(line)
        size += len(line) + 1
        if size > _FILE_BYTES_MAX:
            raise BadFile(name, f"line {number}", f"more than {_FILE_BYTES_MAX} bytes", "one packet a line (.ndjson)")
    if rest:
        yield from _split(name, "", _parse(name, "", b"\n".join(rest).removeprefix(b"\xef\xbb\xbf")), unknown)


def _parses(text: bytes) -> bool:
    try:
        orjson.loads(text)
    except orjson.JSONDecodeError:
        return False
    return True


def _parse(name: str, place: str, text: bytes) -> Any:
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError as error:
        where = place or f"line {error.lineno}"
        raise BadFile(name, f"{where}, column {error.colno}", f"not JSON ({error.msg[:120]})", EXPECTED) from None


def _split(name: str, place: str, document: Any, unknown: Counter[str]) -> Iterator[tuple[Place, Any]]:
    """A document, or the documents of an array, in the standard's spelling of names."""
    listed = isinstance(document, list)
    for number, item in enumerate(document if listed else (document,)):
        where = [place] if place else []
        if listed:
            where.append(f"item {number}")
        if isinstance(item, dict):
            identity = item.get("id")
            if isinstance(identity, str):
                where.append(f"packet {identity[:80]!r}" if _CONTROL.search(identity) else f"packet {identity[:80]}")
            if any("_" in key[1:] for key in item):
                item = _camel(name, ", ".join(where), item, 0)  # noqa: PLW2901  # protobuf reads both spellings
        found = Place(name, ", ".join(where) or "line 1", unknown)
        if isinstance(item, dict) and ("schemaVersion" in item or _is_version_1(item)):
            raise found.refusal("$", "this is version 1 of the standard", "version 2: convert it, so that nothing is misread")
        yield found, item


def _is_version_1(item: Json) -> bool:
    listed = item.get("phenotypicFeatures"), item.get("diseases")
    return any(
        name in entry
        for entries in listed
        if isinstance(entries, list)
        for entry in entries
        if isinstance(entry, dict)
        for name in _VERSION_1
    )


def _camel(name: str, place: str, value: Any, depth: int) -> Any:
    """`phenotypic_features` to `phenotypicFeatures`, all the way down."""
    if depth > _DEPTH_MAX:
        raise BadFile(name, place, "nested too deeply", EXPECTED)
    if isinstance(value, dict):
        return {
            (key if key[:1] == "_" else _SNAKE.sub(lambda found: found[1].upper(), key)): _camel(name, place, item, depth + 1)
            for key, item in value.items()
        }
    return [_camel(name, place, item, depth + 1) for item in value] if isinstance(value, list) else value
