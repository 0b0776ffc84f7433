"""Every form of file that the house takes: one small valid set of files each, and the parser that reads it."""

from __future__ import annotations

import gzip
import io
import json
import shutil
import struct
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

from validation import synthetic

Files = Mapping[str, bytes]
Packs = Mapping[str, Callable[[bytes], bytes]]

GRCH37 = "GRCh37"


class Form(NamedTuple):
    """A form of input.

    Attributes
    ----------
    good
        Makes the valid files, by name.
    read
        Reads the files of a folder as the house does; the second folder is scratch.
    broken
        Which of the files are to be broken; all where empty.
    packs
        Files that are broken unpacked, and how each is packed afterwards.
    """

    good: Callable[[], Files]
    read: Callable[[Path, Path], object]
    broken: tuple[str, ...] = ()
    packs: Packs = MappingProxyType({})

    def names(self) -> tuple[str, ...]:
        """Names of the files that are to be broken."""
        return self.broken or tuple(self.good())

    def put(self, files: Files, folder: Path) -> None:
        """Write the files, packed where the form packs them."""
        for name, content in files.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(self.packs.get(name, bytes)(content))


@contextmanager
def scratch_folders(form: Form, files: Files) -> Iterator[tuple[Path, Path]]:
    """The files in a folder of their own, and an empty folder beside it; both are gone afterwards."""
    root = Path(tempfile.mkdtemp(prefix="cohelix-form-"))
    try:
        (root / "files").mkdir()
        (root / "scratch").mkdir()
        form.put(files, root / "files")
        yield root / "files", root / "scratch"
    finally:
        shutil.rmtree(root, ignore_errors=True)


def _packed(data: bytes) -> bytes:
    return gzip.compress(data, 1, mtime=0)


def _cohort(ending: str) -> Callable[[], Files]:
    def make() -> Files:
        with tempfile.TemporaryDirectory(prefix="cohelix-form-") as folder:
            path = Path(folder) / f"valid.{ending}"
            return {path.name: synthetic.write_vcf(path, synthetic.make_cohort(12, 5), per_contig=25, seed=6).read_bytes()}

    return make


def _unpacked(make: Callable[[], Files]) -> Callable[[], Files]:
    return lambda: {name: gzip.decompress(content) for name, content in make().items()}


def _texts(**texts: str | bytes) -> Callable[[], Files]:
    """Files by name, where `__` stands for the dot."""
    files = {name.replace("__", "."): text.encode() if isinstance(text, str) else text for name, text in texts.items()}
    return lambda: files


def _genotypes(*names: str) -> Callable[[Path, Path], object]:
    def read(folder: Path, scratch: Path) -> object:
        from cohelix.core.genome import Assembly
        from cohelix.genotypes.load import load_genotypes

        reference = folder / "reference.fa"
        return load_genotypes(
            [folder / name for name in names],
            scratch / "store",
            assembly=Assembly.GRCH37,
            reference=reference if reference.exists() else None,
        )

    return read


def _sites(name: str, *, mapping: str | None = None, chain: str | None = None) -> Callable[[Path, Path], object]:
    def read(folder: Path, scratch: Path) -> object:
        from cohelix.core.genome import Assembly
        from cohelix.genotypes.aggregate import load_sites

        return load_sites(
            [folder / name],
            scratch / "genotypes",
            scratch / "counts",
            assembly=Assembly.GRCH37,
            mapping=None if mapping is None else folder / mapping,
            chain=None if chain is None else folder / chain,
        )

    return read


def _people(*names: str, mapping: str | None = None, concepts: str | None = None) -> Callable[[Path, Path], object]:
    def read(folder: Path, scratch: Path) -> object:
        from cohelix.core.genome import Assembly
        from cohelix.phenotypes import read_people

        reading = read_people(
            [folder / name for name in names] or [folder],
            mapping=None if mapping is None else folder / mapping,
            concepts=None if concepts is None else folder / concepts,
            assembly=Assembly.GRCH37,
            year=2026,
        )
        return reading.completeness

    return read


