"""Text that wants to be markup stays text, wherever it comes from: the box, the address, a member."""

from __future__ import annotations

import csv
import html
import io
import re
import shlex
from collections.abc import Callable
from typing import Any
from urllib.parse import quote

import httpx
import pytest
from fastapi import FastAPI

from validation.portal import hostile as corpus
from validation.portal.judging import faults_of, markup_faults, table_faults

_MARKUP = (
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "<svg/onload=alert(1)>",
    '"><script>alert(1)</script>',
    "'><img src=x onerror=alert(1)>",
    '" autofocus onfocus=alert(1) x="',
    "' onmouseover='alert(1)",
    "javascript:alert(1)",
    "</textarea><script>alert(1)</script>",
    "</title><script>alert(1)</script>",
    "<iframe srcdoc='<script>alert(1)</script>'>",
    "<math><mtext></form><form><mglyph><style></math><img src onerror=alert(1)>",
    "<a href=javascript:alert(1)>x</a>",
    "<style>@import'//evil.example'</style>",
    "<base href=//evil.example>",
    "<meta http-equiv=refresh content=0;url=//evil.example>",
    "<!--><script>alert(1)</script>-->",
    "<![CDATA[<script>alert(1)</script>]]>",
    "{{7*7}}{% debug %}{#x#}",
    "${7*7}#{7*7}",
    "%3Cscript%3Ealert(1)%3C/script%3E",
    "&lt;script&gt;alert(1)&lt;/script&gt;",
    "&#60;script&#62;alert(1)&#60;/script&#62;",
    "\u003cscript\u003ealert(1)\u003c/script\u003e",
    "＜script＞alert(1)＜/script＞",
    "<scr\0ipt>alert(1)</scr\0ipt>",
    "x\r\nSet-Cookie: a=b\r\n\r\n<script>alert(1)</script>",
    "x\nLocation: //evil.example",
    "//evil.example",
    "\\\\evil.example",
    "/\\evil.example",
    "https://evil.example/",
    "22-5-A-<img/src=x>",
    "22-5-A-<script>",
    '22:1-2"onclick="alert(1)',
    "=cmd|'/c calc'!A1",
)
# Each once alone, some behind what the box understands, and a sample of the proof's (`validation/portal/hostile.py`).
CORPUS = [*_MARKUP, *(f"22-50313359-G-A {m}" for m in _MARKUP[::4]), *corpus.CORPUS[::11]]
ALLOWED_TAGS = re.compile(
    "html|head|meta|title|link|script|body|a|header|div|svg|path|nav|ul|li|form|label|input|select|optgroup|option|button|main|h[123]|p|"
    "footer|b|span|section|strong|code|fieldset|legend|table|caption|thead|tbody|tr|th|td|abbr|dl|dt|dd|figure|figcaption|rect|"
    "line|g|text|circle|details|summary|pre"
)


def assert_harmless(answer: httpx.Response, read: Callable[..., Any]) -> None:
    page = read(answer)
    for tag, attributes in page.tags:
        assert ALLOWED_TAGS.fullmatch(tag), tag
        assert not [name for name in attributes if name.startswith("on") or name in ("style", "srcdoc", "autofocus")], (
            attributes
        )
        for name in ("href", "src", "action", "formaction"):
            target = attributes.get(name) or "/"
            assert target.startswith(("/", "#")) and not target.startswith(("//", "/\\")), target
    assert all((script.get("src") or "").startswith("/static/") for script in page.all("script"))
    assert "default-src 'none'" in answer.headers["content-security-policy"]
    assert "set-cookie" not in answer.headers
    assert "49" not in re.findall(r"[{$#]*([0-9*]+)}", page.text), "a template ran what it was given"


def test_hostile_text_in_the_box(client: httpx.Client, read: Callable[..., Any]) -> None:
    for text in CORPUS:
        answer = client.get("/search", params={"q": text, "assembly": "GRCh37"})
        if answer.is_redirect:
            place = answer.headers["location"]
            assert place.startswith(("/variant/", "/region/", "/gene/", "/datasets/")) or place == "/", place
            answer = client.get(place)
        assert answer.status_code in (200, 400, 404), text
        assert_harmless(answer, read)


def test_hostile_text_in_the_assembly_and_the_cursor(client: httpx.Client, read: Callable[..., Any]) -> None:
    for text in _MARKUP:
        for path in ("/search", "/variant/22-5-A-G", "/region/22:1-5", "/gene/CRELD2"):
            answer = client.get(path, params={"q": "22-5-A-G", "assembly": text})
            assert answer.status_code == 400, (path, text)
            assert_harmless(answer, read)
        assert_harmless(client.get("/region/22:1-5", params={"assembly": "GRCh37", "after": text}), read)


def test_hostile_text_in_the_path(client: httpx.Client, read: Callable[..., Any]) -> None:
    for text in _MARKUP:
        for page in ("variant", "region", "gene", "datasets", "nowhere"):
            for query in ("", "?assembly=GRCh37"):
                answer = client.get(f"/{page}/{quote(text, safe='')}{query}")
                assert answer.status_code in (200, 303, 400, 404), (page, text)
                if answer.is_redirect:
                    place = answer.headers["location"]
                    assert place.startswith("/") and not place.startswith(("//", "/\\")), place
                else:
                    assert_harmless(answer, read)


