"""Compilation of loops over pixels with numba: without the GIL, and cached on disk after the first compilation."""

from collections.abc import Callable
from typing import Any, TypeVar

import numba
from numba.core.options import DefaultOptions

Function = TypeVar("Function", bound=Callable[..., Any])


def compiled(function: Function) -> Function:
    """Compile a function of arrays and numbers at its first call.

    Args:
        function: The function to compile with ``numba.njit``.

    Returns:
        The compiled function.
    """
    return _compile(function, {})


def compiled_no_refcount(function: Function) -> Function:
    """Compile a function that allocates no arrays, without reference counting of its array arguments.

    A maximum flow takes 0.6 of the time with this option. The numba option has no public name; if the installed numba
    does not know it, the same code is compiled without it and runs slower.

    Args:
        function: The function to compile. It must not create arrays.

    Returns:
        The compiled function.
    """
    return _compile(function, {"_nrt": False} if hasattr(DefaultOptions, "_nrt") else {})


def _compile(function: Function, options: dict[str, bool]) -> Function:
    try:
        return numba.njit(cache=True, nogil=True, **options)(function)  # type: ignore[no-any-return]
    except RuntimeError:  # no cache folder is writable: each process compiles for itself
        return numba.njit(nogil=True, **options)(function)  # type: ignore[no-any-return]