def _annotations(folder: Path, scratch: Path) -> object:
    from cohelix.core.genome import Assembly
    from cohelix.genotypes.aggregate import load_sites
    from cohelix.genotypes.annotate import annotate
    from cohelix.genotypes.hybrid_store import HybridStore

    load_sites([folder / "sites.vcf"], scratch / "genotypes", scratch / "counts", assembly=Assembly.GRCH37)
    store = HybridStore.open(scratch / "genotypes")
    return annotate(store, [folder / "annotations.vcf"], scratch / "annotations", assembly=Assembly.GRCH37)


def _maf(folder: Path, scratch: Path) -> object:
    from cohelix.core.genome import Assembly
    from cohelix.genotypes.maf import read_maf

    return list(read_maf(folder / "calls.maf", assembly=Assembly.GRCH37))


def _ontology(name: str, prefix: str | None = None) -> Callable[[Path, Path], object]:
    def read(folder: Path, scratch: Path) -> object:
        from cohelix.phenotypes.ontology_files import add_ontology

        return add_ontology(scratch, folder / name, prefix)

    return read


def _thresholds(folder: Path, scratch: Path) -> object:
    from cohelix.bank.quality_thresholds import read_thresholds

    return read_thresholds(folder / "thresholds.yaml")


def _mapping(folder: Path, scratch: Path) -> object:
    from cohelix.phenotypes.mapping import read_mapping

    return read_mapping(folder / "mapping.yaml")


def _saved_cohort(folder: Path, scratch: Path) -> object:
    from cohelix.beacon.cohorts import read_cohort

    return read_cohort(folder / "cohort.yaml")


def _chain(folder: Path, scratch: Path) -> object:
    from cohelix.genotypes.liftover import LiftOver

    lift = LiftOver.open(folder / "lift.chain")
    return [lift.lift("1", position, "A", "G") for position in (0, 100, 150, 240)]


