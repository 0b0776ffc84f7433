"""Pedigrees of families in phenopackets, as Beacon's default schema of an individual has them."""

from __future__ import annotations

from cohelix.phenotypes.documents import Json, Place

_PERSON = frozenset({"familyId", "individualId", "paternalId", "maternalId", "sex", "affectedStatus"})
_SEXES = ("UNKNOWN_SEX", "FEMALE", "MALE", "OTHER_SEX")
_AFFECTED = ("MISSING", "UNAFFECTED", "AFFECTED")
# The roles of the examples in Beacon v2's schema of a pedigree; other relatives are told by the family alone.
_PROBAND: Json = {"id": "NCIT:C64435", "label": "Proband"}
_MOTHER: Json = {"id": "NCIT:C96580", "label": "Biological Mother"}
_FATHER: Json = {"id": "NCIT:C96572", "label": "Biological Father"}
_RELATIVE: Json = {"id": "NCIT:C41256", "label": "Family Member"}


def pedigree(place: Place, family: Json, proband: str, disease: Json | None) -> list[Json]:
    """A family's pedigree; empty where none is given, or no disease of the proband, which the schema requires."""
    given = place.object(family.get("pedigree"), "$.pedigree", frozenset({"persons"}))
    people = place.items(given, "persons", "$.pedigree", _PERSON)
    parents: dict[str, Json] = {}
    members = []
    for item, at in people:
        name = place.text(item, "individualId", at, required=True)
        father, mother = (place.text(item, parent, at) for parent in ("paternalId", "maternalId"))
        place.word(item, "sex", at, _SEXES)
        affected = place.word(item, "affectedStatus", at, _AFFECTED)
        if name == proband:
            parents |= {father: _FATHER, mother: _MOTHER}
        members.append((name, affected == "AFFECTED"))
    if not members or disease is None:
        return []
    return [
        {
            "id": place.text(family, "id", "$", required=True),
            "disease": disease,
            "members": [
                {
                    "memberId": name,
                    "role": _PROBAND if name == proband else parents.get(name, _RELATIVE),
                    "affected": affected,
                }
                for name, affected in members
            ],
            "numSubjects": len(members),
        }
    ]
