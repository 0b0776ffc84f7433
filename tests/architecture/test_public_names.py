"""What each room offers to the others: its face, held here so that a change of it is seen."""

from __future__ import annotations

import importlib
import inspect
import pkgutil

import pytest

import cohelix

FACES: dict[str, set[str]] = {
    "cohelix": {"AsyncClient", "Client", "__version__", "connect"},
    "cohelix.access": {"ANONYMOUS", "Actor", "Role", "Visa", "VisaKind"},
    "cohelix.audit": {"Decided", "Event", "Keyed", "Person", "size_class"},
    "cohelix.bank": {
        *("Bank", "Criterion", "DatasetRecord", "DatasetView", "FoundVariant", "Groups", "PeopleCount", "PeopleQuery"),
        *("Scrubber", "Term", "VariantPage", "VariantQuery"),
    },
    "cohelix.beacon": {"About", "Beacon", "Reply"},
    "cohelix.db": {"downgrade", "open_database", "reading", "revision", "serialised", "upgrade"},
    "cohelix.disclosure": {
        *("AnalysisFacts", "AnalysisPolicy", "FREQUENCY_FLOOR", "PEOPLE_FLOOR", "PooledFacts", "Told"),
        *("Verdict", "charged_traits", "decide_analysis", "decide_pooled", "refused_by", "tell_count"),
        *("tell_frequencies", "tell_given_frequencies", "tell_parts"),
    },
    "cohelix.federation": {
        *("Arrival", "Federation", "HttpTransport", "Identity", "JoinToken", "Registry", "Transport", "create_identity"),
        *("load_identity", "read_token"),
    },
    "cohelix.genotypes": {
        *("CallFilters", "Calls", "Carriers", "Cohort", "CountTable", "DosageType", "EncodedBatch"),
        *("GenotypePart", "GenotypeReport", "LoadProgress", "RefAllele", "StoreInfo", "StoreWriter", "Totals"),
        *("VariantTable", "encode_calls", "load_genotypes", "open_counts", "write_counts", "write_region"),
    },
    "cohelix.hub": {"HubSettings", "make_hub", "read_settings"},
    "cohelix.node": {"NodeSettings", "init_node", "read_settings"},
    "cohelix.phenotypes": {
        *("Measurement", "People", "SexCode", "Reading", "Term", "TermPeople", "read_identifiers", "read_people"),
    },
    "cohelix.portal": set(),
    "cohelix.sdk": {
        *("AsyncClient", "Client", "Datasets", "Frequency", "GeneVariants", "Identity", "Members", "Variants", "connect"),
        *("identity_of", "log_in"),
    },
    "cohelix.stats": {
        *("Components", "GenotypePlanes", "RelatedPairs", "contamination_estimates", "fit_components", "group_distances"),
        *("hwe_p_values", "inbreeding", "project", "related_pairs", "robust_z"),
    },
    "cohelix.web": {
        *(
            "MemberRoads",
            "ServiceKind",
            "Tls",
            "answer_first",
            "chosen_tls",
            "configure_logs",
            "describe",
            "install",
            "make_token",
            "member_roads",
            "name_route",
            "note_refusal",
        ),
        *("request_id", "serve"),
    },
}
# Rooms that are read module by module: shared nouns and documents, commands, helpers.
BY_MODULE = {"cohelix.analysis", "cohelix.cli", "cohelix.core", "cohelix.testing", "cohelix.wire"}
ROOMS = {f"cohelix.{module.name}" for module in pkgutil.iter_modules(cohelix.__path__) if module.ispkg}


def test_every_room_is_listed() -> None:
    assert set(FACES) - {"cohelix"} | BY_MODULE == ROOMS


@pytest.mark.parametrize("room", sorted(FACES))
def test_a_face_shows_what_is_listed(room: str) -> None:
    module = importlib.import_module(room)
    assert set(module.__all__) == FACES[room]
    assert list(module.__all__) == sorted(module.__all__), "in alphabetical order"
    for name in module.__all__:
        assert hasattr(module, name)
        offered = getattr(module, name)
        if inspect.isclass(offered) or inspect.isfunction(offered):
            assert offered.__doc__, f"{room}.{name} does not say what it does"


@pytest.mark.parametrize("room", sorted(BY_MODULE))
def test_a_room_without_a_face_exports_nothing(room: str) -> None:
    assert not getattr(importlib.import_module(room), "__all__", ())


def test_no_face_opens_a_store_or_mounts_a_route() -> None:
    for room, names in FACES.items():
        assert not {name for name in names if "router" in name.lower() or name == "open_store"}, room
