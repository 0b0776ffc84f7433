"""Datasets of counts only: answered as any other, floors and unknown genotypes included."""

from __future__ import annotations

from pathlib import Path

import pytest

from cohelix.bank import Bank
from cohelix.bank.load import LoadRequest, load
from cohelix.bank.operator_counts import OperatorCounts, export_region
from cohelix.bank.questions import PeopleQuery
from cohelix.core.errors import BadUsage
from cohelix.core.genome import Assembly, Region
from cohelix.core.ids import DatasetId, NodeId
from cohelix.core.variant import parse_variant
from cohelix.wire.dataset import Disclosure
from cohelix.wire.frequency import DatasetFrequency

KEYS = ("AC", "AN", "nhomalt", "AC_FI", "AN_FI", "AC_FI_M", "AN_FI_M", "AC_FI_F", "AN_FI_F")
RECORDS = (
    "22 101 rs7 CA C . . AC=40;AN=200;nhomalt=6;AC_FI=20;AN_FI=100;AC_FI_M=10;AN_FI_M=50;AC_FI_F=10;AN_FI_F=50",
    "22 201 . A G . . AC=8;AN=200;AC_FI=4;AN_FI=100;AC_FI_M=2;AN_FI_M=50;AC_FI_F=2;AN_FI_F=50",
    "22 301 . A T . . AC=60;AN=200;AC_FI=30;AN_FI=100;AC_FI_M=15;AN_FI_M=50;AC_FI_F=15;AN_FI_F=50",
)


def asked(folder: Path, disclosure: Disclosure, variant: str) -> DatasetFrequency:
    node = folder / disclosure
    if not node.exists():
        info = "".join(f'##INFO=<ID={key},Number=A,Type=Integer,Description="count">\n' for key in KEYS)
        head = f"##fileformat=VCFv4.3\n{info}#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\n"
        file = folder / "sites.vcf"
        file.write_text(head + "".join("\t".join(record.split()) + "\n" for record in RECORDS), encoding="ascii")
        load(node, LoadRequest(DatasetId("counts"), (file,), Assembly.GRCH37, disclosure=disclosure))
    bank = Bank.open(node, NodeId("FI"))
    answer = bank.frequency(parse_variant(variant), Assembly.GRCH37).datasets[0]
    people = bank.view(DatasetId("counts")).count_people(PeopleQuery())
    assert people.status == "not_assessed"
    assert bank.view(DatasetId("counts")).record.n_individuals == 100
    return answer


def test_an_open_dataset_tells_all_groups_and_no_unknown_genotype(tmp_path: Path) -> None:
    answer = asked(tmp_path, "open", "22-101-CA-C")
    rows = {(row.population, row.sex): row for row in answer.populations}
    assert list(rows) == [("all", "all"), ("FI", "all"), ("FI", "female"), ("FI", "male")]
    total, finns = rows["all", "all"], rows["FI", "all"]
    assert (total.allele_count, total.allele_number, total.homozygotes, total.heterozygotes) == (40, 200, 6, 28)
    assert (finns.allele_count, finns.allele_number, finns.homozygotes, finns.heterozygotes) == (20, 100, None, None)
    assert asked(tmp_path, "open", "22-101-CA-T").status == "answered"
    assert asked(tmp_path, "open", "22-102-A-T").status == "not_assessed"


def test_a_floored_dataset_tells_what_holds_for_any_genotypes(tmp_path: Path) -> None:
    few = asked(tmp_path, "floored", "22-201-A-G")  # 8 copies may be four people's
    assert (few.status, few.populations) == ("below_floor", ())
    many = asked(tmp_path, "floored", "22-301-A-T")
    assert many.populations[0].allele_count == 60
    assert many.populations[0].homozygotes is None
    assert asked(tmp_path, "floored", "22-102-A-T").status == "below_floor"


def test_what_counts_cannot_mean_is_refused(tmp_path: Path) -> None:
    asked(tmp_path, "open", "22-101-CA-C")
    file = tmp_path / "sites.vcf"
    for options in ({"individuals": file}, {"min_gq": 20}):
        with pytest.raises(BadUsage):
            load(tmp_path / "n", LoadRequest(DatasetId("x"), (file,), Assembly.GRCH37, **options))  # type: ignore[arg-type]


def test_the_report_of_counts_has_no_call_rate(tmp_path: Path) -> None:
    asked(tmp_path, "open", "22-101-CA-C")
    report = load(tmp_path / "n", LoadRequest(DatasetId("x"), (tmp_path / "sites.vcf",), Assembly.GRCH37))
    assert "call rate           -, nobody's genotypes" in report.text()
    assert report.document()["genotypes"]["callRate"] is None


def test_nobodys_genotypes_are_neither_counted_nor_exported(tmp_path: Path) -> None:
    asked(tmp_path, "open", "22-101-CA-C")
    node, dataset, out = tmp_path / "open", DatasetId("counts"), tmp_path / "out.vcf.gz"
    with pytest.raises(BadUsage, match="counts is of counts only, nobody's genotypes"):
        OperatorCounts(node, dataset)
    with pytest.raises(BadUsage, match="counts only"):
        export_region(node, dataset, Region("22", 0, 1000), out)
    assert not out.exists()
