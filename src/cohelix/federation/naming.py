"""What a name stands for: members are asked for variants of an rsID or a name in HGVS, through their own Beacons.

The hub has no table of names. A dataset knows an rsID where its source wrote one beside the variant, and names on
transcripts and proteins where its variants are annotated; a variant that may not be told has no name either.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from cohelix.core.errors import BadInput, BadQuestion
from cohelix.core.genome import Assembly, contig_order, known_contig
from cohelix.federation.answers import check_datasets, check_text, variant_of_name
from cohelix.federation.behalf import EVERYBODY, Behalf
from cohelix.federation.fan_out import Asked
from cohelix.federation.questions import Federation
from cohelix.wire.federation import AskBeacon, BeaconReply, DatasetState, Member
from cohelix.wire.names import RS_ID, NamedAnswer, NamedVariant, NodeNames, is_name

_VARIANTS_MAX: Final = 20  # of one dataset: a name of a protein's change may stand for several changes of the genome
_ID: Final = re.compile(r"(?P<assembly>GRCh3[78])-(?P<variant>.+)", re.DOTALL)


class Told(NamedTuple):
    """What one member said: variants by dataset, and how its datasets stand."""

    variants: tuple[tuple[str, str, str], ...]  # assembly, variant, dataset
    datasets: tuple[DatasetState, ...]


async def variants_named(federation: Federation, name: str, behalf: Behalf = EVERYBODY) -> NamedAnswer:
    """The variants of all members that have a name.

    Raises
    ------
    BadQuestion
        If the text is neither an rsID nor a name in HGVS.
    """
    text = name.strip()
    if not is_name(text):
        raise BadQuestion("a name is an rsID, as rs9616208, or in HGVS with its sequence or gene, as NM_004006.2:c.4375C>T")
    ask = AskBeacon(path="g_variants", body=_question(text))
    everybody = {member.id: ask for member in federation.active()}
    asked = await federation.beacon(everybody, read_names, behalf)
    found: dict[tuple[str, str], set[str]] = {}
    for one in asked:
        for assembly, variant, dataset in one.answer.variants if one.answer else ():
            found.setdefault((assembly, variant), set()).add(dataset)
    variants = [
        NamedVariant(variant=variant, assembly=assembly, datasets=tuple(sorted(datasets)))
        for (assembly, variant), datasets in sorted(found.items(), key=lambda item: _place(*item[0]))
    ]
    return NamedAnswer(name=text, variants=tuple(variants), nodes=tuple(_line(one) for one in asked))


def _question(name: str) -> dict[str, Any]:
    """Beacon's question for it; all builds are asked, since a name is of none."""
    query: dict[str, Any] = {
        "requestedGranularity": "record",
        "includeResultsetResponses": "HIT",
        "pagination": {"skip": 0, "limit": _VARIANTS_MAX},
    }
    if RS_ID.fullmatch(name):
        query["filters"] = [{"id": "variantAlternativeIds", "operator": "=", "value": name.lower()}]
    else:
        query["requestParameters"] = {"genomicAlleleShortForm": name}
    return {"meta": {"apiVersion": "v2.0"}, "query": query}


def read_names(member: Member, reply: BeaconReply) -> Told:
    """A member's answer, checked; `BadInput` (or pydantic's error) if it is none, or speaks of others' datasets."""
    if reply.status != 200:
        # A member whose Beacon does not know the filter yet, or refuses the name: none of its variants has it.
        return Told((), ())
    document = reply.document
    lines = _objects(_object(document.get("info")).get("datasets"))
    sets = _objects(_object(document.get("response")).get("resultSets"))
    states = tuple(_state(line) for line in lines)
    check_datasets(member, [state.id for state in states])
    check_datasets(member, [str(one.get("id")) for one in sets])
    for state in states:
        check_text(state.reason)
    variants = [(*_identity(record), str(one["id"])) for one in sets for record in _objects(one.get("results"))[:_VARIANTS_MAX]]
    return Told(tuple(variants), states)


def _state(line: Mapping[str, Any]) -> DatasetState:
    known = {name: line.get(name) for name in ("id", "status", "reason")}
    return DatasetState.model_validate(known)  # what is none makes the member faulty, as everywhere


def _identity(record: Mapping[str, Any]) -> tuple[str, str]:
    """Assembly and name of a variant's record."""
    found = _ID.fullmatch(str(record.get("variantInternalId")))
    if not found:
        raise BadInput("a variant's id is none")
    assembly, key = Assembly(found["assembly"]), variant_of_name(found["variant"])
    if known_contig(key.contig, assembly) is None:
        raise BadInput("a variant is on a contig that its assembly does not have")
    return str(assembly), str(key)


def _place(assembly: str, variant: str) -> tuple[str, Any, int, str, str]:
    key = variant_of_name(variant)
    return assembly, contig_order(key.contig), key.position, key.ref, key.alt


def _line(one: Asked[Told]) -> NodeNames:
    return NodeNames(**one.road.model_dump(by_alias=False), datasets=one.answer.datasets if one.answer else ())


def _object(value: Any) -> Mapping[str, Any]:
    if not isinstance(value, dict | None):
        raise BadInput("it is not a Beacon's answer")
    return value or {}


def _objects(value: Any) -> list[Mapping[str, Any]]:
    if not isinstance(value, list | None) or any(not isinstance(one, dict) for one in value or ()):
        raise BadInput("it is not a Beacon's answer")
    return value or []
