"""Compilation of loops over pixels with numba: without the GIL, and cached on disk after the first compilation."""

from collections.abc import Callable
from contextlib import suppress
from typing import Any, TypeVar

import numba
from numba.core.caching import FunctionCache
from numba.core.options import DefaultOptions

_caches: "list[_RepairedCache]" = []
"""The caches of all functions that were compiled with the decorators below."""

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


def is_compiled() -> bool:
    """Return whether some code is in the cache on disk, of every function, for this version of it and of numba."""
    return bool(_caches) and all(cache.is_filled() for cache in _caches)


def _compile(function: Function, options: dict[str, bool]) -> Function:
    compiled_function: Any = numba.njit(nogil=True, **options)(function)
    with suppress(RuntimeError):  # no cache folder is writable: each process compiles for itself
        compiled_function._cache = _RepairedCache(function)  # what njit(cache=True) does with the parent class
        _caches.append(compiled_function._cache)
    return compiled_function  # type: ignore[no-any-return]


class _RepairedCache(FunctionCache):  # type: ignore[misc]  # numba has no types
    """Cache of compiled code that is written anew where its files are damaged, such as by a full disk."""

    def is_filled(self) -> bool:
        """Return whether the cache holds compiled code that is not outdated."""
        try:
            return bool(self._cache_file._load_index())
        except Exception:  # as in load_overload
            return False

    def load_overload(self, *arguments: Any) -> Any:
        try:
            return super().load_overload(*arguments)
        except Exception:  # unpickling a damaged file raises nearly any exception
            with suppress(OSError):
                self.flush()
            return None

    def save_overload(self, *arguments: Any) -> None:
        with suppress(OSError):  # a full disk: the function is compiled already
            super().save_overload(*arguments)
