"""Does a stated purpose satisfy a dataset's data-use codes: advice, clause by clause, with reasons (pure).

Codes are of the Data Use Ontology (DUO, release 2021-02-23, CC BY 4.0). The matcher advises; a committee decides. It
never approves what it does not understand: unknown, missing and contradictory codes, and conditions that only a
document can fulfil, are for people to review. The decision table is in `docs/reference/data-use.md`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date
from enum import IntEnum, StrEnum
from typing import Final

from cohelix.core.errors import BadQuestion


class Advice(IntEnum):
    """What a clause, or all of them, come to; the greater one prevails."""

    APPROVE = 0
    REVIEW = 1
    DENY = 2


class DataUse(StrEnum):
    """The codes that a dataset may carry, by the short names that people use."""

    NRES = "DUO:0000004"
    HMB = "DUO:0000006"
    DS = "DUO:0000007"
    POA = "DUO:0000011"
    RS = "DUO:0000012"
    NMDS = "DUO:0000015"
    GSO = "DUO:0000016"
    NPUNCU = "DUO:0000018"
    PUB = "DUO:0000019"
    COL = "DUO:0000020"
    IRB = "DUO:0000021"
    GS = "DUO:0000022"
    MOR = "DUO:0000024"
    TS = "DUO:0000025"
    US = "DUO:0000026"
    PS = "DUO:0000027"
    IS = "DUO:0000028"
    RTN = "DUO:0000029"
    GRU = "DUO:0000042"
    CC = "DUO:0000043"
    NPOA = "DUO:0000044"
    NPU = "DUO:0000045"
    NCU = "DUO:0000046"


class Investigation(StrEnum):
    """What a project does with the data: DUO's terms below "investigation", and care, which is no research."""

    METHOD_DEVELOPMENT = "DUO:0000031"
    POPULATION = "DUO:0000032"
    ANCESTRY = "DUO:0000033"
    AGE_CATEGORY = "DUO:0000034"
    GENDER_CATEGORY = "DUO:0000035"
    RESEARCH_CONTROL = "DUO:0000036"
    BIOMEDICAL = "DUO:0000037"
    GENETIC = "DUO:0000038"
    DRUG_DEVELOPMENT = "DUO:0000039"
    DISEASE_CATEGORY = "DUO:0000040"
    CLINICAL_CARE = "DUO:0000043"


PERMISSIONS: Final = frozenset({DataUse.NRES, DataUse.GRU, DataUse.HMB, DataUse.DS, DataUse.POA})
_ANCESTRY: Final = frozenset({Investigation.POPULATION, Investigation.ANCESTRY})
# What only a document or a promise in writing fulfils: code → what a committee looks for.
_DOCUMENTS: Final = {
    DataUse.RS: "the research that this restriction names",
    DataUse.PUB: "a promise to publish the results",
    DataUse.COL: "an agreed collaboration with the data's investigators",
    DataUse.IRB: "the approval of an ethics committee",
    DataUse.US: "that only the named persons use the data",
    DataUse.PS: "that only the named project uses the data",
    DataUse.IS: "that only the named institution uses the data",
    DataUse.RTN: "a promise to return derived data",
}
_ALLOWED: Final = {
    DataUse.NRES: "the data may be used without restriction",
    DataUse.GRU: "any research is permitted",
    DataUse.HMB: "health, medical and biomedical research is permitted",
    DataUse.POA: "population and ancestry research is permitted",
    DataUse.DS: "research on some diseases is permitted",
}
_CODE: Final = re.compile(r"(?:.*/)?DUO[:_]0*(\d{1,7})", re.IGNORECASE)
Descends = Callable[[str, str], bool | None]
"""Whether a disease is another one or a kind of it; None where the ontology does not know one of them."""
Called = Callable[[str], str]
"""What a disease's code is called in reasons."""


@dataclass(frozen=True, slots=True)
class Clause:
    """One data-use code of a dataset.

    Attributes
    ----------
    code
        As it was written: `GRU`, `DUO:0000042`, an address that ends so.
    diseases
        Of DS: codes of the permitted diseases.
    countries
        Of GS: ISO 3166-1 alpha-2 codes.
    until
        Of MOR: the first day on which results may be published.
    months
        Of TS: for how long the data may be used.
    """

    code: str
    diseases: tuple[str, ...] = ()
    countries: tuple[str, ...] = ()
    until: date | None = None
    months: int | None = None