_CONTIGS = "".join(f"##contig=<ID={name},length={length}>\n" for name, length in (("1", 249_250_621), ("22", 51_304_566)))
_SITE_COLUMNS = "#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\n"
_SITES = (
    "##fileformat=VCFv4.3\n"
    + _CONTIGS
    + "".join(
        f'##INFO=<ID={key},Number=A,Type=Integer,Description="count">\n'
        for key in ("AC", "AN", "nhomalt", "AC_FI", "AN_FI", "AC_M", "AN_M", "AC_F", "AN_F")
    )
    + _SITE_COLUMNS
    + "22\t100\trs1\tCAA\tC,CA\t.\tPASS\tAC=3,5;AN=200;nhomalt=1,0;AC_FI=1,2;AN_FI=40\n"
    + "22\t101\t.\ta\tt\t.\tPASS\tAC=4;AN=10;AC_M=1;AN_M=4;AC_F=3;AN_F=6\n"
    + "22\t2000\t.\tG\tA\t.\t.\tAC=9;AN=100;nhomalt=.\n"
)
_GVCF = (
    "##fileformat=VCFv4.2\n"
    + _CONTIGS
    + '##INFO=<ID=END,Number=1,Type=Integer,Description="End">\n'
    + '##FORMAT=<ID=GT,Number=1,Type=String,Description="Genotype">\n'
    + '##FORMAT=<ID=DP,Number=1,Type=Integer,Description="Depth">\n##FORMAT=<ID=GQ,Number=1,Type=Integer,Description="GQ">\n'
    + "#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\tFORMAT\tA\tB\n"
    + "1\t101\t.\tA\t<NON_REF>\t.\t.\tEND=200\tGT:DP:GQ\t0/0:30:50\t0/0:3:9\n"
    + "1\t201\trs1\tC\tT,<NON_REF>\t50\tPASS\t.\tGT:DP:GQ\t0/1:30:1\t0/0:31:40\n"
    + "1\t202\t.\tG\t<NON_REF>\t.\t.\tEND=300\tGT:DP:GQ\t0/0:30:5\t./.:0:0\n"
    + "22\t351\t.\tT\tA,C,<*>\t.\tPASS\t.\tGT:DP:GQ\t1/3:30:2\t0/2:9:3\n"
)
_SEX = "".join(f"0 S{number} 0 0 {1 + number % 2} -9\n" for number in range(4))
_BIM = "MT\tv1\t0\t1\tG\tA\nMT\tv2\t0\t3\tT\tC\nMT\tv3\t0\t5\tA\tT\n"
_MT = b">MT\nATCGTAGGAT" + b"N" * (16_569 - 10) + b"\n"
_BED = bytes((0x6C, 0x1B, 1, 0b11000011, 0b01000011, 0b00000011))
_PVAR = "##a\n#CHROM\tPOS\tID\tREF\tALT\n1\t10\tv1\tA\tG\n1\t20\tv2\tC\tT\n22\t16050075\tv3\tA\tC\n"
_PSAM = "#IID\tSEX\n" + "".join(f"S{number}\t{1 + number % 2}\n" for number in range(4))
_PGEN = bytes((0x6C, 0x1B, 2)) + struct.pack("<II", 3, 4) + bytes((0x40, 0b00011000, 0b11000100, 0b00000001))
_MAF = (
    "#version gdc-1.0.0\nHugo_Symbol\tNCBI_Build\tChromosome\tStart_Position\tEnd_Position\tVariant_Classification\t"
    "Reference_Allele\tTumor_Seq_Allele1\tTumor_Seq_Allele2\tTumor_Sample_Barcode\tHGVSp_Short\tt_ref_count\tt_alt_count\n"
    "DNMT3A\tGRCh37\tchr2\t25457242\t25457242\tMissense_Mutation\tC\tC\tT\tT1\tp.R882H\t30\t10\n"
    "FLT3\tGRCh37\t13\t28608281\t28608282\tIn_Frame_Ins\t-\t-\tACG\tT2\t\t\t\n"
    "NPM1\t37\t5\t170837543\t170837544\tFrame_Shift_Del\tTC\tTC\t-\tT1\tp.W288fs\t5\t6\n"
)
_TABLE = (
    "individual_id\tbiosample_id\tGender\tPop\tCountry of origin\tYear of birth\tage\tLDL [mmol/L]\tdisease\tHPO\n"
    "P1\tS1\tmale\tFIN\tFI\t1961\t\t3.5\tE11.9;I10\tHP:0001250|HP:0000001\n"
    "P2\tS2\tF\tGBR\tGB\t\t45.5\tNA\t\t\nP3\tS3\t0\t.\t\t1990-05-17\t33\t-1e-3\tMONDO:0005148\t\n"
)
_PEOPLE_YAML = """biosample: biosample_id
individual: individual_id
sex: {column: Gender, male: ["male"], female: ["F"], unknown: ["0"]}
population: Pop
measurements:
  - {column: "LDL [mmol/L]", name: LDL cholesterol, unit: mmol/L}
diseases:
  - {column: disease}
missing: ["-9", "NA"]
"""
_COUNTS_YAML = "people: {Total: 200, Finnish: 40}\npopulations: {FI: Finnish}\ncolumns: {n_alt: {measure: ac}}\n"
_THRESHOLDS_YAML = """samples: {call_rate_min: 0.97, contamination_max: 0.02, mean_depth_min: 25}
relatedness: {pairs_max: 1000000000}
variants:
  reference_frequencies: gnomad-nfe.tsv
  reference_population: FIN
batches: {file: plates.tsv}
dataset: {excluded_share_max: 0.05}
actions: {ancestry: exclude, relative: "off"}
"""
_COHORT_YAML = """name: Young epilepsy
description: people with seizures
filters:
  - {id: "HP:0001250", includeDescendantTerms: true}
  - {id: ageOfOnset, operator: "<", value: "P30Y"}
datasets: [genomes]
"""
_CHAIN = (
    "chain 100 chr1 1000 + 100 200 chr1 2000 + 500 605 1\n40 10 15\n50\n\nchain 90 chr2 1000 + 0 50 chr3 300 - 100 150 2\n50\n"
)
_OBO = """format-version: 1.2
data-version: mondo/releases/2025-03-04/mondo.obo
ontology: mondo

[Term]
id: MONDO:0000001
name: disease

[Term]
id: MONDO:0005015
name: diabetes mellitus \\(DM\\)
alt_id: MONDO:0099999
is_a: MONDO:0000001 {source="x"} ! disease

[Term]
id: MONDO:0000009
name: obsolete sugar illness
is_obsolete: true
replaced_by: MONDO:0005015
"""
_OWL = """<?xml version="1.0"?>
<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#" xmlns:rdfs="http://www.w3.org/2000/01/rdf-schema#"
 xmlns:owl="http://www.w3.org/2002/07/owl#" xmlns:obo="http://purl.obolibrary.org/obo/">
<owl:Ontology rdf:about="http://www.orpha.net/ontology/orphanet.owl"><owl:versionInfo>4.6</owl:versionInfo></owl:Ontology>
<owl:Class rdf:about="http://www.orpha.net/ORDO/Orphanet_98053"><rdfs:label xml:lang="en">rare disorder</rdfs:label></owl:Class>
<owl:Class rdf:about="http://www.orpha.net/ORDO/Orphanet_558"><rdfs:label>Marfan syndrome</rdfs:label>
<rdfs:subClassOf rdf:resource="http://www.orpha.net/ORDO/Orphanet_98053"/></owl:Class>
<owl:Class rdf:about="http://www.orpha.net/ORDO/Orphanet_2"><owl:deprecated>true</owl:deprecated>
<obo:IAO_0100001 rdf:resource="http://www.orpha.net/ORDO/Orphanet_558"/></owl:Class>
</rdf:RDF>
"""
_CODES = "code\ttitle\tparent\nE10-E14\tdiabetes\t\nE11\ttype 2\tE10-E14\nE11.9\ttype 2 without complications\tE11\n"
_OMOP: dict[str, str] = {
    "person.csv": "person_id,gender_concept_id,year_of_birth,race_concept_id\n1,8507,1960,0\n2,8532,1971,0\n3,8551,,0\n",
    "condition_occurrence.csv": (
        "person_id,condition_concept_id,condition_start_date\n1,201826,2001-02-03\n2,4029498,2010-05-05\n2,999,2010-05-05\n"
    ),
    "drug_exposure.csv": "person_id,drug_concept_id,drug_exposure_start_date\n1,1503297,2002-01-01\n",
    "measurement.csv": (
        "person_id,measurement_concept_id,value_as_number,measurement_date\n1,3004410,7.1,2015-01-01\n2,3004410,,2016-01-01\n"
    ),
    "observation.csv": "person_id,observation_concept_id,observation_date\n2,4203722,2011-01-01\n",
    "specimen.csv": (
        "specimen_id,person_id,specimen_concept_id,disease_status_concept_id\nB1,1,4001225,\nT1,1,4001225,4134586\n"
    ),
    "death.csv": "person_id,death_date\n3,2020-01-01\n",
    "concepts.txt": (
        "concept_id,code,label,unit,kind\n201826,SNOMED:44054006,Type 2 diabetes mellitus,,\n4029498,HP:0001250,Seizure,,\n"
        "1503297,ATC:A10BA02,metformin,,\n3004410,LOINC:4548-4,Haemoglobin A1c,%,\n4203722,SNOMED:77176002,Smoker,,exposure\n"
        "4134586,NCIT:C3262,Malignant neoplasm,,\n4001225,SNOMED:119297000,Blood,,\n"
    ),
}


