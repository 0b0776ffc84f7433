"""Every page of the portal, walked: its weight, what it loads, and in the pseudo-language no word of ours in English."""

from __future__ import annotations

import gzip
import json
import re
from collections.abc import Callable, Iterator
from importlib import resources
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from starlette.routing import Route
from tests.portal.conftest import COUNTS

PAGE_BYTES, SCRIPT_BYTES = 60_000, 60_000
PAGES = {  # address by route; a new route gets its line here, and is then walked with the others
    "/": "/",
    "/search": "/search?q=22-50313359-G&assembly=GRCh37",
    "/variant/{variant}": "/variant/22-50313359-G-A?assembly=GRCh37",
    "/region/{region}": "/region/22:50310000-50320000?assembly=GRCh37",
    "/gene/{symbol}": "/gene/CRELD2?assembly=GRCh37",
    "/term/{code}": "/term/HP:0001250",
    "/datasets": "/datasets",
    "/datasets/{dataset}": "/datasets/FI:geuvadis",
    "/cohorts": "/cohorts?cohort=sex=female+and+(disease=OMIM:1+or+age%3E=40)&dataset=FI:geuvadis",
    "/analyses": "/analyses",
    "/analyses/new": "/analyses/new?project=demo&dataset=FI:geuvadis&traits=BMI&do=check",
    "/analyses/{run}": "/analyses/abc12345",
    "/analyses/{run}/region/{region}": "/analyses/abc12345/region/22:50310000-50320000",
    "/analyses/{run}/estimates": "/analyses/abc12345/estimates",
    "/about": "/about",
    "/accessibility": "/accessibility",
    "/{path:path}": "/nowhere",
}
NO_PAGES = {
    "/analyses/{run}/live",
    "/analyses/new/plan.yaml",
    "/cohorts/counts",
    "/cohorts/terms",
    "/variant/{variant}/arriving",
    "/variant/{variant}/counts.{kind}",
    "/region/{region}/variants.{kind}",
    "/gene/{symbol}/variants.{kind}",
    "/static/{digest}/{name}",
}
# Names, codes and notations that are the same in every language.
OWN_WORDS = (
    "Cohelix GRCh37 GRCh38 API JSON CSV TSV Parquet curl Python AF AC AN UTC log₁₀ ms English Deutsch Français Español "
    "Italiano Suomi Ensembl chr22 CRELD2 Seizure linear done demo results parquet BMI abc12345 def12345 ALG12 US HP "
    "ENSG00000184164"
)


@pytest.fixture
def walked(app: FastAPI, stage: Any, wire: Any, serve: Callable[..., Any]) -> Iterator[httpx.Client]:
    """The portal with a member that is late, one below its floor, and a released run."""
    stage.lose("IT", "late", "no answer within 5 s")
    stage.play(
        "GB",
        [{"id": "GB:geuvadis", "status": "below_floor", "reason": "fewer than 5", "populations": []}],
        [wire.record("GB:geuvadis", simulated=True, **wire.FLOORED)],
    )
    top = {
        "chromosome": "22", "position": 50313359, "effect_allele": "A", "other_allele": "G", "trait": "BMI", "beta": -1.1,
        "standard_error": 0.07, "effect_allele_frequency": 0.22, "neg_log10_p": 44.12, "n": 358,
    }  # fmt: skip
    app.state.board.runs["abc12345"] = wire.run("released", files=("results.parquet",))
    app.state.board.runs["def12345"] = wire.run("running", id="def12345", reason="the owner said so")
    told = {"lines": 9, "tested": 9, "lambda": 1.02, "contigs": {}, "cells": {}, "top": [top], "loci": [top], "quantiles": []}
    stratum = {"low": 0.05, "high": 0.5, "tested": 9, "lambda": 1.02, "quantiles": [[1.2, 44.12]]}
    app.state.board.summaries["abc12345"] = {**told, "strata": [stratum]}
    figures = {"beta": -1.1, "standardError": 0.1, "low": -1.3, "high": -0.9}
    locus = {
        "variant": "22-50313359-G-A",
        "nodes": [{"node": "FI", **figures}, {"node": "IT", **figures}],
        "silent": ["GB"],
        "together": {**figures, "q": 0.0, "qNegLog10P": 0.0, "iSquared": 0.0},
    }
    app.state.board.node_estimates = {"state": "released", "trait": "BMI", "loci": [locus]}
    with serve(app) as url, httpx.Client(base_url=url, headers={"accept": "text/html"}, timeout=20) as client:
        yield client


def test_every_route_is_walked(app: FastAPI) -> None:
    found = {route.path for route in app.routes if type(route) is Route and route.methods and "GET" in route.methods}
    assert found - {"/docs", "/docs/oauth2-redirect", "/redoc", "/openapi.json"} == {*PAGES, *NO_PAGES}


@pytest.mark.parametrize("language", ["en", "de", "en-XA"])
def test_pages_are_light_and_load_nothing_from_elsewhere(walked: httpx.Client, read: Callable[..., Any], language: str) -> None:
    scripts: dict[str, int] = {}
    for path in PAGES.values():
        answer = walked.get(path, headers={"cookie": f"cohelix_language={language}"})
        page = read(answer)
        assert page.all("html") == [{"lang": language}], path
        assert len(answer.content) <= PAGE_BYTES, path
        policy = answer.headers["content-security-policy"]
        assert policy.startswith("default-src 'none'; ") and "unsafe" not in policy and "http" not in policy
        assert not re.search(r"<style|\sstyle=|\son\w+=|javascript:", answer.text), path
        loaded = [one.get("src") or one.get("href") for tag in ("script", "link", "img") for one in page.all(tag)]
        assert all(address and address.startswith("/") and not address.startswith("//") for address in loaded), loaded
        own = [one["src"] for one in page.all("script")]
        for address in own:
            scripts.setdefault(address, len(gzip.compress(walked.get(address).content)))
        assert sum(scripts[address] for address in own) <= SCRIPT_BYTES
    assert scripts


def test_no_word_of_a_page_is_left_in_english(walked: httpx.Client, read: Callable[..., Any], stage: Any) -> None:
    """In the pseudo-language a word is either within a message's brackets, or a member's, or the same in every language."""
    people = " ".join(name for _, name, *_ in COUNTS.values())
    known = {*OWN_WORDS.split()} | set(re.findall(r"[^\W_]+", json.dumps([stage.script, people], default=str)))
    forgotten: dict[str, list[str]] = {}
    for path in PAGES.values():
        page = walked.get(path, headers={"cookie": "cohelix_language=en-XA"})
        text = re.sub(r'<(code|script|style)\b.*?</\1>|<\w+[^>]*\slang="en"[^>]*>.*?</\w+>', " ", page.text, flags=re.DOTALL)
        text = re.sub(r"⟦[^⟦⟧]*⟧", " ", _innermost_gone(read(httpx.Response(200, text=text)).text))
        words = [word for word in re.findall(r"[^\W_]+", text) if re.search(r"[^\W\d]{2}", word) and word not in known]
        if words:
            forgotten[path] = words
    assert not forgotten


def _innermost_gone(text: str) -> str:
    """The text without its messages, of which one may stand within another."""
    while (shorter := re.sub(r"⟦[^⟦⟧]*⟧", " ", text)) != text:
        text = shorter
    return text


def test_the_shipped_scripts_are_small() -> None:
    """All of ours together, whichever page takes which."""
    folder = Path(str(resources.files("cohelix.portal").joinpath("views", "static")))
    assert sum(len(gzip.compress(file.read_bytes())) for file in folder.glob("*.js")) <= SCRIPT_BYTES / 3
