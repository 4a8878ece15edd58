"""How loops over pixels are compiled: without the interpreter lock, and kept on disk after the first time."""

from collections.abc import Callable
from typing import Any, TypeVar

import numba
from numba.core.options import DefaultOptions

Function = TypeVar("Function", bound=Callable[..., Any])


def compiled(function: Function) -> Function:
    """Compile a function of arrays and numbers at its first call."""
    return _compile(function, {})


def compiled_lean(function: Function) -> Function:
    """Compile a function that makes no arrays, so that calls of it count no references to the arrays they hand on.

    A maximum flow takes 0.6 of the time so. numba has no public name for the option; where it knows none, the same
    code runs slower.
    """
    return _compile(function, {"_nrt": False} if hasattr(DefaultOptions, "_nrt") else {})


def _compile(function: Function, options: dict[str, bool]) -> Function:
    try:
        return numba.njit(cache=True, nogil=True, **options)(function)  # type: ignore[no-any-return]
    except RuntimeError:  # no folder can be written: each process compiles for itself
        return numba.njit(nogil=True, **options)(function)  # type: ignore[no-any-return]