def _term(code: str) -> dict[str, str]:
    return {"id": code, "label": code}


def _packet(number: int) -> dict[str, object]:
    return {
        "id": f"packet.{number}",
        "subject": {"id": f"P{number}", "sex": "FEMALE", "timeAtLastEncounter": {"age": {"iso8601duration": "P30Y"}}},
        "phenotypicFeatures": [
            {"type": _term("HP:0001250"), "onset": {"age": {"iso8601duration": "P3Y6M"}}, "severity": _term("HP:0012828")},
            {"type": _term("HP:0001263"), "excluded": True},
        ],
        "diseases": [{"term": _term("OMIM:154700"), "onset": {"timestamp": "2021-04-23"}, "diseaseStage": [_term("NCIT:C1")]}],
        "measurements": [
            {"assay": _term("LOINC:1-1"), "value": {"quantity": {"unit": _term("UCUM:g"), "value": 3.5}}},
        ],
        "biosamples": [{"id": f"B{number}", "sampledTissue": _term("UBERON:0000178"), "tumorGrade": _term("NCIT:C36136")}],
        "medicalActions": [{"treatment": {"agent": _term("DrugCentral:1610"), "routeOfAdministration": _term("NCIT:C38288")}}],
        "interpretations": [
            {
                "id": "i",
                "progressStatus": "SOLVED",
                "diagnosis": {
                    "disease": _term("OMIM:154700"),
                    "genomicInterpretations": [
                        {
                            "subjectOrBiosampleId": f"P{number}",
                            "interpretationStatus": "CAUSATIVE",
                            "variantInterpretation": {
                                "acmgPathogenicityClassification": "PATHOGENIC",
                                "variationDescriptor": {
                                    "id": "v",
                                    "geneContext": {"valueId": "HGNC:3603", "symbol": "FBN1"},
                                    "vcfRecord": {
                                        **{"genomeAssembly": "hg19", "chrom": "chr15", "pos": "48700503"},
                                        **{"ref": "G", "alt": "A"},
                                    },
                                    "allelicState": _term("GENO:0000135"),
                                },
                            },
                        }
                    ],
                },
            }
        ],
        "metaData": {"created": "2024-01-01T00:00:00Z", "phenopacketSchemaVersion": "2.0"},
    }


