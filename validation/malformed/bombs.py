"""Small files that become huge: honest hom-ref lines at 1000 : 1, and records, headers and fields without an end."""

from __future__ import annotations

import struct
import subprocess
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from validation.processes import cohelix

MEMORY_MAX = 1 << 30
_HEADER = (
    b"##fileformat=VCFv4.3\n##contig=<ID=22,length=51304566>\n"
    b'##FORMAT=<ID=GT,Number=1,Type=String,Description="Genotype">\n#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\tFORMAT\t'
)


@dataclass(frozen=True)
class BombOutcome:
    """How a load of one bomb ended."""

    name: str
    compressed_bytes: int
    expanded_bytes: int
    status: int
    expected_status: int
    seconds: float
    peak_bytes: int
    own_bytes: int
    said: str

    @property
    def good(self) -> bool:
        return self.status == self.expected_status and self.own_bytes <= MEMORY_MAX and self.peak_bytes <= 2 * MEMORY_MAX


def _bgzf_block(data: bytes) -> bytes:
    """One BGZF block of at most 65,280 bytes."""
    packer = zlib.compressobj(6, zlib.DEFLATED, -15)
    body = packer.compress(data) + packer.flush()
    head = struct.pack("<4BI2BH2BHH", 31, 139, 8, 4, 0, 0, 255, 6, 66, 67, 2, len(body) + 25)
    return head + body + struct.pack("<II", zlib.crc32(data), len(data))


def write_bgzf(path: Path, pieces: Iterable[bytes]) -> int:
    """Write pieces as BGZF; equal blocks are deflated once. Returns the expanded size."""
    known: dict[bytes, bytes] = {}
    total, held = 0, b""
    with path.open("wb") as out:

        def put(block: bytes) -> None:
            if block not in known:
                if len(known) > 2000:
                    known.clear()
                known[block] = _bgzf_block(block)
            out.write(known[block])

        for piece in pieces:
            total += len(piece)
            held += piece
            while len(held) >= 65280:
                put(held[:65280])
                held = held[65280:]
        put(held)
        out.write(_bgzf_block(b""))
    return total


def _hom_ref(n_samples: int, size: int) -> Iterator[bytes]:
    yield _HEADER + b"\t".join(b"S%d" % i for i in range(n_samples)) + b"\n"
    row = b"\t".join([b"0|0"] * n_samples) + b"\n"
    for number in range(size // len(row)):
        yield b"22\t%d\t.\tA\tG\t.\t.\t.\tGT\t" % (16_050_000 + number) + row


def _endless(start: bytes, unit: bytes, size: int) -> Iterator[bytes]:
    yield start
    piece = unit * (65280 // len(unit))
    for _ in range(size // len(piece)):
        yield piece


def bombs(size: int) -> dict[str, tuple[Iterator[bytes], int]]:
    """Name: (pieces of the file, exit status expected)."""
    ten = _HEADER + b"\t".join(b"S%d" % i for i in range(10)) + b"\n"
    record = b"22\t16050000\t.\tA\tG\t.\t.\t.\tGT"
    return {
        "honest hom-ref lines": (_hom_ref(20_000, size), 0),
        "a record longer than the header's samples allow": (_endless(ten + record, b"\t0|0", size), 2),
        "an endless REF": (_endless(ten + b"22\t16050000\t.\t", b"A", size), 2),
        "an endless INFO": (_endless(ten + b"22\t16050000\t.\tA\tG\t.\t.\t", b"X=1;", size), 2),
        "an endless header": (_endless(b"##fileformat=VCFv4.3\n", b"##x=yyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyy\n", size), 2),
        "a header line without an end": (_endless(b"##fileformat=VCFv4.3\n##x=", b"y", size), 2),
        "a file of zero bytes": (_endless(b"", b"\0", size), 2),
        "empty lines": (_endless(ten, b"\n", size), 2),
        "an endless genotype": (_endless(ten + record + b"\t", b"0/", size), 2),
        "one BCF record of 2 GiB": (_bcf_record(size), 2),
    }


def _bcf_record(size: int) -> Iterator[bytes]:
    text = _HEADER + b"S0\n\0"
    yield b"BCF\2\2" + struct.pack("<I", len(text)) + text + struct.pack("<II", 0x7FFFFFFF, 0x7FFFFFFF)
    yield from _endless(b"", b"\0", size)


def try_bomb(name: str, pieces: Iterator[bytes], expected: int, scratch: Path, seconds: float = 1200) -> BombOutcome:
    """Write one bomb, load it through the command line, and measure."""
    path = scratch / ("bomb.bcf" if "BCF" in name else "bomb.vcf.gz")
    expanded = write_bgzf(path, pieces)
    node = scratch / f"node-{name.replace(' ', '-')}"
    cohelix("node", "init", node, "--id", "B", "--name", "Bomb", "--country", "FI")
    ended = cohelix("node", "load", node, "--dataset", "d", "--genotypes", path, "--assembly", "GRCh37", seconds=seconds)
    outcome = BombOutcome(
        *(name, path.stat().st_size, expanded, ended.status, expected, round(ended.seconds, 1)),
        *(ended.peak_bytes, ended.own_bytes, ended.err.strip()[-300:]),
    )
    path.unlink()
    subprocess.run(["rm", "-rf", str(node)], check=True)
    return outcome
