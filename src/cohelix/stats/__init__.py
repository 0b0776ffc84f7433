"""Pure numeric kernels: arrays in, arrays out."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cohelix.core.later import faces

if TYPE_CHECKING:
    from cohelix.stats.components import Components, fit_components, project
    from cohelix.stats.contamination import contamination_estimates
    from cohelix.stats.hwe import hwe_p_values
    from cohelix.stats.kinship import GenotypePlanes, RelatedPairs, related_pairs
    from cohelix.stats.robust import group_distances, robust_z
    from cohelix.stats.sex import inbreeding

__all__ = [
    "Components",
    "GenotypePlanes",
    "RelatedPairs",
    "contamination_estimates",
    "fit_components",
    "group_distances",
    "hwe_p_values",
    "inbreeding",
    "project",
    "related_pairs",
    "robust_z",
]

__getattr__ = faces(
    __name__,
    {
        "components": ("Components", "fit_components", "project"),
        "contamination": ("contamination_estimates",),
        "hwe": ("hwe_p_values",),
        "kinship": ("GenotypePlanes", "RelatedPairs", "related_pairs"),
        "robust": ("group_distances", "robust_z"),
        "sex": ("inbreeding",),
    },
)