def _parquet() -> bytes:
    import polars as pl

    frame = pl.DataFrame(
        {
            **{"contig": ["chr22"] * 4, "pos": [5, 5, 7, 7], "ref": ["CAA", "CAA", "G", "G"], "alt": ["CA", "CA", "A", "A"]},
            **{"population": ["FI", "EE"] * 2, "ac": [1, 2, 0, 4], "an": [20, 30, 20, 30], "hom": [0, 1, None, 1]},
        }
    )
    out = io.BytesIO()
    frame.write_parquet(out)
    return out.getvalue()


def _omop_parquet() -> Files:
    import polars as pl

    files = {"concepts.txt": _OMOP["concepts.txt"].encode()}
    for table in ("person", "condition_occurrence", "measurement"):
        out = io.BytesIO()
        pl.read_csv(_OMOP[f"{table}.csv"].encode()).write_parquet(out)
        files[f"{table}.parquet"] = out.getvalue()
    return files


def _tables_parquet() -> Files:
    import polars as pl

    out = io.BytesIO()
    pl.read_csv(_TABLE.encode(), separator="\t", infer_schema=False).write_parquet(out)
    return {"people.parquet": out.getvalue()}


_ANNOTATED = (
    "##fileformat=VCFv4.2\n"
    + _CONTIGS
    + '##INFO=<ID=CSQ,Number=.,Type=String,Description="Consequence annotations from Ensembl VEP. Format: '
    + 'Allele|Consequence|IMPACT|SYMBOL|Gene|Feature_type|Feature|HGVSc|HGVSp|CLIN_SIG">\n'
    + '##INFO=<ID=ANN,Number=.,Type=String,Description="Functional annotations">\n'
    + '##INFO=<ID=CLNSIG,Number=.,Type=String,Description="x">\n##INFO=<ID=CLNDN,Number=.,Type=String,Description="x">\n'
    + '##INFO=<ID=GENEINFO,Number=1,Type=String,Description="x">\n'
    + _SITE_COLUMNS
    + "22\t100\t.\tCAA\tC,CA\t.\t.\tCSQ=-|frameshift_variant|HIGH|BRAF|ENSG1|Transcript|ENST1|ENST1:c.1799T>A"
    + "|ENSP1:p.Val600Glu|pathogenic;CLNSIG=Pathogenic;CLNDN=Noonan;GENEINFO=BRAF:673\n"
    + "22\t101\t.\tA\tT\t.\t.\tANN=T|stop_gained|HIGH|OTHER|ENSG2|transcript|NM_1.2|protein_coding|1/2|c.5C>G|p.Ser2Ter\n"
)
_TSV = (
    "contig\tpos\tref\talt\tpopulation\tac\tan\thom\nchr22\t5\tCAA\tCA\tFI\t1\t20\t0\nchr22\t5\tCAA\tCA\tEE\t2\t30\t1\n"
    "chr22\t7\tG\tA\tFI\t0\t20\t\nchr22\t7\tG\tA\tEE\t4\t30\t1\n"
)