@dataclass(frozen=True, slots=True)
class Purpose:
    """What a project wants to do, in DUO's terms. None stands for what was not said.

    Attributes
    ----------
    investigations
        What is done with the data; nothing at all is for people to review.
    diseases
        Codes of the diseases that are studied.
    commercial
        Whether the use is commercial.
    for_profit
        Whether an organisation that takes part works for profit.
    country
        Where the data are used from, ISO 3166-1 alpha-2.
    months
        For how long they are wanted.
    """

    investigations: frozenset[Investigation] = frozenset()
    diseases: tuple[str, ...] = ()
    commercial: bool | None = None
    for_profit: bool | None = None
    country: str | None = None
    months: int | None = None


@dataclass(frozen=True, slots=True)
class Finding:
    """What one clause comes to, and why; `clause` is its short name, or the text that was not understood."""

    clause: str
    advice: Advice
    reason: str


@dataclass(frozen=True, slots=True)
class Match:
    """The advice on a whole dataset: the greatest of its clauses', which are all there with their reasons."""

    advice: Advice
    findings: tuple[Finding, ...]


def read_code(text: str) -> DataUse | None:
    """A dataset's code from its short name, its CURIE or its address, as registries spell them; None where it is not one.

    DUO's own files spell NPOA with one zero too many; zeros do not count here.
    """
    name = text.strip()
    if name.upper() in DataUse.__members__:
        return DataUse[name.upper()]
    found = _CODE.fullmatch(name)
    number = f"DUO:{int(found[1]):07}" if found else ""
    return next((use for use in DataUse if use.value == number), None)


def read_investigation(text: str) -> Investigation:
    """What a project does, from its CURIE, its address, or its name such as `genetic`; raises `BadQuestion`."""
    name = text.strip().upper().replace("-", "_")
    if name in Investigation.__members__:
        return Investigation[name]
    found = _CODE.fullmatch(text.strip())
    number = f"DUO:{int(found[1]):07}" if found else ""
    for one in Investigation:
        if one.value == number:
            return one
    names = ", ".join(one.name.lower().replace("_", "-") for one in Investigation)
    raise BadQuestion(f"{text[:60]!r} is no purpose in DUO's terms: use one of {names}, or its DUO code")


def match(clauses: Sequence[Clause], purpose: Purpose, *, descends: Descends, today: date, called: Called = str) -> Match:
    """What a dataset's codes say of a purpose.

    Parameters
    ----------
    descends, called
        What is known of diseases: which is a kind of which, and how people call one.

    Notes
    -----
    After DUOS' published table: GRU ⊇ HMB ⊇ DS by descent of diseases; methods may be developed under GRU, HMB, POA and a
    matching DS. Where DUOS abstains before it denies, we deny before we ask for review: advice is to spare people work.
    """
    read = [(clause, read_code(clause.code)) for clause in clauses]
    findings = [
        Finding(clause.code[:60], Advice.REVIEW, "this is no code of DUO that is understood")
        for clause, use in read
        if use is None
    ]
    known = [(clause, use) for clause, use in read if use is not None]
    permissions = [(clause, use) for clause, use in known if use in PERMISSIONS]
    findings.append(_permission(permissions, known, purpose, _Diseases(descends, called)))
    findings += [_modifier(clause, use, purpose, today) for clause, use in known if use not in PERMISSIONS]
    return Match(max(finding.advice for finding in findings), tuple(findings))


@dataclass(frozen=True, slots=True)
class _Diseases:
    """What is known of diseases."""

    descends: Descends
    called: Called

    def listed(self, codes: Sequence[str], word: str = ",") -> str:
        """Some diseases in words."""
        return (", " if word == "," else f" {word} ").join(map(self.called, codes))


