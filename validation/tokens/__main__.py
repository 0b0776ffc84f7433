"""Judges the corpus of tokens, visas and proofs, and writes `validation/tokens/RESULTS.md`."""

from __future__ import annotations

import sys
import time
import warnings
from pathlib import Path

from validation.tokens.judged import judge
from validation.tokens.world import KINDS

HERE = Path(__file__).parent


def main() -> int:
    """Exit 0 only if nothing is wrongly accepted or refused, PyJWT agrees, and no request went astray."""
    warnings.simplefilter("ignore")  # weak keys are part of the corpus
    start = time.perf_counter()
    found = judge()
    lines = [
        "# Tokens, visas and proofs of a key",
        "",
        "Made by `python -m validation.tokens`: documents that are put together from bytes, each with a name and the right",
        "verdict: algorithm confusion, forged and mangled signatures, keys shown in headers, foreign addresses, twisted JSON,",
        "sizes, times to the second, audiences, issuers, variants of a dataset's name, statements, linked identities,",
        "conditions, expiry, proofs of a key and replays. A passport or visa counts as accepted where it opens the dataset.",
        "Issuers publish their keys at real addresses; `jku`, `x5u` and `iss` of strangers lead to a canary.",
        "PyJWT judges signature and algorithm, `aud`, `iss` and times by its own code, with the clock of the case.",
        "",
        "| judged | cases | to be accepted | to be refused | PyJWT has a word | and agrees |",
        "|---|---|---|---|---|---|",
    ]
    disputed = {kind: sum(name.startswith(kind) for name in found.disputed) for kind in KINDS}
    for kind in KINDS:
        right, bad, agreed = found.accepted[kind], found.refused[kind], found.agreed[kind]
        lines.append(f"| {kind} | {right + bad:,} | {right:,} | {bad:,} | {agreed + disputed[kind]:,} | {agreed:,} |")
    sums = [sum(one.values()) for one in (found.accepted, found.refused, found.agreed)]
    lines.append(
        f"| all | {len(found.names):,} | {sums[0]:,} | {sums[1]:,} | {sums[2] + len(found.disputed):,} | {sums[2]:,} |"
    )
    lines += [
        "",
        f"Wrongly accepted or refused: {len(found.wrong)}. Disputed by PyJWT: {len(found.disputed)}.",
        f"Requests at the canary: {len(found.sung)}. Requests for keys at addresses of the list: {len(found.asked)},",
        "one for each of the three issuers, whatever the documents named.",
        *[f"- wrong: {name}" for name in found.wrong],
        *[f"- disputed: {name}" for name in found.disputed],
        "",
        f"{time.perf_counter() - start:.0f} s.",
    ]
    (HERE / "RESULTS.md").write_text("\n".join(lines) + "\n")
    print("\n".join(lines))
    return 0 if found.sound else 1


if __name__ == "__main__":
    sys.exit(main())
