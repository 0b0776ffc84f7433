"""Random questions, asked over HTTP in every form that Beacon allows, and the comparison with the naive scan."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import httpx

from validation.beacon.oracle import Oracle, genes
from validation.naive import NaiveVariant, Question, length_of, types_of

REFSEQ_22 = "NC_000022.10"
KINDS = ("exact", "range", "bracket", "gene")


@dataclass(frozen=True)
class Asked:
    """One question, what it means, and how it is put."""

    kind: str
    present: bool  # made from a variant that is there
    question: Question
    parameters: dict[str, Any]
    granularity: str
    post: bool
    nested: bool
    limit: int
    skip: int


def questions(oracles: Sequence[Oracle], n: int, seed: int) -> Iterator[Asked]:
    """`n` questions about the variants of the first oracle (all have the same), half of them for absent alleles."""
    rng = random.Random(seed)
    variants = oracles[0].variants
    keys = {v.key for v in variants}
    table = genes("GRCh37")
    contigs = {v.contig for v in variants}
    near = [s for s, (c, a, b) in table.items() if c in contigs and any(a - 5e5 < v.position < b + 5e5 for v in variants[::97])]
    for number in range(n):
        kind = KINDS[number % 4] if number % 16 < 14 else "exact"
        present = number % 8 < 4
        if kind == "exact":
            asked, words = _exact(rng, variants, keys, present)
        elif kind == "range":
            asked, words = _range(rng, variants, present)
        elif kind == "bracket":
            asked, words = _bracket(rng, variants, present)
        else:
            symbol = rng.choice(near) if present else rng.choice(list(table))
            contig, start, end = table[symbol]
            asked, words = Question(contig, (start,), (end,)), {"geneId": symbol}
            asked, words = _narrow(rng, asked, words, rng.choice(variants))
        if kind != "gene":
            words = {"referenceName": _spelling(rng, asked.contig), "assemblyId": rng.choice(("GRCh37", "hg19")), **words}
        else:
            words["assemblyId"] = "GRCh37"
        granularity = rng.choices(("boolean", "count", "record"), (1, 2, 3))[0]
        limit = rng.choice((1, 5, 10, 50)) if kind != "gene" else 10
        post = rng.random() < 0.5
        yield Asked(kind, present, asked, words, granularity, post, rng.random() < 0.5, limit, rng.choice((0, 0, 0, 1, 3)))


def _exact(
    rng: random.Random, variants: Sequence[NaiveVariant], keys: set[tuple[str, int, str, str]], present: bool
) -> tuple[Question, dict[str, Any]]:
    while True:
        v = rng.choice(variants)
        if rng.random() < 0.4 and len(v.ref) == len(v.alt):
            continue  # more indels than their share
        contig, position, ref, alt = v.key
        if "<" in alt or alt in ("*", "."):
            continue
        if not present:
            how = rng.random()
            if how < 0.4:
                alt = "".join(rng.choices("ACGT", k=rng.choice((1, 1, 1, 2, 5))))
            elif how < 0.7:
                position += rng.randint(-3, 3)
            else:
                position = rng.randrange(10_000, 16_000 if contig == "MT" else 48_000_000)
                ref = rng.choice("ACGT")
                alt = rng.choice("ACGT".replace(ref, "")) + rng.choice(("", "", "ACG"))
            if ref == alt or (contig, position, ref, alt) in keys:
                continue
            if present is False and _trims_into(contig, position, ref, alt, keys):
                continue
        if present and rng.random() < 0.1:
            tail = "".join(rng.choices("ACGT", k=rng.randint(1, 3)))
            ref, alt = ref + tail, alt + tail
        if present and rng.random() < 0.05 and len(ref) == len(alt) == 1:
            alt = "N"
        question = Question(contig, (position,), (), ref, alt)
        return question, {"start": [position], "referenceBases": ref, "alternateBases": alt}


def _trims_into(contig: str, position: int, ref: str, alt: str, keys: set[tuple[str, int, str, str]]) -> bool:
    from validation.naive import trimmed

    return (contig, *trimmed(position, ref, alt)) in keys


def _range(rng: random.Random, variants: Sequence[NaiveVariant], present: bool) -> tuple[Question, dict[str, Any]]:
    v = rng.choice(variants)
    width = rng.choice((1, 10, 300, 3000))
    start = max(0, v.position - rng.randrange(width)) if present else rng.randrange(1000, 15_000_000)
    if v.contig == "MT" and not present:
        start = rng.randrange(1, 2000)
    asked = Question(v.contig, (start,), (start + width,))
    return _narrow(rng, asked, {"start": [start], "end": [start + width]}, v)


def _bracket(rng: random.Random, variants: Sequence[NaiveVariant], present: bool) -> tuple[Question, dict[str, Any]]:
    v = rng.choice(variants)
    if present:
        a, b = max(0, v.position - rng.randint(0, 200)), v.position + rng.randint(1, 200)
        c, d = max(0, v.end - rng.randint(0, 200)), v.end + rng.randint(1, 200)
    else:
        a = rng.randrange(1000, 15_000_000) if v.contig != "MT" else rng.randrange(1, 2000)
        b, c, d = a + 200, a + 50, a + 400
    asked = Question(v.contig, (a, b), (c, d))
    return _narrow(rng, asked, {"start": [a, b], "end": [c, d]}, v, bases=False)


def _narrow(
    rng: random.Random, asked: Question, words: dict[str, Any], like: NaiveVariant, bases: bool = True
) -> tuple[Question, dict[str, Any]]:
    """Sometimes ask for a type, bases or lengths too, mostly those of a variant that is there."""
    if rng.random() < 0.3:
        kind = rng.choice([*sorted(types_of(like)), "SNP", "INDEL", "DEL"])
        if kind in ("SNP", "INDEL", "DEL", "INS", "DUP"):
            asked, words = replace(asked, variant_type=kind), {**words, "variantType": kind}
    if bases and "geneId" not in words and rng.random() < 0.2 and not like.alt.startswith("<") and like.alt != "*":
        asked, words = replace(asked, alt=like.alt), {**words, "alternateBases": like.alt}
    if rng.random() < 0.15:
        low = rng.choice((1, 2, length_of(like)))
        asked, words = replace(asked, min_length=low), {**words, "variantMinLength": low}
    if rng.random() < 0.15:
        high = max(asked.min_length or 0, rng.choice((1, 3, length_of(like), 1000)))  # below the minimum is a 400
        asked, words = replace(asked, max_length=high), {**words, "variantMaxLength": high}
    return asked, words


def _spelling(rng: random.Random, contig: str) -> str:
    names = [contig, contig, f"chr{contig}"]
    return rng.choice([*names, REFSEQ_22] if contig == "22" else names)


def put(client: httpx.Client, asked: Asked) -> tuple[dict[str, Any], float]:
    """Ask, by GET or POST, nested or flat; the answer, and the seconds that it took."""
    start = time.perf_counter()
    if asked.post:
        parameters: dict[str, Any] = {"g_variant": asked.parameters} if asked.nested else asked.parameters
        body = {
            "meta": {"apiVersion": "v2.0"},
            "query": {
                "requestParameters": parameters,
                "requestedGranularity": asked.granularity,
                "includeResultsetResponses": "ALL",
                "pagination": {"skip": asked.skip, "limit": asked.limit},
            },
        }
        response = client.post("/beacon/v2/g_variants", json=body)
    else:
        flat = {k: ",".join(map(str, v)) if isinstance(v, list) else str(v) for k, v in asked.parameters.items()}
        paging = {"skip": str(asked.skip), "limit": str(asked.limit), "includeResultsetResponses": "ALL"}
        response = client.get("/beacon/v2/g_variants", params={**flat, **paging, "requestedGranularity": asked.granularity})
    seconds = time.perf_counter() - start
    if response.status_code != 200:
        return {"status": response.status_code, "body": response.text[:500]}, seconds
    document: dict[str, Any] = response.json()
    return document, seconds


def expected(asked: Asked, oracles: Sequence[Oracle]) -> dict[str, Any]:
    """What the answer has to say, from the naive scan."""
    found = {oracle.name: oracle.find(asked.question) for oracle in oracles}
    total = sum(map(len, found.values()))
    answer: dict[str, Any] = {"granularity": asked.granularity, "exists": total > 0}
    if asked.granularity != "boolean":
        answer["total"] = total
    if asked.granularity == "record":
        first = asked.skip * asked.limit
        answer["sets"] = {
            oracle.name: (
                bool(found[oracle.name]),
                len(found[oracle.name]),
                [_variant(oracle, number) for number in found[oracle.name][first : first + asked.limit]],
            )
            for oracle in oracles
        }
    return answer


def _variant(oracle: Oracle, number: int) -> tuple[Any, ...]:
    v = oracle.variants[number]
    # Beacon demands a frequency of every row, so that groups without a called allele have none.
    rows = {r.label: (r.ac, r.an, r.ac / r.an, r.hom, r.het, r.hemi) for r in oracle.rows(number) if r.an}
    # Its `variation` spells alleles in bases; a symbolic ALT is told by the variant's id.
    return v.text, v.position, v.ref, "" if v.alt[0] in "<*" else v.alt, rows


def told(document: dict[str, Any], granularity: str) -> dict[str, Any]:
    """The same shape out of a Beacon answer."""
    if "responseSummary" not in document:
        return {"error": document}
    summary = document["responseSummary"]
    answer: dict[str, Any] = {"granularity": document["meta"]["returnedGranularity"], "exists": summary["exists"]}
    if granularity != "boolean":
        answer["total"] = summary.get("numTotalResults")
    if granularity == "record":
        answer["sets"] = {
            one["id"].split(":", 1)[-1]: (one["exists"], one["resultsCount"], [_record(r) for r in one["results"]])
            for one in document["response"]["resultSets"]
        }
    return answer


def _record(record: dict[str, Any]) -> tuple[Any, ...]:
    variation = record["variation"]
    frequencies = [row for source in record["frequencyInPopulations"] for row in source["frequencies"]]
    rows = {
        row["population"]: (
            row["alleleCount"],
            row["alleleNumber"],
            row.get("alleleFrequency"),
            row.get("alleleCountHomozygous"),
            row.get("alleleCountHeterozygous"),
            row.get("alleleCountHemizygous"),
        )
        for row in frequencies
    }
    text = record["variantInternalId"].split("-", 1)[1]
    start = variation["location"]["interval"]["start"]["value"]
    return text, start, variation["referenceBases"], variation["alternateBases"], rows
