"""Kernels with one explicit signature each, compiled, or read from Numba's cache, when they are first called.

A command calls few of them, and reading one from the cache takes ten milliseconds.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

_LOCK = threading.Lock()


class Kernel:
    """A function that is compiled by its first call; its module's name for it is then the compiled function itself.

    What kernels of its module call is `inlined`.
    """

    replaced_when_called = True  # see `core.later`

    def __init__(self, function: Callable[..., Any], signature: Any) -> None:
        self._function, self._signature = function, signature
        self._compiled: Callable[..., Any] | None = None

    def __call__(self, *arguments: Any) -> Any:
        return (self._compiled or self.compiled())(*arguments)

    def compiled(self) -> Callable[..., Any]:
        """The compiled function."""
        from cohelix.stats.numba_start import njit

        with _LOCK:
            if self._compiled is None:
                names = self._function.__globals__
                names |= {name: njit(one.function, nogil=True) for name, one in names.items() if isinstance(one, Inlined)}
                self._compiled = njit(self._signature, nogil=True, cache=True)(self._function)
                self._function.__globals__[self._function.__name__] = self._compiled
        return self._compiled


class Inlined:
    """A function that Numba compiles into the kernels of its module that call it; before that it is an ordinary one."""

    def __init__(self, function: Callable[..., Any]) -> None:
        self.function = function

    def __call__(self, *arguments: Any) -> Any:
        return self.function(*arguments)


def inlined(function: Callable[..., Any]) -> Inlined:
    """Make a function one that kernels of its module may call."""
    return Inlined(function)


def kernel(signature: Any) -> Callable[[Callable[..., Any]], Kernel]:
    """Make a function a `Kernel` of this Numba signature; it releases the GIL."""
    return lambda function: Kernel(function, signature)


def compile_all(module: dict[str, Any]) -> None:
    """Compile all kernels of a module, given its globals, so that no later call waits."""
    for one in list(module.values()):
        if isinstance(one, Kernel):
            one.compiled()
