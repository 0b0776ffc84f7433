"""What the secure sum costs: hiding, adding and opening a block of figures, and a scan's sums with it and without."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from benchmarks.measure import Row, duration, interleaved, size
from benchmarks.scale import FULL, Scale
from cohelix.analysis.data import ArrayGenotypes, LocalData
from cohelix.analysis.pooled import PlainSummer
from cohelix.analysis.steps import Ask, Statistic, Sums, local_step
from cohelix.federation.secure_sum import Place, open_sum
from cohelix.stats.secret_sharing import Layout
from cohelix.testing.sum_parties import Parties, SecureTestSummer

NODES = ("CEU", "FI", "GB", "IT")
NUMBERS = 20  # summed for each variant: three counts, a basis of sixteen, one trait
PLACE = Place(1, 0, "ab" * 32)


@local_step("benchmark-scan")
def _scan(data: LocalData, broadcast, rows, _more) -> Sums:  # type: ignore[no-untyped-def]
    found = data.genotypes.products(rows, data.covariates)
    return {"counts": np.column_stack([found.n0, found.n1, found.n2]), "products": found.products}


def run(scale: Scale) -> list[Row]:
    """All lines."""
    return [*_block(scale), _whole(scale), _ciphers(scale)]


def _block(scale: Scale) -> list[Row]:
    """Four nodes' figures of 12 MB each, in one block: hidden, added by three aggregators, opened; all in one process."""
    rows = 75_000 if scale is FULL else 500
    statistics = (("counts", (3,), 1e6, True), ("products", (NUMBERS - 3,), 1e5, False))
    layout, rng = Layout.of(statistics, rows, len(NODES)), np.random.default_rng(1)
    parts = {
        name: {"counts": rng.integers(0, 9999, (rows, 3)), "products": rng.normal(size=(rows, NUMBERS - 3))} for name in NODES
    }

    def summed(parties: Parties) -> Callable[[], object]:
        def call() -> object:
            sealed = {name: parties.seal(name, part, PLACE, layout) for name, part in parts.items()}
            return open_sum(parties.open(sealed, PLACE), PLACE, layout, parties.frozen)

        return call

    calls = {"shares": summed(Parties()), "masks": summed(Parties(mode="masks")), "plain": summed(Parties(mode="plain"))}
    times = interleaved(calls, max(3, scale.repeats // 2))
    text = f"4 nodes × {size(8 * layout.ring.words)}, {layout.ring.words:,} numbers"
    plain = times["plain"].p50
    beside = f"signed, not hidden: {duration(plain)}"
    target, shares = "≤ 0.5 s", times["shares"].p50
    return [
        Row("Secure sum: seal, add, open", text, duration(shares), beside, f"{shares / plain:.2f} ×", target, shares <= 0.5),
        Row(
            "Pairwise masks: the same",
            text,
            duration(times["masks"].p50),
            beside,
            f"{times['masks'].p50 / plain:.2f} ×",
            "–",
            None,
        ),
    ]


def _whole(scale: Scale) -> Row:
    """A scan's sums from genotypes on: nodes' products in NumPy, then the secure sum, beside adding the parts up in float64."""
    people, variants = (1500, 4096) if scale is FULL else (50, 256)
    rng = np.random.default_rng(2)
    data = {
        name: LocalData(
            rng.normal(size=(people, NUMBERS - 3)),
            rng.normal(size=(people, 1)),
            ArrayGenotypes(rng.integers(0, 3, (variants, people)).astype(np.float64)),
        )
        for name in NODES
    }
    many = 4.0 * people
    ask = Ask(
        "benchmark-scan",
        (Statistic("counts", (3,), many, True), Statistic("products", (NUMBERS - 3,), 10 * many)),
        rows=np.arange(variants, dtype=np.int64),
    )
    plain, parties = PlainSummer(list(data.values())), Parties()
    calls = {
        "secure": lambda: list(SecureTestSummer(parties, data).blocks(ask)),
        "plain": lambda: list(plain.blocks(ask)),
    }
    times = interleaved(calls, max(3, scale.repeats // 3))
    ratio = times["secure"].p50 / times["plain"].p50
    return Row(
        "A scan's sums with the secure sum",
        f"4 nodes × {people:,} people, {variants:,} variants, {NUMBERS} numbers each",
        duration(times["secure"].p50),
        f"plain sum {duration(times['plain'].p50)}",
        f"{ratio:.2f} ×",
        "≤ 2 × plain",
        ratio <= 2,
    )


def _ciphers(scale: Scale) -> Row:
    """Key streams into a given buffer."""
    count = 12_000_000 if scale is FULL else 100_000
    zeros, out = bytes(count), bytearray(count + 15)
    ciphers = {
        "AES-256-CTR": lambda: Cipher(algorithms.AES256(bytes(32)), modes.CTR(bytes(16))),
        "ChaCha20": lambda: Cipher(algorithms.ChaCha20(bytes(32), bytes(16)), None),
    }
    calls = {name: (lambda make=make: make().encryptor().update_into(zeros, out)) for name, make in ciphers.items()}
    times = interleaved(calls, scale.repeats * 3)
    speeds = {name: f"{name} {count / found.p50 / 1e9:.1f} GB/s" for name, found in times.items()}
    ratio = times["ChaCha20"].p50 / times["AES-256-CTR"].p50
    return Row("Key stream", size(count), speeds["AES-256-CTR"], speeds["ChaCha20"], f"{ratio:.2f} × as fast", "–", None)
