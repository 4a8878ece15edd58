"""How loops over pixels are compiled: without the interpreter lock, and kept on disk after the first time."""

from collections.abc import Callable
from typing import Any, TypeVar

import numba
from numba.core.options import DefaultOptions

Function = TypeVar("Function", bound=Callable[..., Any])


def compiled(function: Function) -> Function:
    """Compile a function of arrays and numbers at its first call."""
    return numba.njit(cache=True, nogil=True)(function)  # type: ignore[no-any-return]


def compiled_lean(function: Function) -> Function:
    """Compile a function that makes no arrays, so that calls of it count no references to the arrays they hand on.

    A maximum flow takes 0.6 of the time so. numba has no public name for the option; where it knows none, the same
    code runs slower.
    """
    lean = {"_nrt": False} if hasattr(DefaultOptions, "_nrt") else {}
    return numba.njit(cache=True, nogil=True, **lean)(function)  # type: ignore[no-any-return]
