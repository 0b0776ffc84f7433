"""Annotations out of INFO: what VEP, SnpEff and ClinVar say is found again by gene, name, amino acid and significance."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pysam
import pytest

from cohelix.core.errors import AssemblyMismatch
from cohelix.core.genome import Assembly
from cohelix.core.variant import VariantKey, trim
from cohelix.genotypes.aggregate import load_sites
from cohelix.genotypes.annotate import annotate, annotated
from cohelix.genotypes.annotations import Annotation, Annotations, write_annotations
from cohelix.genotypes.hgvs import amino_acid_short_form
from cohelix.genotypes.hybrid_store import HybridStore

CSQ = "Allele|Consequence|IMPACT|SYMBOL|Gene|Feature_type|Feature|HGVSc|HGVSp|Protein_position|Amino_acids|CLIN_SIG"
HEAD = "##fileformat=VCFv4.2\n{lines}#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\n"


def sites(path: Path, lines: str, *records: str) -> Path:
    path.write_text(
        HEAD.format(lines=lines) + "".join("\t".join(record.split()) + "\n" for record in records), encoding="ascii"
    )
    return path


def store_of(folder: Path, *records: str) -> HybridStore:
    keys = "".join(f'##INFO=<ID={key},Number=A,Type=Integer,Description="c">\n' for key in ("AC", "AN"))
    file = sites(folder / "store.vcf", keys, *records)
    load_sites([file], folder / "genotypes", folder / "counts", assembly=Assembly.GRCH38)
    return HybridStore.open(folder / "genotypes")


@pytest.mark.parametrize(
    ("name", "short"),
    [
        ("ENSP00000288602.6:p.Val600Glu", "V600E"),
        ("p.(Val600Glu)", "V600E"),
        ("p.V600E", "V600E"),
        ("p.Arg97ProfsTer23", "R97Pfs*23"),
        ("p.Gln61Ter", "Q61*"),
        ("p.Lys27%3D", "K27="),
        ("p.Lys27Lys", "K27="),
        ("p.Phe508del", "F508del"),
        ("p.?", ""),
        ("", ""),
    ],
)
def test_short_forms_of_protein_changes(name: str, short: str) -> None:
    assert amino_acid_short_form(name) == short


def test_vep_and_snpeff_entries_go_to_their_alleles(tmp_path: Path) -> None:
    store = store_of(
        tmp_path,
        "7 140753335 . ACT A,ACTT . . AC=1,1;AN=9",
        "7 140753336 . A T . . AC=1;AN=9",
        "7 140753400 . G C . . AC=1;AN=9",
    )
    vep = sites(
        tmp_path / "vep.vcf",
        f'##INFO=<ID=CSQ,Number=.,Type=String,Description="Consequence annotations from Ensembl VEP. Format: {CSQ}">\n',
        "chr7 140753335 . ACT A,ACTT . . CSQ=-|frameshift_variant|HIGH|BRAF|ENSG1|Transcript|ENST1|||12|||,"
        "CTT|inframe_insertion&splice_region_variant|LOW|BRAF|ENSG1|Transcript|ENST1|||||",
        "chr7 140753336 . A T . . CSQ=T|missense_variant|MODERATE|BRAF|ENSG1|Transcript|ENST1|ENST1:c.1799T>A"
        "|ENSP1:p.Val600Glu|600|V/E|pathogenic",
        "chr7 140753999 . A T . . CSQ=T|missense_variant|MODERATE|BRAF|ENSG1|Transcript|ENST1||||A/V|",
    )
    eff = sites(
        tmp_path / "eff.vcf",
        '##INFO=<ID=ANN,Number=.,Type=String,Description="Functional annotations">\n',
        "7 140753400 . G C . . ANN=C|stop_gained|HIGH|OTHER|ENSG2|transcript|NM_1.2|protein_coding|1/2|c.5C>G|p.Ser2Ter",
    )
    assert annotated(vep)
    assert annotated(eff)
    assert not annotated(tmp_path / "store.vcf")
    made = annotate(store, [vep, eff], tmp_path / "annotations", assembly=Assembly.GRCH38)
    assert made == (4, 4, 1)
    found = Annotations.open(tmp_path / "annotations")

    def names(**asked: str) -> list[str]:
        return [str(store.key(int(row))) for row in found.rows_of(**asked)]

    assert names(gene="braf") == ["7-140753335-ACT-A", "7-140753337-T-TT", "7-140753336-A-T"] or names(gene="braf") == [
        str(store.key(row)) for row in range(3)
    ]
    assert (
        names(amino_acid="p.Val600Glu")
        == names(hgvs="ENST1:c.1799T>A")
        == names(hgvs="BRAF:p.Val600Glu")
        == ["7-140753336-A-T"]
    )
    assert names(consequence="frameshift_variant") == ["7-140753335-ACT-A"]
    assert names(consequence="splice_region_variant", gene="ENSG1") == [str(VariantKey("7", *trim(140753334, "ACT", "ACTT")))]
    assert names(significance="Pathogenic") == ["7-140753336-A-T"]
    assert names(hgvs="NM_1.2:c.5C>G", gene="OTHER") == ["7-140753400-G-C"]
    assert names(gene="OTHER", consequence="missense_variant") == []
    assert names(gene="nothing") == []


def test_clinvar_records_equal_a_naive_reading(tmp_path: Path, shared_data: Path) -> None:
    source = shared_data / "reference/clinvar.750rows.b38.vcf.gz"
    records, expected = [], dict[str, set[str]]()
    with pysam.VariantFile(str(source)) as file:
        for record in file:
            (alt,) = record.alts or ("",)
            key = str(VariantKey(record.contig, *trim(record.pos - 1, record.ref or "", alt)))
            if key not in expected:
                records.append(f"{record.contig} {record.pos} . {record.ref} {alt} . . AC=1;AN=2")
            gene = record.info.get("SYMBOL")
            expected.setdefault(key, set()).update([str(gene)] if gene else [])
    store = store_of(tmp_path, *records)
    made = annotate(store, [source], tmp_path / "annotations", assembly=Assembly.GRCH38)
    assert made.variants >= len(expected)
    assert made.elsewhere == 0
    found = Annotations.open(tmp_path / "annotations")
    for gene in sorted({gene for genes in expected.values() for gene in genes})[:60]:
        keys = {str(store.key(int(row))) for row in found.rows_of(gene=gene)}
        assert keys == {key for key, genes in expected.items() if gene in genes}
    assert len(found.rows_of(significance="Pathogenic"))


def test_annotations_of_another_build_are_refused(tmp_path: Path) -> None:
    store = store_of(tmp_path, "7 140753336 . A T . . AC=1;AN=9")
    lines = '##reference=GRCh37\n##INFO=<ID=CLNSIG,Number=.,Type=String,Description="x">\n'
    other = sites(tmp_path / "clinvar.vcf", lines, "7 140753336 . A T . . CLNSIG=Benign")
    with pytest.raises(AssemblyMismatch):
        annotate(store, [other], tmp_path / "annotations", assembly=Assembly.GRCH38)


def test_written_in_any_order_read_by_row(tmp_path: Path) -> None:
    rng = np.random.default_rng(2)
    entries = [(int(row), Annotation(gene=f"G{row % 7}", source="x")) for row in rng.permutation(500)]
    assert write_annotations(entries, tmp_path / "a") == 500
    found = Annotations.open(tmp_path / "a")
    assert found.of(17) == (Annotation(gene="G3", source="x"),)
    assert found.rows_of(gene="G3").tolist() == [row for row in range(500) if row % 7 == 3]
    assert found.of(500) == Annotations.none().of(0) == ()


def test_one_entry_says_all_that_is_asked(tmp_path: Path) -> None:
    entries = [
        (3, Annotation(gene="BRAF", amino_acid="V600E", consequence="missense_variant&splice_region_variant", source="VEP")),
        (3, Annotation(gene="NEAR", amino_acid="R5Q", consequence="upstream_gene_variant", source="VEP")),
        (8, Annotation(gene="BRAF", gene_id="ENSG1.7", hgvs_p="ENSP1:p.Arg5Gln", amino_acid="R5Q", source="VEP")),
        (9, Annotation(gene="NEAR", amino_acid="V600E", source="VEP")),
        (9, Annotation(gene="BRAF", source="ClinVar")),
    ]
    write_annotations(entries, tmp_path / "a")
    found = Annotations.open(tmp_path / "a")
    assert found.rows_of(gene="BRAF").tolist() == [3, 8, 9]
    assert found.rows_of(gene="braf", amino_acid="V600E").tolist() == [3]
    assert found.rows_of(gene="BRAF", amino_acid="R5Q").tolist() == [8]
    assert found.rows_of(gene="ENSG1", hgvs="BRAF:p.Arg5Gln", amino_acid="p.Arg5Gln").tolist() == [8]
    assert found.rows_of(gene="BRAF", consequence="splice region variant").tolist() == [3]
    assert found.rows_of(gene="NEAR", consequence="splice_region_variant").tolist() == []
