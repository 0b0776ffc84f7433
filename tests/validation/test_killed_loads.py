"""kill -9 in a load leaves the old version or the complete new one; 50 kills are `python -m validation.crash`."""

from __future__ import annotations

from pathlib import Path

from validation import synthetic
from validation.crash.kill import Experiment, run


def test_a_killed_load_leaves_no_mixture(tmp_path: Path) -> None:
    cohort = synthetic.make_cohort(60, 1, unknown=0.02)
    people = synthetic.write_people(tmp_path / "people.tsv", cohort)
    old = synthetic.write_vcf(tmp_path / "old.bcf", cohort, per_contig=30, seed=2)
    new = synthetic.write_vcf(tmp_path / "new.vcf.gz", cohort, per_contig=300, seed=3)
    experiment = Experiment(tmp_path, old, new, people)
    found = run(experiment, 5, seed=4)
    assert {a.version for a in found} <= {"old", "new"}, found
    assert all(a.next_load_equal and a.staging_gone for a in found), found
