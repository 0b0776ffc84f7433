"""Data-use codes of datasets as people write them: `GRU`, `DS(MONDO:0004992)`, `GS(FI,SE)`, `MOR(2027-01-01)`, `TS(24)`."""

from __future__ import annotations

from typing import Final

from pydantic import ValidationError

from cohelix.access.duo import DataUse, read_code
from cohelix.core.errors import BadUsage
from cohelix.wire.dataset import DataUseClause


def read_clause(text: str) -> DataUseClause:
    """A data-use code with what it needs in brackets: `GRU`, `DS(MONDO:0004992)`, `GS(FI,SE)`, `MOR(2027-01-01)`, `TS(24)`.

    Raises
    ------
    BadUsage
        If it is no code of DUO, or what it needs is missing or not understood.
    """
    name, bracket, rest = text.strip().partition("(")
    use = read_code(name)
    if use is None:
        known = ", ".join(one.name for one in DataUse)
        raise BadUsage(f"{name[:60]!r} is no data-use code: use one of {known}, or its number as DUO:0000042")
    if bracket and not rest.endswith(")"):
        raise BadUsage(f"{text[:80]!r}: the bracket is not closed")
    given = tuple(part.strip() for part in rest[:-1].split(",") if part.strip()) if bracket else ()
    field = _NEEDS.get(use)
    if field is None:
        if given:
            raise BadUsage(f"{use.name} takes nothing in brackets")
        return DataUseClause(code=use.name)
    if not given or (field in ("until", "months") and len(given) > 1):
        raise BadUsage(f"{use.name} needs {_WORDS[field]}")
    try:
        value = given if field in ("diseases", "countries") else given[0]
        clause = DataUseClause.model_validate({"code": use.name, field: value}, strict=False)
    except ValidationError:
        raise BadUsage(f"{use.name} needs {_WORDS[field]}, and {', '.join(given)[:80]!r} is not that") from None
    if field == "countries" and not all(len(one) == 2 and one.isalpha() and one.isupper() for one in given):
        raise BadUsage(f"{use.name} needs {_WORDS[field]}, and {', '.join(given)[:80]!r} is not that")
    if field == "diseases" and not all(":" in one for one in given):
        raise BadUsage(f"{use.name} needs {_WORDS[field]}, and {', '.join(given)[:80]!r} is not that")
    if clause.months is not None and clause.months < 1:
        raise BadUsage(f"{use.name} needs {_WORDS[field]}, and {given[0][:80]!r} is not that")
    return clause


def clause_text(clause: DataUseClause) -> str:
    """A clause as `read_clause` reads it."""
    given = [*clause.diseases, *clause.countries]
    if clause.until is not None:
        given.append(clause.until.isoformat())
    if clause.months is not None:
        given.append(str(clause.months))
    return f"{clause.code}({','.join(given)})" if given else clause.code


_NEEDS: Final = {DataUse.DS: "diseases", DataUse.GS: "countries", DataUse.MOR: "until", DataUse.TS: "months"}
_WORDS: Final = {
    "diseases": "the permitted diseases in brackets, as DS(MONDO:0004992,MONDO:0005148)",
    "countries": "the permitted countries in brackets, as GS(FI,SE)",
    "until": "the day before which nothing is published in brackets, as MOR(2027-01-01)",
    "months": "the number of months in brackets, as TS(24)",
}
