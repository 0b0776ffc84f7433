"""Documents that are signed as they should be, and what they mean: datasets, statements, links, conditions."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from functools import partial
from typing import Any
from urllib.parse import quote

from cohelix.access.actor import REGISTERED_ACCESS
from validation.tokens.world import DATASET, HUB, NOW, PERSON, VALUE, Case, T, World, jwk_of

_GRANT = "ControlledAccessGrants"
_DAY = 86_400


def cases(world: World) -> Iterator[Case]:
    """All of them."""
    for family in (_datasets, _statements, _addresses, _holders, _passports, _links, _conditions):
        for name, right, passport, *more in family(world):
            dataset = more[0] if more else DATASET
            yield Case(
                f"{family.__name__[1:]}: {name}", "passport", right, partial(world.opens, passport, NOW, dataset), passport
            )
    yield from _registered_cases(world)
    yield from _visas_alone(world)


Found = Iterator[tuple[Any, ...]]
"""Name, whether the dataset opens, passport, and dataset where it is another. Each passport itself holds."""


def _grant(world: World, value: Any = VALUE, **stated: Any) -> str:
    found = {name: said for name, said in world.stated(_GRANT, value, **{"by": "dac"} | stated).items() if said is not ...}
    return world.visa(found)


def _datasets(world: World) -> Found:
    values = {
        "exact": VALUE,
        "other dataset": f"{HUB}/datasets/FI:other",
        "other node": f"{HUB}/datasets/GB:study",
        "longer": f"{VALUE}2",
        "shorter": VALUE[:-1],
        "dataset in capitals": f"{HUB}/datasets/FI:STUDY",
        "node in small letters": f"{HUB}/datasets/fi:study",
        "hub in capitals": VALUE.replace("hub.example", "HUB.EXAMPLE"),
        "scheme in capitals": VALUE.replace("https", "HTTPS"),
        "http": VALUE.replace("https", "http"),
        "no scheme": VALUE.removeprefix("https:"),
        "with the port": VALUE.replace(".example", ".example:443"),
        "slash at the end": f"{VALUE}/",
        "two slashes": VALUE.replace("/datasets", "//datasets"),
        "dots": VALUE.replace("/datasets/", "/datasets/../datasets/"),
        "query": f"{VALUE}?x=1",
        "fragment": f"{VALUE}#x",
        "a space after": f"{VALUE} ",
        "a space before": f" {VALUE}",
        "a line break after": f"{VALUE}\n",
        "a NUL after": f"{VALUE}\0",
        "colon encoded": VALUE.replace("FI:", "FI%3A"),
        "letter encoded": VALUE.replace("study", "%73tudy"),
        "letter that looks alike": VALUE.replace("study", "ѕtudy"),
        "wide letters": VALUE.replace("FI:", "ＦＩ:"),
        "a star": f"{HUB}/datasets/FI:*",
        "all": "*",
        "stars for a letter": VALUE.replace("study", "stud?"),
        "the id alone": DATASET,
        "the dataset's name": "study",
        "node alone": f"{HUB}/datasets/FI",
        "empty": "",
        "another hub": VALUE.replace("hub.example", "hub.example.evil.example"),
        "a hub as user": VALUE.replace("https://", "https://evil.example@"),
        "two with a semicolon": f"{VALUE};{HUB}/datasets/FI:other",
        "two with a space": f"{VALUE} {HUB}/datasets/FI:other",
        "two with a comma": f"{VALUE},x",
        "a list": [VALUE],
        "a number": 7,
        "null": None,
        "missing": ...,
        "2,001 characters": VALUE + "x" * (2001 - len(VALUE)),
    }
    for name, value in values.items():
        yield name, name == "exact", world.passport([_grant(world, value)])
    yield "one visa opens one dataset", False, world.passport([_grant(world)]), "FI:other"
    both = [_grant(world, f"{HUB}/datasets/FI:other"), _grant(world)]
    yield "two visas, this dataset", True, world.passport(both)
    yield "two visas, the other one is not its authority's", False, world.passport(both), "FI:other"
    other = world.draft("visa").change(
        header={"jku": f"{world.other}/jwks"}, iss=world.other, ga4gh_visa_v1=world.stated(_GRANT, VALUE, by="dac")
    )
    other.key = world.keys[(world.other, "es")]
    yield "by an authority of other data", False, world.passport([other.text])
    other.claims["ga4gh_visa_v1"]["value"] = f"{HUB}/datasets/GB:any"
    yield "by the authority of all of a node's data", True, world.passport([other.text]), "GB:any"
    yield "a star is for one node", False, world.passport([other.text]), "GBX:any"
    for name, source in {
        "believed": "https://dac.example",
        "another": "https://x.example",
        "longer": "https://dac.example/",
        "in capitals": "https://DAC.example",
    }.items():
        other.claims["ga4gh_visa_v1"]["source"] = source
        yield f"source that is {name}", name == "believed", world.passport([other.text]), "GB:any"
    other.claims["ga4gh_visa_v1"]["source"] = "https://dac.example"
    for name, days, right in (
        ("29 days", 29 * _DAY, True),
        ("30 days less 1 s", 30 * _DAY - 1, True),
        ("30 days", 30 * _DAY, False),
        ("31 days", 31 * _DAY, False),
    ):
        other.claims["ga4gh_visa_v1"]["asserted"] = T - days
        other.claims["iat"] = T - days
        yield f"asserted {name} ago, 30 days believed", right, world.passport([other.text]), "GB:any"


def _statements(world: World) -> Found:
    for by, right in {
        "dac": True,
        "system": True,
        "so": True,
        "self": False,
        "peer": False,
        "DAC": False,
        "dac ": False,
        "": False,
        "chair": False,
    }.items():
        yield f"by {by!r}", right, world.passport([_grant(world, by=by)])
    for name, said in {"missing": ..., "null": None, "a list": ["dac"], "a number": 7}.items():
        yield f"by {name}", False, world.passport([_grant(world, by=said)])
    for said in (
        "ControlledAccessGrant",
        "controlledaccessgrants",
        "ControlledAccessGrants ",
        "",
        "ResearcherStatus",
        "Anything",
        7,
        None,
        [_GRANT],
        ...,
    ):
        stated = world.stated(_GRANT, VALUE, by="dac", type=said)
        if said is ...:
            del stated["type"]
        yield f"type {said!r}", False, world.passport([world.draft("visa").change(ga4gh_visa_v1=stated).text])
    for off, right in (
        (-1095 * _DAY, True),
        (-1096 * _DAY + 1, True),
        (-1096 * _DAY, False),
        (-4000 * _DAY, False),
        (0, True),
        (60, True),
        (61, False),
        (_DAY, False),
    ):
        yield f"asserted {off:+} s", right, world.passport([_grant(world, asserted=T + off)])
    for name, said in {
        "missing": ...,
        "null": None,
        "text": str(T),
        "true": True,
        "negative": -1,
        "beyond all years": 10**18,
        "a list": [T],
    }.items():
        yield f"asserted {name}", False, world.passport([_grant(world, asserted=said)])
    for name, said in {
        "missing": ...,
        "empty": "",
        "null": None,
        "a number": 7,
        "a line break": "https://x\n",
        "too long": "x" * 501,
    }.items():
        yield f"source {name}", False, world.passport([_grant(world, source=said)])
    for name, said in {"missing": ..., "empty": "", "null": None, "a number": 7, "a NUL": "a\0", "too long": "x" * 256}.items():
        yield f"jti {name}", False, world.passport([world.draft("visa").change(jti=said).text])
    for name, said in {
        "missing": ...,
        "null": None,
        "a list": [world.stated(_GRANT, VALUE, by="dac")],
        "a text": VALUE,
        "empty": {},
        "true": True,
    }.items():
        yield f"visa object {name}", False, world.passport([world.draft("visa").change(ga4gh_visa_v1=said).text])
    more = world.stated(_GRANT, VALUE, by="dac", note="unknown")
    yield (
        "a member of the visa object that nobody knows",
        True,
        world.passport([world.draft("visa").change(ga4gh_visa_v1=more).text]),
    )
    yield "a claim that nobody knows", True, world.passport([world.draft("visa").change(other=[1]).text])
    draft = world.draft("visa").change(header={"jku": f"{world.broker}/jwks"}, iss=world.broker)
    draft.key = world.keys[(world.broker, "es")]
    yield "a grant by the broker", False, world.passport([draft.text])


def _addresses(world: World) -> Found:
    own, canary = f"{world.authority}/jwks", world.canary
    for name, said in {
        "the canary's": f"{canary}/jwks",
        "the list's with more": f"{own}.evil",
        "with a slash": f"{own}/",
        "with a query": f"{own}?x",
        "with a fragment": f"{own}#x",
        "in capitals": own.upper(),
        "https": own.replace("http:", "https:"),
        "with the list's as user": own.replace("://", f"://{canary[7:]}@"),
        "the list's in the path": f"{canary}/{own}",
        "by name": own.replace("127.0.0.1", "localhost"),
        "as one number": own.replace("127.0.0.1", "2130706433"),
        "IPv6": own.replace("127.0.0.1", "[::ffff:127.0.0.1]"),
        "a file": "file:///etc/passwd",
        "data": "data:application/json,{}",
        "gopher": "gopher://x/",
        "the machine's own service": "http://169.254.169.254/latest",
        "with dots": own.replace("/dac", "/x/../dac"),
        "the broker's": f"{world.broker}/jwks",
        "empty": "",
        "null": None,
        "a number": 7,
        "a list": [own],
        "true": True,
    }.items():
        yield f"jku {name}", False, world.passport([world.draft("visa").change(header={"jku": said}).text])
        forged = world.draft("visa").change(header={"jku": said})
        forged.key = world.stranger["es"]
        yield f"jku {name}, signed by a stranger", False, world.passport([forged.text])
    for name, header in {"x5u": {"x5u": f"{canary}/x"}, "jwk": {"jwk": jwk_of(world.stranger["es"])}}.items():
        yield (
            f"the list's jku, and {name} that is not followed",
            True,
            world.passport([world.draft("visa").change(header=header).text]),
        )
    yield "neither jku nor scope", False, world.passport([world.draft("visa").change(header={"jku": ...}).text])
    for scope, right in {
        "ga4gh": True,
        "": True,
        "openid": False,
        "ga4gh openid": False,
        "openid ga4gh_passport_v1": False,
    }.items():
        yield (
            f"scope {scope!r} without jku",
            right,
            world.passport([world.draft("visa").change(header={"jku": ...}, scope=scope).text]),
        )
        yield f"scope {scope!r} with jku", False, world.passport([world.draft("visa").change(scope=scope).text])
    for said in (None, 7, ["ga4gh"]):
        yield (
            f"scope {said!r} without jku",
            False,
            world.passport([world.draft("visa").change(header={"jku": ...}, scope=said).text]),
        )
    yield "nested: a passport as visa", False, world.passport([world.passport([])])
    yield (
        "nested: a visa with a visa in it",
        True,
        world.passport([world.draft("visa").change(ga4gh_passport_v1=[_grant(world)]).text]),
    )


def _holders(world: World) -> Found:
    for name, who in {
        "somebody else": "researcher-2",
        "longer": f"{PERSON}0",
        "shorter": PERSON[:-1],
        "in capitals": PERSON.upper(),
        "with a space": f"{PERSON} ",
        "letter that looks alike": PERSON.replace("e", "е"),
        "with the broker's name": f"{PERSON}@{world.broker}",
    }.items():
        yield f"subject {name}", False, world.passport([world.draft("visa").change(sub=who).text])
    for name, whose, right in (
        ("not said, and there is one broker", ..., True),
        ("null", None, True),
        ("the broker", world.broker, True),
        ("another broker", "https://home.example", False),
        ("the authority", world.authority, False),
        ("the broker with a slash", f"{world.broker}/", False),
        ("empty", "", False),
        ("a number", 7, False),
        ("a list", [world.broker], False),
    ):
        yield f"subject's issuer {name}", right, world.passport([world.draft("visa").change(subject_issuer=whose).text])
    yield "a passport of somebody else with the visa", False, world.passport([_grant(world)], sub="researcher-2")


def _passports(world: World) -> Found:
    good, bad = _grant(world), world.draft("visa").change(exp=T - 1).text
    fillers = [world.visa(world.stated("ResearcherStatus", REGISTERED_ACCESS), jti=f"f{n}") for n in range(20)]
    for name, visas, right in (
        ("no visa", [], False),
        ("twice the same", [good, good], True),
        ("a bad one before", [bad, good], True),
        ("a bad one after", [good, bad], True),
        ("all bad", [bad, bad], False),
        ("nonsense beside", ["nonsense", "", "a.b.c", good], True),
        ("20 others", [*fillers, good], True),
        ("one too long beside", ["x" * 9000, good], True),
        ("128", [*["x"] * 127, good], True),
    ):
        yield name, right, world.passport(visas)
    for name, said in {
        "129 visas": [*["x"] * 128, good],
        "a number among them": [7, good],
        "null among them": [None, good],
        "a list in the list": [[good]],
        "a text": good,
        "an object": {"0": good},
        "null": None,
        "true": True,
        "many small ones": ["x"] * 5000,
    }.items():
        yield f"refused: {name}", False, world.draft("passport").change(ga4gh_passport_v1=said).text
    yield "refused: no visa claim", False, world.draft("passport").change(ga4gh_passport_v1=...).text
    yield (
        "refused: a visa object in the passport",
        False,
        world.draft("passport").change(ga4gh_passport_v1=..., ga4gh_visa_v1={}).text,
    )
    yield "a visa in a 1.0 access token's place", False, world.draft("access token").change(ga4gh_passport_v1=[good]).text


def _registered_cases(world: World) -> Iterator[Case]:
    status, terms = world.registered()

    def said(kind: str, value: str = REGISTERED_ACCESS, **changes: Any) -> str:
        return world.visa(world.stated(kind, value), jti=kind, **changes)

    for name, visas, right in (
        ("both", [status, terms], True),
        ("in the other order", [terms, status], True),
        ("status alone", [status], False),
        ("terms alone", [terms], False),
        ("twice the status", [status, status], False),
        ("status of another value", [said("ResearcherStatus", "https://x.example"), terms], False),
        ("terms of another value", [status, said("AcceptedTermsAndPolicies", "https://x.example")], False),
        ("both of another value", [said("ResearcherStatus", "x"), said("AcceptedTermsAndPolicies", "x")], False),
        ("value with http", [said("ResearcherStatus", REGISTERED_ACCESS.replace("https", "http")), terms], False),
        ("value in capitals", [said("ResearcherStatus", REGISTERED_ACCESS.upper()), terms], False),
        ("status has ended", [said("ResearcherStatus", exp=T), terms], False),
        ("terms of somebody else", [status, said("AcceptedTermsAndPolicies", sub="x")], False),
        (
            "status by the authority",
            [world.draft("visa").change(ga4gh_visa_v1=world.stated("ResearcherStatus", REGISTERED_ACCESS)).text, terms],
            False,
        ),
        ("a grant, and the terms", [_grant(world), terms], False),
        ("a role of the same value", [said("AffiliationAndRole"), terms], False),
    ):
        passport = world.passport(visas)

        def registered(passport: str = passport) -> bool:
            found = world.seen(passport)
            return found is not None and world.tier(found.actor, dataset="FI:other") == "registered"

        yield Case(f"registered access: {name}", "passport", right, registered, passport)


def _links(world: World) -> Found:
    home, other = "https://home.example", "r-77"
    grant = world.draft("visa").change(sub=other, subject_issuer=home).text
    pair = f"{other},{quote(home, safe='')}"

    def link(value: str, *, visa: str = grant, **changes: Any) -> str:
        return world.passport([visa, world.visa(world.stated("LinkedIdentities", value, by="system"), jti="link", **changes)])

    unnamed = world.draft("visa").change(sub=other, subject_issuer=...).text
    for name, value, right in (
        ("the pair", pair, True),
        ("the pair, second", f"x,y;{pair}", True),
        ("the pair, first", f"{pair};x,y", True),
        ("the pair, 50th", ";".join(["x,y"] * 49 + [pair]), True),
        ("the pair, 51st", ";".join(["x,y"] * 50 + [pair]), False),
        ("not encoded", f"{other},{home}", True),
        ("exchanged", f"{quote(home, safe='')},{other}", False),
        ("subject alone", other, False),
        ("issuer alone", f",{quote(home, safe='')}", False),
        ("without the issuer", f"{other},", False),
        ("three parts", f"{pair},x", False),
        ("another subject", f"r-78,{quote(home, safe='')}", False),
        ("another issuer", f"{other},https%3A%2F%2Fx.example", False),
        ("in capitals", pair.upper(), False),
        ("a space before", f" {pair}", False),
        ("with commas for semicolons", f"x,y,{pair}", False),
        ("encoded twice", f"{other},{quote(quote(home, safe=''), safe='')}", False),
        ("a star", "*,*", False),
        ("empty", "", False),
        ("a slash at the end", f"{pair}%2F", False),
        ("subject in another case", pair.replace("r-77", "R-77"), False),
    ):
        yield name, right, link(value)
    yield "no link", False, world.passport([grant])
    yield "a link of somebody else", False, link(pair, sub="x")
    yield "a link that has ended", False, link(pair, exp=T)
    yield "a link that is not valid yet", False, link(pair, nbf=T + 61)
    yield "a link of another broker's person", False, link(pair, subject_issuer=home)
    leaning = world.stated("LinkedIdentities", pair, by="system", conditions=[[{"type": "ResearcherStatus", "by": "const:so"}]])
    yield "a link whose conditions are not fulfilled", False, world.passport([grant, world.visa(leaning, jti="link")])
    by_authority = (
        world.draft("visa").change(jti="link", ga4gh_visa_v1=world.stated("LinkedIdentities", pair, by="system")).text
    )
    yield "a link by the authority", False, world.passport([grant, by_authority])
    forged = world.draft("visa").change(
        header={"jku": f"{world.canary}/jwks"}, iss=world.canary, ga4gh_visa_v1=world.stated("LinkedIdentities", pair)
    )
    yield "a link by a stranger", False, world.passport([grant, forged.text])
    chain = world.visa(
        world.stated("LinkedIdentities", pair, by="system"), sub="r-1", subject_issuer="https://mid.example", jti="second"
    )
    first = world.visa(world.stated("LinkedIdentities", "r-1,https%3A%2F%2Fmid.example", by="system"), jti="first")
    yield "a link of a link", False, world.passport([grant, first, chain])
    yield (
        "by the visa's own issuer, as the standard has it",
        True,
        link(f"{other},{quote(world.authority, safe='')}", visa=unnamed),
    )
    yield "by the only broker, where the visa does not say", True, link(f"{other},{quote(world.broker, safe='')}", visa=unnamed)
    yield "by its own issuer, where the visa names another", False, link(f"{other},{quote(world.authority, safe='')}")


def _conditions(world: World) -> Found:
    role = world.stated("AffiliationAndRole", "faculty@uni.example;staff@x.example", source="https://uni.example")
    status = world.visa(world.stated("ResearcherStatus", REGISTERED_ACCESS), jti="status")
    held = [
        world.visa(role, jti="role"),
        status,
        world.visa({**world.stated("AcceptedTermsAndPolicies", "terms"), "by": "self"}, jti="terms"),
    ]
    a, r = {"type": "AffiliationAndRole"}, {"type": "ResearcherStatus"}
    whole = "faculty@uni.example;staff@x.example"
    for name, conditions, right in (
        ("const", [[{**a, "value": f"const:{whole}"}]], True),
        ("const of a part", [[{**a, "value": "const:faculty@uni.example"}]], False),
        ("const in capitals", [[{**a, "value": f"const:{whole.upper()}"}]], False),
        ("const with a star", [[{**a, "value": "const:*"}]], False),
        ("const empty", [[{**a, "value": "const:"}]], False),
        ("pattern *", [[{**a, "value": "pattern:*"}]], True),
        ("pattern empty", [[{**a, "value": "pattern:"}]], False),
        ("pattern at the beginning", [[{**a, "value": "pattern:faculty@*"}]], True),
        ("pattern at the end", [[{**a, "value": "pattern:*@x.example"}]], True),
        ("pattern in the middle", [[{**a, "value": "pattern:*uni.example*"}]], True),
        ("pattern without a star", [[{**a, "value": "pattern:faculty"}]], False),
        ("pattern ?", [[{**a, "value": "pattern:facult?@*"}]], True),
        ("pattern ? for nothing", [[{**a, "value": "pattern:faculty?@*"}]], False),
        ("a dot is a dot", [[{**a, "value": "pattern:faculty@uni?example;*"}]], True),
        ("a dot is no other letter", [[{**a, "value": "pattern:facult.@*"}]], False),
        ("brackets are letters", [[{**a, "value": "pattern:[f]aculty@*"}]], False),
        ("split_pattern", [[{**a, "value": "split_pattern:faculty@*"}]], True),
        ("split_pattern, exact part", [[{**a, "value": "split_pattern:staff@x.example"}]], True),
        ("split_pattern over two parts", [[{**a, "value": "split_pattern:faculty*staff*"}]], False),
        ("split_pattern of none", [[{**a, "value": "split_pattern:student@*"}]], False),
        ("many stars", [[{**a, "value": "pattern:" + "*a" * 20 + "*"}]], False),
        ("unknown prefix", [[{**a, "value": "regex:.*"}]], False),
        ("no prefix", [[{**a, "value": whole}]], False),
        ("prefix in capitals", [[{**a, "value": f"CONST:{whole}"}]], False),
        ("prefix alone", [[{**a, "value": "const"}]], False),
        ("by", [[{**a, "by": "const:so"}]], True),
        ("by another", [[{**a, "by": "const:dac"}]], False),
        ("source", [[{**a, "source": "const:https://uni.example"}]], True),
        ("source another", [[{**a, "source": "const:https://x.example"}]], False),
        ("all three", [[{**a, "value": "pattern:f*", "by": "const:so", "source": "pattern:https://*"}]], True),
        ("two right, one wrong", [[{**a, "value": "pattern:f*", "by": "const:so", "source": "const:x"}]], False),
        ("type alone", [[a]], False),
        ("no type", [[{"value": "pattern:*"}]], False),
        ("type with prefix", [[{"type": "const:AffiliationAndRole", "value": "pattern:*"}]], False),
        ("type that nobody knows", [[{"type": "Other", "value": "pattern:*"}]], False),
        ("type in small letters", [[{"type": "affiliationandrole", "value": "pattern:*"}]], False),
        ("a field that nobody knows", [[{**a, "value": "pattern:*", "note": "const:x"}]], False),
        ("asserted as a field", [[{**a, "asserted": f"const:{T - _DAY}"}]], False),
        ("a number as text to match", [[{**a, "value": 7}]], False),
        ("null as text to match", [[{**a, "value": None}]], False),
        ("a list as text to match", [[{**a, "value": ["pattern:*"]}]], False),
        ("and, both", [[{**a, "by": "const:so"}, {**r, "by": "const:so"}]], True),
        ("and, one", [[{**a, "by": "const:so"}, {**r, "by": "const:dac"}]], False),
        ("or, first", [[{**a, "by": "const:so"}], [{**r, "by": "const:dac"}]], True),
        ("or, second", [[{**a, "by": "const:dac"}], [{**r, "by": "const:so"}]], True),
        ("or, none", [[{**a, "by": "const:dac"}], [{**r, "by": "const:dac"}]], False),
        ("one clause, two visas", [[{**a, "value": f"const:{REGISTERED_ACCESS}"}]], False),
        ("empty", [], False),
        ("an empty alternative", [[]], False),
        ("an empty clause", [[{}]], False),
        ("a flat list", [{**a, "by": "const:so"}], False),
        ("a text", "const:x", False),
        ("a clause that is a text", [["const:x"]], False),
        ("an object", {"type": "x"}, False),
        ("true", True, False),
        ("nested deeper", [[[{**a, "by": "const:so"}]]], False),
        ("32 alternatives", [[{**a, "by": "const:dac"}]] * 31 + [[{**a, "by": "const:so"}]], True),
        ("33 alternatives", [[{**a, "by": "const:so"}]] * 33, False),
        ("null: no conditions", None, True),
        ("fulfilled by itself", [[{"type": _GRANT, "by": "const:dac"}]], False),
        ("a visa of the person about terms", [[{"type": "AcceptedTermsAndPolicies", "by": "const:self"}]], True),
    ):
        yield name, right, world.passport([_grant(world, conditions=conditions), *held])
    clause = [[{**a, "by": "const:so"}]]
    for name, visa, right in (
        ("the other visa has ended", world.visa(role, exp=T), False),
        ("the other visa is of somebody else", world.visa(role, sub="x"), False),
        ("the other visa has conditions", world.visa({**role, "conditions": [[{**r, "by": "const:so"}]]}), False),
        ("no other visa", "x", False),
        ("the other visa is the person's", world.visa(role), True),
        ("the other visa is forged", world.visa(role)[:-8] + "AAAAAAAA", False),
    ):
        yield name, right, world.passport([_grant(world, conditions=clause), visa, status])
    said_nothing = dict(role)
    del said_nothing["by"]
    for name, wanted in {"const:": "const:", "pattern:*": "pattern:*", "by": "by"}.items():
        visas = [_grant(world, conditions=[[{**a, "by": wanted}]]), world.visa(said_nothing)]
        yield f"by {name} where the visa does not say by whom", False, world.passport(visas)


def _visas_alone(world: World) -> Iterator[Case]:
    """How long a decision holds: no longer than the shortest of what it rests on."""
    grant, soon = _grant(world), T + 120
    clause = [[{"type": "AffiliationAndRole", "by": "const:so"}]]
    role = world.stated("AffiliationAndRole", "faculty@uni.example")
    linked = world.draft("visa").change(sub="r-77", subject_issuer="https://home.example").text
    link = world.stated("LinkedIdentities", "r-77,https%3A%2F%2Fhome.example", by="system")
    for name, visas in {
        "a visa that ends soon": [world.draft("visa").change(exp=soon).text],
        "conditions on a visa that ends soon": [_grant(world, conditions=clause), world.visa(role, exp=soon)],
        "a link that ends soon": [linked, world.visa(link, exp=soon)],
        "an assertion that is believed no longer": [_grant(world, asserted=soon - 1096 * _DAY)],
    }.items():
        passport = world.passport(visas)
        for off in (-1, 0, 1):
            judge = partial(_still_opens, world, passport, off + 120)
            yield Case(f"expiry: {name}, asked {off:+} s from there", "passport", off < 0, judge, passport)
    for off in (289, 290, 291):
        yield Case(
            f"expiry: the passport's own, asked after {off} s",
            "passport",
            off < 290,
            partial(_still_opens, world, world.passport([grant]), off),
        )


def _still_opens(world: World, passport: str, seconds: int) -> bool:
    """Whether the actor that was found at first still opens the dataset later: nothing is verified again in between."""
    found = world.seen(passport)
    return found is not None and world.tier(found.actor, NOW + timedelta(seconds=seconds)) == "controlled"
