"""Keeps the words of the pages: `python scripts/translations.py update` after a template changed; `missing` shows the gaps.

Messages are found in the portal's templates and in its tables of words; `src/cohelix/portal/locale/<language>.po` has the
translations. A message that is gone from the pages goes from the files, too.
"""

from __future__ import annotations

import argparse
import importlib
import sys
from collections.abc import Iterator
from pathlib import Path

from babel.messages.catalog import Catalog
from babel.messages.extract import extract_from_dir
from babel.messages.pofile import read_po, write_po

PORTAL = Path(__file__).parents[1] / "src" / "cohelix" / "portal"
LOCALE = PORTAL / "locale"
METHODS = [("views/**.html", "jinja2"), ("**.py", "python")]
OPTIONS = {"views/**.html": {"trimmed": "true", "newstyle_gettext": "true", "silent": "false"}}
# Tables whose values are words of pages; templates give them through the filter `translated`.
TABLES = (
    "cohelix.portal.analyses:STATE_WORDS",
    "cohelix.portal.analyses:FILE_WORDS",
    "cohelix.portal.analyses:NODE_WORDS",
    "cohelix.portal.analyses:EVENT_WORDS",
    "cohelix.portal.checks:VERDICT_WORDS",
    "cohelix.portal.checks:DECISION_WORDS",
    "cohelix.portal.wizard:METHOD_WORDS",
    "cohelix.portal.wizard:TRANSFORMATION_WORDS",
    "cohelix.portal.wizard:MISSING_WORDS",
    "cohelix.portal.account:KIND_WORDS",
    "cohelix.portal.operate:LEVEL_WORDS",
    "cohelix.portal.operate:STATE_WORDS",
    "cohelix.portal.operate:QUALITY_WORDS",
    "cohelix.portal.operate:WAITING_WORDS",
    "cohelix.portal.operate:OVERDUE_WORDS",
    "cohelix.portal.operate:ENDING_WORDS",
    "cohelix.portal.catalogue:FACETS",
    "cohelix.portal.catalogue:UNSAID_WORDS",
    "cohelix.portal.cohort_pages:FIELD_WORDS",
    "cohelix.portal.cohort_pages:SIGN_WORDS",
    "cohelix.portal.cohort_pages:JOINT_WORDS",
    "cohelix.portal.cohort_pages:BREADTH_WORDS",
    "cohelix.portal.consent:SWITCH_WORDS",
    "cohelix.portal.consent:USE_WORDS",
    "cohelix.access.mail:MAIL_WORDS",
    "cohelix.portal.notices:WHAT_WORDS",
    "cohelix.portal.notices:TODO_WORDS",
    "cohelix.portal.desk_pages:DUTIES",
    "cohelix.portal.application_words:EVENT_WORDS",
    "cohelix.portal.application_words:REMINDER_WORDS",
    "cohelix.portal.application_words:CHECKLIST",
    "cohelix.portal.application_words:ADVICE_WORDS",
    "cohelix.portal.application_words:CODE_WORDS",
    "cohelix.portal.application_words:INVESTIGATION_WORDS",
    "cohelix.portal.application_words:LINE_WORDS",
    "cohelix.portal.application_words:STAGE_WORDS",
    "cohelix.portal.application_words:TYPE_WORDS",
)


def messages() -> Catalog:
    """Every message of the pages, untranslated."""
    catalog = Catalog(project="cohelix", charset="utf-8")
    keywords = {"gettext": None, "_": None, "ngettext": (1, 2), "pgettext": ((1, "c"), 2), "npgettext": ((1, "c"), 2, 3)}
    for name, _, message, comments, context in extract_from_dir(PORTAL, METHODS, OPTIONS, keywords=keywords):
        catalog.add(message, None, [(name, 0)], auto_comments=comments, context=context)
    for place, message in _table_words():
        catalog.add(message, None, [(place, 0)])
    return catalog


def _table_words() -> Iterator[tuple[str, str]]:
    for table in TABLES:
        module, _, name = table.partition(":")
        words = getattr(importlib.import_module(module), name)
        each = (word for value in words.values() for word in ((value,) if isinstance(value, str) else value))
        yield from ((f"{module.rpartition('.')[2]}.py", word) for word in dict.fromkeys(each))


def catalogue(language: str) -> Catalog:
    """A language's words as its file has them."""
    with (LOCALE / f"{language}.po").open("rb") as source:
        return read_po(source, locale=language)


def missing(language: str) -> list[str]:
    """Messages of the pages that a language's file does not translate."""
    words = catalogue(language)
    found = ((one, words.get(one.id, one.context)) for one in messages() if one.id)
    return [str(one.id) for one, known in found if known is None or known.fuzzy or not all(_forms(known.string))]


def _forms(string: object) -> tuple[str, ...]:
    return tuple(string) if isinstance(string, (tuple, list)) else (str(string or ""),)


def update(language: str) -> None:
    """Bring a language's file up to the pages; keeps what is translated."""
    file = LOCALE / f"{language}.po"
    words = catalogue(language) if file.exists() else Catalog(locale=language, project="cohelix", charset="utf-8")
    words.update(messages(), no_fuzzy_matching=True)
    words.obsolete.clear()
    with file.open("wb") as out:
        write_po(out, words, width=128, omit_header=True, sort_output=True, include_lineno=False, ignore_obsolete=True)


def main() -> int:
    """Do what the command line says."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=("update", "missing"))
    parser.add_argument("language", nargs="?", help="only this one")
    given = parser.parse_args()
    for language in [given.language] if given.language else sorted(file.stem for file in LOCALE.glob("*.po")):
        if given.what == "update":
            update(language)
        gaps = missing(language)
        print(f"{language}: {len(gaps)} of {len(list(messages())) - 1} messages are not translated", file=sys.stderr)
        if given.what == "missing":
            print(*gaps, sep="\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
