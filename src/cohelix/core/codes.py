"""Codes of ontologies as texts: one spelling of each prefix, whatever a file or a person writes."""

from __future__ import annotations

import re
from collections.abc import Mapping

# Spellings of one prefix as seen in data; the right-hand side is ours.
_PREFIXES: Mapping[str, str] = {
    "ORPHANET": "ORPHA",
    "ORDO": "ORPHA",
    "MIM": "OMIM",
    "NCI": "NCIT",
    "ICD-10": "ICD10",
    "ICD-10-CM": "ICD10CM",
    "ICD10-CM": "ICD10CM",
    "ICD-11": "ICD11",
    "ICD-O": "ICDO",
    "ICD-O-3": "ICDO",
    "ICDO-3": "ICDO",
    "ICDO3": "ICDO",
    "SNOMEDCT": "SNOMED",
    "SNOMEDCT_US": "SNOMED",
    "SCTID": "SNOMED",
}
_UNDERSCORED = re.compile(r"([A-Za-z][A-Za-z0-9-]*)_([A-Za-z]?\d[\w.]*)")  # the local name of an OBO IRI


def canonical(code: str) -> str:
    """A code with our spelling of its prefix: IRIs and `HP_0001250` become `HP:0001250`, `Orphanet:558` `ORPHA:558`.

    A prefix that has one spelling only keeps its case; a code without a prefix stays as it is.
    """
    text = code.strip()
    if "://" in text:
        text = re.split(r"[/#]", text.rstrip("/#"))[-1]
    underscored = _UNDERSCORED.fullmatch(text)
    if underscored:
        text = f"{underscored[1]}:{underscored[2]}"
    prefix, colon, local = text.partition(":")
    return f"{_PREFIXES.get(prefix.upper(), prefix)}:{local.strip()}" if colon else text


def code_key(code: str) -> str:
    """What two spellings of one code have in common."""
    return canonical(code).upper()


def prefix_of(code: str) -> str:
    """The prefix in capitals, in our spelling; empty where the code has none."""
    prefix, colon, _ = code_key(code).partition(":")
    return prefix if colon else ""
