"""Makes a run's result files from its finished table: GWAS-SSF, metadata, manifest, report, and the automatic verdicts.

Everything is written before the run is `held`; nothing is changed when people release it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import orjson

from cohelix import __version__
from cohelix.analysis.drawing import Estimate
from cohelix.analysis.files import INDEX, METADATA, SSF, TABLE, write_metadata, write_ssf
from cohelix.analysis.pictures import region_of
from cohelix.analysis.record import RunRecord
from cohelix.analysis.report import report_page
from cohelix.analysis.summary import Summary, Top, keep_summary, summarise
from cohelix.analysis.verdict import FileVerdict, judge_other, judge_table
from cohelix.analysis.window import lines_around
from cohelix.core.arrays import FloatArray, IntArray

MANIFEST, REPORT, VERDICTS = "manifest.json", "report.html", "verdicts.json"
RELEASED = (TABLE, SSF, INDEX, METADATA, MANIFEST, REPORT)
_KINDS = {
    TABLE: ("application/vnd.apache.parquet", "Summary statistics"),
    SSF: ("application/gzip", "Summary statistics, GWAS-SSF 1.0.0"),
    INDEX: ("application/octet-stream", "Tabix index"),
    METADATA: ("text/yaml", "Metadata of the summary statistics"),
    REPORT: ("text/html", "Report"),
}


def finish_results(
    folder: Path,
    record: RunRecord,
    *,
    sign: Callable[[Mapping[str, Any]], Mapping[str, Any]],
    estimates: Mapping[str, Sequence[Estimate]] | None = None,
) -> tuple[FileVerdict, ...]:
    """Write the files of a finished run beside its `results.parquet`.

    Parameters
    ----------
    sign
        Gives the signature, a small document, of the manifest's canonical JSON.
    estimates
        Estimates of each node by variant, where every node agreed.

    Returns
    -------
    The verdict on each file, also in `verdicts.json`, which is for reviewers and is not released.
    """
    summary = keep_summary(folder, summarise(folder))  # pages show it without reading the table again
    write_ssf(folder)
    write_metadata(folder, _ssf_metadata(folder, record))
    verdicts = (
        *judge_table(
            folder,
            n_people=record.people,
            n_traits=len(record.traits),
            mac_floor=record.mac_floor,
            open_data=record.open_data,
            node_level=bool(estimates),
        ),
        *judge_other((METADATA, MANIFEST, REPORT)),
    )
    region = _around(folder, summary.top[0]) if summary.top else None
    page = report_page(record, summary, verdicts, lead_region=region, estimates=estimates or {})
    (folder / REPORT).write_text(page, encoding="utf-8")
    manifest = _manifest(folder, record, summary)
    manifest["cohelix:signature"] = dict(sign(manifest))
    (folder / MANIFEST).write_bytes(orjson.dumps(manifest, option=orjson.OPT_INDENT_2))
    (folder / VERDICTS).write_bytes(orjson.dumps([one.document() for one in verdicts], option=orjson.OPT_INDENT_2))
    return verdicts


def _around(folder: Path, lead: Top) -> tuple[IntArray, FloatArray, int]:
    positions, strengths = lines_around(folder, region_of(lead), trait=lead.trait)
    return positions, strengths, int(np.nanargmax(strengths))


def _ssf_metadata(folder: Path, record: RunRecord) -> dict[str, Any]:
    """The fields of GWAS-SSF's metadata that are known; `genome_assembly` and coordinates are mandatory there."""
    plan = record.plan
    return {
        "genotyping_technology": ["as the nodes' datasets say"],
        "gwas_id": record.run,
        "samples": [{"sample_size": record.people, "ancestry_method": ["self-reported or as the nodes say"]}],
        "trait_description": list(record.traits),
        "effect_statistic": "beta" if plan.method in ("linear", "meta") else "log odds ratio",
        "analysis_software": f"cohelix {__version__}",
        "adjusted_covariates": list(record.covariates),
        "imputation_panel": None,
        "is_harmonised": False,
        "is_sorted": True,
        "date_metadata_last_modified": record.ended[:10],
        "genome_assembly": record.assembly,
        "coordinate_system": "1-based",
        "data_file_name": SSF,
        "file_type": "GWAS-SSF v1.0",
        "data_file_md5sum": _digest(folder / SSF, "md5"),
        "missing_genotypes": plan.missing,
        "method": plan.method,
        "transformation": plan.transformation,
        "plan": record.plan_hash,
    }


def _manifest(folder: Path, record: RunRecord, summary: Summary) -> dict[str, Any]:
    """The run as an RO-Crate 1.1: what was asked, by which program, from whose data, and the files with their checksums."""
    files = [
        {
            "@id": name,
            "@type": "File",
            "name": _KINDS[name][1],
            "encodingFormat": _KINDS[name][0],
            "contentSize": str((folder / name).stat().st_size),
            "sha256": _digest(folder / name, "sha256"),
        }
        for name in _KINDS
    ]
    software = {"@id": "#cohelix", "@type": "SoftwareApplication", "name": "cohelix", "version": __version__}
    nodes = [
        {
            "@id": f"#node-{one.node}",
            "@type": "Organization",
            "name": one.node,
            "cohelix:key": one.key,
            "cohelix:dataFingerprint": one.fingerprint,
            "cohelix:policy": one.policy,
        }
        for one in record.participants
    ]
    plan = {
        "@id": "#plan",
        "@type": "CreativeWork",
        "name": "Plan",
        "sha256": record.plan_hash,
        "text": orjson.dumps(record.plan.model_dump(mode="json"), option=orjson.OPT_SORT_KEYS).decode(),
    }
    action = {
        "@id": f"#run-{record.run}",
        "@type": "CreateAction",
        "name": f"Federated {record.plan.method} analysis",
        "instrument": {"@id": "#cohelix"},
        "object": [{"@id": "#plan"}],
        "agent": [{"@id": one["@id"]} for one in nodes],
        "result": [{"@id": one["@id"]} for one in files],
        "startTime": record.started,
        "endTime": record.ended,
        "cohelix:people": record.people,
        "cohelix:lines": summary.lines,
        "cohelix:aggregators": list(record.aggregators),
        "cohelix:summing": record.summing,
        "cohelix:policy": "open" if record.open_data else "controlled",
        "cohelix:macFloor": record.mac_floor,
        "cohelix:missing": record.plan.missing,
        "cohelix:variants": record.variants_digest,
        "cohelix:leftOut": dict(record.left_out),
    }
    root = {
        "@id": "./",
        "@type": "Dataset",
        "name": f"Association of {', '.join(record.traits[:3])}",
        "datePublished": record.ended,
        "license": "as the datasets' terms say",
        "hasPart": [{"@id": name} for name in _KINDS],
        "mentions": {"@id": action["@id"]},
    }
    descriptor = {
        "@id": "ro-crate-metadata.json",
        "@type": "CreativeWork",
        "conformsTo": {"@id": "https://w3id.org/ro/crate/1.1"},
        "about": {"@id": "./"},
    }
    context = ["https://w3id.org/ro/crate/1.1/context", {"cohelix": "https://w3id.org/cohelix/terms#"}]
    return {"@context": context, "@graph": [descriptor, root, action, plan, software, *nodes, *files]}


def _digest(path: Path, kind: str) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, kind).hexdigest()