def _permission(
    permissions: Sequence[tuple[Clause, DataUse]],
    known: Sequence[tuple[Clause, DataUse]],
    purpose: Purpose,
    diseases: _Diseases,
) -> Finding:
    """The one permission that every dataset has to carry."""
    if not permissions:
        return Finding("permission", Advice.REVIEW, "the dataset does not say what it may be used for")
    uses = {use for _, use in permissions}
    names = " and ".join(sorted(use.name for use in uses))
    if len(uses) > 1:
        return Finding(names, Advice.REVIEW, "a dataset carries one permission; several contradict each other")
    (use,) = uses
    if not purpose.investigations:
        return Finding(use.name, Advice.REVIEW, "the purpose does not say what is done with the data")
    research = purpose.investigations - {Investigation.CLINICAL_CARE}
    free = use is DataUse.NRES or any(modifier is DataUse.CC for _, modifier in known)
    if research != purpose.investigations and not free:
        return Finding(use.name, Advice.DENY, "the data are for research; care of patients is not permitted")
    permitted = [disease for clause, _ in permissions for disease in clause.diseases]
    return _research(use, research, permitted, purpose.diseases, diseases)


def _research(
    use: DataUse,
    research: frozenset[Investigation],
    permitted: Sequence[str],
    studied: Sequence[str],
    diseases: _Diseases,
) -> Finding:
    """Whether the permission covers the research, if there is any besides care that is permitted; DS limits care, too."""
    reason = _ALLOWED[use]
    if use is DataUse.NRES or (not research and use is not DataUse.DS):
        return Finding(use.name, Advice.APPROVE, reason)
    if use is DataUse.POA:
        return _ancestry_only(research)
    if use is not DataUse.GRU and research & _ANCESTRY:
        return Finding(use.name, Advice.DENY, "population and ancestry research is not health, medical or biomedical research")
    if use is DataUse.DS:
        return _disease_specific(permitted, studied, diseases)
    return Finding(use.name, Advice.APPROVE, reason)


def _ancestry_only(research: frozenset[Investigation]) -> Finding:
    if research <= _ANCESTRY | {Investigation.METHOD_DEVELOPMENT}:
        return Finding("POA", Advice.APPROVE, "population and ancestry research is what is permitted")
    return Finding("POA", Advice.DENY, "only population and ancestry research is permitted")


def _disease_specific(permitted: Sequence[str], studied: Sequence[str], known: _Diseases) -> Finding:
    """Every disease that is studied has to be a permitted one or a kind of one."""
    if not permitted:
        return Finding("DS", Advice.REVIEW, "the dataset does not say for which disease it may be used")
    if not studied:
        why = f"only research on {known.listed(permitted)} is permitted; the purpose names no disease"
        return Finding("DS", Advice.DENY, why)
    unsure, kinds = list[str](), list[str]()
    for disease in studied:
        answers = {one: known.descends(disease, one) for one in permitted}
        under = next((one for one, answer in answers.items() if answer), None)
        if under is not None:
            same = bool(known.descends(under, disease))
            kinds.append(known.called(disease) + (" is permitted" if same else f" is a kind of {known.called(under)}"))
        elif None not in answers.values():
            return Finding("DS", Advice.DENY, _not_permitted(disease, permitted, known))
        else:
            unsure.append(disease)
    if unsure:
        about = f"{known.listed(unsure)} is {known.listed(permitted, 'or')}, or a kind of it"
        return Finding("DS", Advice.REVIEW, f"no ontology here knows whether {about}")
    return Finding("DS", Advice.APPROVE, "; ".join(kinds))


def _not_permitted(disease: str, permitted: Sequence[str], known: _Diseases) -> str:
    narrower = [one for one in permitted if known.descends(one, disease)]
    if narrower:
        return f"{known.called(disease)} is wider than what is permitted: {known.listed(narrower)}"
    return f"{known.called(disease)} is not {known.listed(permitted, 'or')}, nor a kind of it"


def _modifier(clause: Clause, use: DataUse, purpose: Purpose, today: date) -> Finding:
    """A condition besides the permission."""
    if use in _DOCUMENTS:
        return Finding(use.name, Advice.REVIEW, f"the committee looks for {_DOCUMENTS[use]}")
    advice, reason = _CHECKS[use](clause, purpose, today)
    return Finding(use.name, advice, reason)


