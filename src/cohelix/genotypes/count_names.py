"""How sites files name their counts: `AC_nfe_XX`, `nhomalt_nfe`, `AC_LU_M_Het`, `AC_Hom` to a measure of a group.

Dialects: gnomAD 2 to 4 (`AC_nfe_male`, `AC_nfe_XX`, `nhomalt_…`), ExAC (`AC_NFE`, `Hom_NFE`, `Hemi_NFE`), Genome of Europe and
GDI (`AC_LU_M`, `AC_LU_M_Het`), and columns of tables (`ac_NFE_male`). A frequency (`AF_nfe`, `EUR_AF`) is no count.
"""

from __future__ import annotations

import re
from typing import Final, Literal, NamedTuple

Measure = Literal["ac", "an", "hom", "het", "hemi"]
GroupSex = Literal["all", "male", "female"]
MEASURES: Final[tuple[Measure, ...]] = ("ac", "an", "hom", "het", "hemi")
ALL: Final = "all"

_MEASURES: Final[dict[str, Measure]] = {
    "ac": "ac",
    "allelecount": "ac",
    "an": "an",
    "allelenumber": "an",
    "nhomalt": "hom",
    "hom": "hom",
    "nhom": "hom",
    "homozygotes": "hom",
    "achom": "hom",
    "allelecounthomozygous": "hom",
    "nhet": "het",
    "het": "het",
    "heterozygotes": "het",
    "achet": "het",
    "allelecountheterozygous": "het",
    "nhemi": "hemi",
    "hemi": "hemi",
    "hemizygotes": "hemi",
    "achemi": "hemi",
    "allelecounthemizygous": "hemi",
}
_SEXES: Final[dict[str, GroupSex]] = {
    "m": "male",
    "male": "male",
    "xy": "male",
    "f": "female",
    "female": "female",
    "xx": "female",
}
# Not people of a population: unfiltered calls, filters' figures, ExAC's adjusted copies, maxima over populations.
_NOT_GROUPS: Final = frozenset({"raw", "adj", "popmax", "grpmax", "joint", "fafmax", "hist", "max", "orig", "consanguineous"})
_FREQUENCY: Final = re.compile(r"(^|_)(AF|MAF|FAF\d*)(_|$)", re.IGNORECASE)


class CountName(NamedTuple):
    """What a column or an INFO key counts: a measure of the people of a population and a sex; `all` for everybody."""

    measure: Measure
    population: str
    sex: GroupSex


def parse_count_name(name: str) -> CountName | None:
    """What a key counts; None where it counts nobody that can be told from its name (`non_cancer_AC_nfe`, `AC_raw`)."""
    words = [word for word in name.replace("-", "_").split("_") if word]
    if not words:
        return None
    first, *rest = words
    measure = _MEASURES.get(first.lower())
    if measure is None:
        return None
    # `AC_Hom_NFE` and `AC_LU_M_Het` say at the second or last place what is counted.
    if measure == "ac" and rest:
        for place in (0, len(rest) - 1):
            more = _MEASURES.get("ac" + rest[place].lower())
            if more is not None:
                measure = more
                rest = rest[:place] + rest[place + 1 :]
                break
    sex: GroupSex = "all"
    if rest and rest[-1].lower() in _SEXES:
        sex = _SEXES[rest.pop().lower()]
    elif rest and rest[0].lower() in _SEXES:
        sex = _SEXES[rest.pop(0).lower()]
    if any(word.lower() in _NOT_GROUPS for word in rest):
        return None
    population = "_".join(rest).upper() or ALL
    return CountName(measure, ALL if population in ("ALL", "TOTAL") else population, sex)


def parse_population(label: str) -> tuple[str, GroupSex]:
    """`LU`, `M`, `LU_F`, `Total`: the labels of Beacon's frequencies, as (population, sex)."""
    found = parse_count_name(f"AC_{label}") if label else CountName("ac", ALL, "all")
    return (label, "all") if found is None else (found.population, found.sex)


def is_frequency(name: str) -> bool:
    """Whether a key names a frequency: a number without the people that it is of."""
    return _FREQUENCY.search(name) is not None
