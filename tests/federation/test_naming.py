"""What a member says that a name stands for is believed about its own datasets only."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from cohelix.core.errors import BadInput
from cohelix.federation.naming import read_names
from cohelix.wire.federation import BeaconReply, Member
from cohelix.wire.names import is_name, needs_looking_up

FI = Member(id="FI", name="Finland", country="FI", url="https://fi.example", key="k", state="active")
TOLD = {
    "response": {"resultSets": [{"id": "FI:a", "results": [{"variantInternalId": "GRCh37-22-50313359-GC-AC"}]}]},
    "info": {"datasets": [{"id": "FI:a", "status": "answered"}, {"id": "FI:b", "status": "refused", "reason": "closed"}]},
}


def sets(*records: Any, dataset: str = "FI:a") -> dict[str, Any]:
    return {**TOLD, "response": {"resultSets": [{"id": dataset, "results": list(records)}]}}


def test_variants_and_datasets_as_told() -> None:
    told = read_names(FI, BeaconReply(status=200, document=TOLD))
    assert told.variants == (("GRCh37", "22-50313359-G-A", "FI:a"),), "alleles are trimmed"
    assert [(one.id, one.status, one.reason) for one in told.datasets] == [
        ("FI:a", "answered", None),
        ("FI:b", "refused", "closed"),
    ]
    refused = read_names(FI, BeaconReply(status=400, document={"error": {"errorMessage": "unknown filter"}}))
    assert refused == ((), ()), "an older member has no variant of that name"


@pytest.mark.parametrize(
    "document",
    [
        sets({"variantInternalId": "GRCh37-22-50313359-G-A"}, dataset="GB:a"),
        sets({"variantInternalId": "GRCh36-22-50313359-G-A"}),
        sets({"variantInternalId": "GRCh37-99-50313359-G-A"}),
        sets({"variantInternalId": "22-50313359-G-A"}),
        sets({}),
        sets("a variant"),
        {**TOLD, "response": []},
        {**TOLD, "response": {"resultSets": {}}},
        {**TOLD, "info": {"datasets": [{"id": "FI:a", "status": "well"}]}},
        {**TOLD, "info": {"datasets": [{"id": "FI:a", "status": "refused", "reason": "\x1b[2J"}]}},
        {**TOLD, "info": {"datasets": [{"id": "GB:a", "status": "answered"}]}},
    ],
)
def test_what_cannot_be_true_makes_a_member_faulty(document: dict[str, Any]) -> None:
    with pytest.raises((BadInput, ValidationError)):
        read_names(FI, BeaconReply(status=200, document=document))


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("rs671", True),
        ("RS671", True),
        ("NM_004006.2:c.4375C>T", True),
        ("BRAF:p.Val600Glu", True),
        ("NM_000546.6(TP53):p.Arg72Pro", True),
        ("rs", False),
        ("rs0", False),
        ("c.4375C>T", False),
        ("22-50313359-G-A", False),
        ("BRAF:p." + "A" * 300, False),
    ],
)
def test_what_can_be_looked_up(text: str, name: bool) -> None:
    assert is_name(text) is name


def test_a_genomic_substitution_says_its_place_itself() -> None:
    assert is_name("NC_000022.10:g.50313359G>A") and not needs_looking_up("NC_000022.10:g.50313359G>A")
    assert needs_looking_up("NC_000022.10:g.50313359del") and needs_looking_up("rs671")