_Found = tuple[Advice, str]


def _no_methods(_clause: Clause, purpose: Purpose, _today: date) -> _Found:
    if not purpose.investigations:
        return Advice.REVIEW, "the purpose does not say whether methods are developed"
    if Investigation.METHOD_DEVELOPMENT in purpose.investigations:
        return Advice.DENY, "general development of methods is not permitted"
    return Advice.APPROVE, "no methods are developed"


def _genetic_only(_clause: Clause, purpose: Purpose, _today: date) -> _Found:
    if not purpose.investigations:
        return Advice.REVIEW, "the purpose does not say whether it is a genetic study"
    if Investigation.GENETIC in purpose.investigations:
        return Advice.APPROVE, "it is a genetic study"
    return Advice.DENY, "only genetic studies are permitted"


def _no_ancestry(_clause: Clause, purpose: Purpose, _today: date) -> _Found:
    if not purpose.investigations:
        return Advice.REVIEW, "the purpose does not say whether ancestry is studied"
    if purpose.investigations & _ANCESTRY:
        return Advice.DENY, "population and ancestry research is prohibited"
    return Advice.APPROVE, "ancestry is not studied"


def _organisation(_clause: Clause, purpose: Purpose, _today: date) -> _Found:
    """NPU limits who uses the data, whatever they do with them."""
    if purpose.for_profit is None:
        return Advice.REVIEW, "it was not said whether an organisation works for profit"
    if purpose.for_profit:
        return Advice.DENY, "only organisations that do not work for profit are permitted"
    return Advice.APPROVE, "the organisations do not work for profit"


def _use(_clause: Clause, purpose: Purpose, _today: date) -> _Found:
    """NCU limits the use, whoever it is by."""
    if purpose.commercial is None:
        return Advice.REVIEW, "it was not said whether the use is commercial"
    if purpose.commercial:
        return Advice.DENY, "commercial use is not permitted"
    return Advice.APPROVE, "the use is not commercial"


def _organisation_and_use(clause: Clause, purpose: Purpose, today: date) -> _Found:
    return max(_organisation(clause, purpose, today), _use(clause, purpose, today), key=lambda found: found[0])


def _place(clause: Clause, purpose: Purpose, _today: date) -> _Found:
    if not clause.countries or purpose.country is None:
        return Advice.REVIEW, "it was not said where the data may be, or will be, used"
    if purpose.country.upper() in {country.upper() for country in clause.countries}:
        return Advice.APPROVE, f"use from {purpose.country.upper()} is permitted"
    return Advice.DENY, f"only use from {', '.join(clause.countries)} is permitted"


def _moratorium(clause: Clause, _purpose: Purpose, today: date) -> _Found:
    if clause.until is not None and clause.until <= today:
        return Advice.APPROVE, f"the moratorium on publications ended on {clause.until.isoformat()}"
    until = f"before {clause.until.isoformat()}" if clause.until else "for a time that was not said"
    return Advice.REVIEW, f"results may not be published {until}"


def _time(clause: Clause, purpose: Purpose, _today: date) -> _Found:
    if clause.months is None or purpose.months is None:
        return Advice.REVIEW, "it was not said for how long the data may be, or will be, used"
    if purpose.months <= clause.months:
        return Advice.APPROVE, f"the use ends within {clause.months} months"
    return Advice.DENY, f"the data may be used for {clause.months} months; {purpose.months} are wanted"


def _care(_clause: Clause, _purpose: Purpose, _today: date) -> _Found:
    return Advice.APPROVE, "care of patients is permitted besides what the permission says"


_CHECKS: Final[dict[DataUse, Callable[[Clause, Purpose, date], _Found]]] = {
    DataUse.NMDS: _no_methods,
    DataUse.GSO: _genetic_only,
    DataUse.NPOA: _no_ancestry,
    DataUse.NPU: _organisation,
    DataUse.NCU: _use,
    DataUse.NPUNCU: _organisation_and_use,
    DataUse.GS: _place,
    DataUse.MOR: _moratorium,
    DataUse.TS: _time,
    DataUse.CC: _care,
}
