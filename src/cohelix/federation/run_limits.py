"""What a hub's operator allows its runs."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class RunLimits:
    """Limits of a hub's runs.

    Attributes
    ----------
    at_once
        Runs that are driven at the same time; later ones wait.
    waiting_max
        Runs under way, those that wait included; more are not taken.
    deadline_seconds
        From a run's proposal until it is given up.
    open_seconds
        How long members may take to accept a run.
    aggregators
        Ids of the members that are asked to add up first, where every contributor's own list has them.
    """

    at_once: int = 2
    waiting_max: int = 100
    deadline_seconds: float = 86_400.0
    open_seconds: float = 60.0
    aggregators: tuple[str, ...] = ()
