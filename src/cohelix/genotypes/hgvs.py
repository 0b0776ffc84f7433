"""Names of a change in a protein: `p.Val600Glu` and its spellings to the short form `V600E`."""

from __future__ import annotations

import re
from typing import Final

_LETTERS: Final = {
    "Ala": "A", "Arg": "R", "Asn": "N", "Asp": "D", "Asx": "B", "Cys": "C", "Gln": "Q", "Glu": "E", "Glx": "Z", "Gly": "G",
    "His": "H", "Ile": "I", "Leu": "L", "Lys": "K", "Met": "M", "Phe": "F", "Pro": "P", "Pyl": "O", "Sec": "U", "Ser": "S",
    "Ter": "*", "Thr": "T", "Trp": "W", "Tyr": "Y", "Val": "V", "Xaa": "X",
}  # fmt: skip
_NAMED: Final = re.compile("|".join(_LETTERS))
_SAME: Final = re.compile(r"(?P<residue>[A-Z*])(?P<position>[0-9]+)(?P=residue)")


def amino_acid_short_form(hgvs_p: str) -> str:
    """`ENSP00000288602.6:p.Val600Glu`, `p.(Val600Glu)` and `p.V600E` to `V600E`; `` where there is no change to name.

    A stop is `*`, a frameshift `R97Pfs*23`, no change of the residue `K27=`.
    """
    change = hgvs_p.rpartition(":")[2].replace("%3D", "=").replace("_eq_", "=").strip()
    change = change.removeprefix("p.").replace("(", "").replace(")", "")
    if change in ("", "?", "=", "0", "0?"):
        return ""
    short = _NAMED.sub(lambda found: _LETTERS[found[0]], change)
    return _SAME.sub(r"\g<residue>\g<position>=", short) if _SAME.fullmatch(short) else short