FORMS: dict[str, Form] = {
    "vcf": Form(_cohort("vcf"), _genotypes("valid.vcf")),
    "vcf-gz": Form(_cohort("vcf.gz"), _genotypes("valid.vcf.gz")),
    "vcf-gz-inside": Form(_unpacked(_cohort("vcf.gz")), _genotypes("valid.vcf.gz"), packs={"valid.vcf.gz": _packed}),
    "bcf": Form(_cohort("bcf"), _genotypes("valid.bcf")),
    "bcf-inside": Form(_unpacked(_cohort("bcf")), _genotypes("valid.bcf"), packs={"valid.bcf": _packed}),
    "gvcf": Form(_texts(valid__vcf=_GVCF), _genotypes("valid.vcf")),
    "bed": Form(
        _texts(x__bed=_BED, x__bim=_BIM, x__fam=_SEX, reference__fa=_MT), _genotypes("x.bed"), ("x.bed", "x.bim", "x.fam")
    ),
    "pgen": Form(_texts(x__pgen=_PGEN, x__pvar=_PVAR, x__psam=_PSAM), _genotypes("x.pgen")),
    "maf": Form(_texts(calls__maf=_MAF), _maf),
    "sites-vcf": Form(_texts(sites__vcf=_SITES), _sites("sites.vcf")),
    "sites-parquet": Form(lambda: {"sites.parquet": _parquet()}, _sites("sites.parquet")),
    "sites-tsv": Form(_texts(sites__tsv=_TSV), _sites("sites.tsv")),
    "sites-mapping": Form(
        _texts(sites__vcf=_SITES, counts__yaml=_COUNTS_YAML), _sites("sites.vcf", mapping="counts.yaml"), ("counts.yaml",)
    ),
    "annotations": Form(_texts(sites__vcf=_SITES, annotations__vcf=_ANNOTATED), _annotations, ("annotations.vcf",)),
    "chain": Form(_texts(lift__chain=_CHAIN), _chain),
    "phenopackets-json": Form(lambda: {"packet.json": json.dumps(_packet(1), indent=1).encode()}, _people("packet.json")),
    "phenopackets-ndjson": Form(
        lambda: {"packets.ndjson": b"".join(json.dumps(_packet(number)).encode() + b"\n" for number in range(3))},
        _people("packets.ndjson"),
    ),
    "omop": Form(lambda: {name: text.encode() for name, text in _OMOP.items()}, _people(concepts="concepts.txt")),
    "omop-parquet": Form(
        _omop_parquet,
        _people(concepts="concepts.txt"),
        ("person.parquet", "condition_occurrence.parquet", "measurement.parquet"),
    ),
    "people-tsv": Form(_texts(people__tsv=_TABLE), _people("people.tsv")),
    "people-parquet": Form(_tables_parquet, _people("people.parquet")),
    "people-mapping": Form(
        _texts(people__tsv=_TABLE, mapping__yaml=_PEOPLE_YAML), _people("people.tsv", mapping="mapping.yaml"), ("mapping.yaml",)
    ),
    "thresholds": Form(_texts(thresholds__yaml=_THRESHOLDS_YAML), _thresholds),
    "saved-cohort": Form(_texts(cohort__yaml=_COHORT_YAML), _saved_cohort),
    "obo": Form(_texts(mondo__obo=_OBO), _ontology("mondo.obo")),
    "owl": Form(_texts(ordo__owl=_OWL), _ontology("ordo.owl")),
    "ontology-tsv": Form(_texts(codes__tsv=_CODES), _ontology("codes.tsv", "ICD10")),
}