@pytest.fixture(params=[text for text in _MARKUP if text.isprintable()])
def hostile_text(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def hostile_member(stage: Any, wire: Any, make_app: Callable[..., FastAPI], hostile_text: str) -> FastAPI:
    """A member's name, its datasets' ids, titles, populations and notes, and its reasons."""
    rows = [wire.row("all", "all", 31, 184, 3), wire.row(hostile_text, "all", 31, 184, 3), wire.row("other", "all", 0, 0, 0)]
    datasets = [
        {"id": f"FI:{hostile_text}", "status": "answered", "populations": rows},
        {"id": "FI:clinic", "status": "refused", "reason": hostile_text, "populations": []},
    ]
    record = wire.record(
        f"FI:{hostile_text}",
        title=hostile_text,
        openReleaseNote=hostile_text,
        populations=[hostile_text],
        contigs=[hostile_text],
        measurements=[hostile_text],
    )
    region = {
        "node": "FI",
        "datasets": [
            {
                "id": f"FI:{hostile_text}",
                "status": "answered",
                "variants": [{"variant": "22-50313359-G-<img/src=x>", "populations": rows}],
            },
            {"id": "FI:clinic", "status": "refused", "reason": hostile_text, "variants": []},
        ],
        "more": False,
    }
    stage.play("FI", datasets, [record, wire.record("FI:clinic", simulated=True)], region)
    return make_app(stage, names={"FI": hostile_text})


def test_hostile_text_of_a_member(
    hostile_member: FastAPI, hostile_text: str, serve: Callable[..., Any], read: Callable[..., Any]
) -> None:
    browser = {"accept": "text/html"}
    with serve(hostile_member) as url, httpx.Client(base_url=url, headers=browser, timeout=20) as client:
        for path in (
            "/",
            "/variant/22-50313359-G-A?assembly=GRCh37",
            "/region/22:50310000-50320000?assembly=GRCh37",
            "/datasets",
            "/datasets/FI:clinic",
            f"/datasets/{quote(f'FI:{hostile_text}', safe=':')}",
        ):
            answer = client.get(path)
            assert_harmless(answer, read)
            if "/" not in hostile_text:
                assert answer.status_code == 200, path


def test_a_hostile_host_header_stays_inside_its_quotes(client: httpx.Client, read: Callable[..., Any]) -> None:
    answer = client.get("/variant/22-50313359-G-A?assembly=GRCh37", headers={"host": "evil.example';id;'"})
    assert_harmless(answer, read)
    codes = [
        code.replace("&#39;", "'").replace("&#34;", '"') for code in re.findall(r"<code>(.*?)</code>", answer.text, re.DOTALL)
    ]
    hub = "http://evil.example';id;'"
    assert shlex.split(codes[0]) == ["curl", f"{hub}/api/v1/frequency/22-50313359-G-A?assembly=GRCh37"]
    assert shlex.split(codes[2])[-1] == hub
    assert f'cohelix.connect("{hub}")' in codes[1]


@pytest.mark.parametrize(
    "text", ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r\n=1", "=cmd|'/c calc'!A1", '"=1', "＝1+1", 'a","=1', "a\n=1"]
)
def test_no_field_of_a_file_is_a_formula(
    stage: Any, wire: Any, make_app: Callable[..., FastAPI], serve: Callable[..., Any], text: str
) -> None:
    rows = [wire.row("all", "all", 31, 184, 3), wire.row(text, "all", 31, 184, 3)]
    datasets = [
        {"id": f"FI:{text}", "status": "answered", "populations": rows},
        {"id": "FI:b", "status": "refused", "reason": text, "populations": []},
    ]
    stage.play("FI", datasets, [])
    with serve(make_app(stage)) as url:
        for kind, delimiter in (("csv", ","), ("tsv", "\t")):
            answer = httpx.get(f"{url}/variant/22-50313359-G-A/counts.{kind}", params={"assembly": "GRCh37"})
            assert "\n" not in answer.headers["content-disposition"]
            table = list(csv.reader(io.StringIO(answer.text), delimiter=delimiter))
            assert {len(row) for row in table} == {14}
            assert not [cell for row in table for cell in row if cell[:1] in set("=+-@\t\r＝")]


def test_the_proofs_judge_sees_what_is_not_escaped() -> None:
    hub = "http://127.0.0.1:1"
    tags = [text for text in corpus.CORPUS if re.search(r"<(img|svg|iframe|body|base|math|video|style|object|script)\b", text)]
    tags = [text for text in tags if "noscript" not in text]  # an attribute to a parser with scripts off; Chromium has them on
    assert len(tags) > 100
    for text in tags:
        assert markup_faults(f"<!doctype html><title>x</title><p>{text}</p>", hub), text
        assert not markup_faults(f'<!doctype html><title>x</title><p title="{html.escape(text)}">{html.escape(text)}</p>', hub)
    assert table_faults("a,b\r\n1,=1+1\r\n", ",") and not table_faults("a,b\r\n-1.5,'=1+1\r\n", ",")
    for headers in ({"location": "//evil.example"}, {"set-cookie": "hacked=1"}, {"refresh": "0"}):
        assert faults_of(httpx.Response(303, headers=headers), hub)
