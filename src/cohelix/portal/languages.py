"""The languages of the pages: which one a reader gets, the words of each, and a pseudo-language that shows what was forgotten.

Words stand in `locale/<language>.po`, made by `scripts/translations.py` from the templates; English is in the templates itself.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from gettext import GNUTranslations, NullTranslations
from importlib import resources
from io import BytesIO
from typing import Final

from babel import Locale
from babel.core import negotiate_locale
from babel.dates import format_date
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po
from starlette.requests import HTTPConnection
from starlette.responses import Response

COOKIE: Final = "cohelix_language"
_COOKIE_SECONDS = 365 * 24 * 3600
_TAGS_MAX = 30  # of a browser's Accept-Language; more is not a person's list


@dataclass(frozen=True, slots=True)
class Language:
    """A language of the pages.

    Attributes
    ----------
    tag
        As in HTML's `lang` (BCP 47).
    name
        In the language itself.
    draft
        Whether its words were drafted by a machine and no reviewer has read them; every page says so.
    """

    tag: str
    name: str
    draft: bool = False

    @property
    def locale(self) -> Locale:
        """Its rules for numbers and dates."""
        return _locale("en" if self is PSEUDO else self.tag)


ENGLISH: Final = Language("en", "English")
PSEUDO: Final = Language("en-XA", "Ƥšéúđö")
LANGUAGES: Final = (
    ENGLISH,
    Language("de", "Deutsch"),
    Language("fr", "Français", draft=True),
    Language("es", "Español", draft=True),
    Language("it", "Italiano", draft=True),
    Language("fi", "Suomi", draft=True),
)
_BY_TAG: Final = {one.tag.lower(): one for one in (*LANGUAGES, PSEUDO)}
_CURRENT: ContextVar[Language] = ContextVar("language", default=ENGLISH)


def language_of_tag(tag: str) -> Language | None:
    """The language of that tag, whatever its case."""
    return _BY_TAG.get(tag.lower())


def language_of(request: HTTPConnection) -> Language:
    """The language that the reader chose, else the best that the browser asks for, else English."""
    return _BY_TAG.get(request.cookies.get(COOKIE, "").lower()) or accepted(request.headers.get("accept-language", ""))


def accepted(header: str) -> Language:
    """The best language for an `Accept-Language` (RFC 9110, section 12.5.4)."""
    wanted: list[tuple[float, str]] = []
    for part in header.split(",")[:_TAGS_MAX]:
        tag, _, weight = part.strip().partition(";")
        found = re.fullmatch(r"\s*q=([01](?:\.\d{0,3})?)\s*", weight) if weight else None
        quality = float(found[1]) if found else 1.0 if not weight else 0.0
        if quality > 0 and re.fullmatch(r"[A-Za-z]{1,8}(?:-[A-Za-z0-9]{1,8})*", tag):
            wanted.append((-quality, tag.replace("-", "_")))
    tags = [tag for _, tag in sorted(wanted, key=lambda one: one[0])]
    best = negotiate_locale(tags, [one.tag for one in LANGUAGES], aliases={})
    return _BY_TAG[best.lower()] if best else ENGLISH


def keep(answer: Response, language: Language, *, secure: bool) -> None:
    """Let the browser remember what its reader chose."""
    answer.set_cookie(COOKIE, language.tag, max_age=_COOKIE_SECONDS, path="/", secure=secure, httponly=True, samesite="lax")


@contextmanager
def speaking(language: Language) -> Iterator[None]:
    """Within it, `gettext` and the figures of this task are in that language."""
    token = _CURRENT.set(language)
    try:
        yield
    finally:
        _CURRENT.reset(token)


def current() -> Language:
    """The language in which the page at hand is made."""
    return _CURRENT.get()


@dataclass(frozen=True, slots=True)
class Written:
    """A language in which somebody is written to, where no page is at hand (`access.mail.Speaking`)."""

    language: Language

    def gettext(self, message: str) -> str:
        """A message in the language."""
        return _words(self.language.tag).gettext(message) if message else ""

    def day(self, moment: datetime) -> str:
        """A day in the language, with its name."""
        return format_date(moment, "full", locale=self.language.locale)


def written(tag: str) -> Written:
    """The language of a tag, for letters; English for one that is not known."""
    return Written(_BY_TAG.get(tag.lower(), ENGLISH))


def gettext(message: str) -> str:
    """A message in the current language; what no list of words has stays as it is."""
    return _words(current().tag).gettext(message) if message else ""


def ngettext(singular: str, plural: str, number: int) -> str:
    """A message about a number of things."""
    return _words(current().tag).ngettext(singular, plural, number)


def pgettext(context: str, message: str) -> str:
    """A message that would be another one elsewhere: `context` says where it stands."""
    return _words(current().tag).pgettext(context, message)


def npgettext(context: str, singular: str, plural: str, number: int) -> str:
    """Both."""
    return _words(current().tag).npgettext(context, singular, plural, number)


@cache
def _locale(tag: str) -> Locale:
    return Locale.parse(tag)


@cache
def _words(tag: str) -> NullTranslations:
    if tag == PSEUDO.tag:
        return _PseudoWords()
    file = resources.files("cohelix.portal").joinpath("locale", f"{tag}.po")
    if tag == ENGLISH.tag or not file.is_file():
        return NullTranslations()
    compiled = BytesIO()
    with file.open("rb") as source:
        write_mo(compiled, read_po(source, locale=tag))
    compiled.seek(0)
    return GNUTranslations(compiled)


class _PseudoWords(NullTranslations):
    """English that a reader of tests knows from untranslated English, and that is as long as long languages are."""

    def gettext(self, message: str) -> str:
        return pseudo(message)

    def ngettext(self, msgid1: str, msgid2: str, n: int) -> str:
        return pseudo(msgid1 if n == 1 else msgid2)

    def pgettext(self, context: str, message: str) -> str:
        return pseudo(message)

    def npgettext(self, context: str, msgid1: str, msgid2: str, n: int) -> str:
        return self.ngettext(msgid1, msgid2, n)


_ACCENTED = str.maketrans(
    "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ", "àƀçđéƒĝĥíĵķļɱñöþǫŕšţúṽŵẋýžÀƁÇĐÉƑĜĤÍĴĶĻṀÑÖÞǪŔŠŢÚṼŴẊÝŽ"
)
_KEPT = re.compile(r"(<[^>]*>|&\w+;|%\(\w+\)[sd]|%%)")  # markup, entities and places stay as they are


def pseudo(message: str) -> str:
    """`Ask` becomes `⟦Àšķ~⟧`: accents, a third longer, and brackets that show where a message was put together."""
    pieces = _KEPT.split(message)
    length = sum(len(piece) for piece in pieces[::2])
    said = "".join(piece if number % 2 else piece.translate(_ACCENTED) for number, piece in enumerate(pieces))
    padding = "~" * max(1, length // 3)
    return f"⟦{said}{' '.join(padding[at : at + 6] for at in range(0, len(padding), 6))}⟧"
