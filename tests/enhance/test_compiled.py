import numba
import numpy as np
import pytest

from coarse2fine.enhance import compiled as room


def add_up(numbers):
    total = 0
    for number in numbers:
        total += number
    return total


@pytest.mark.parametrize("compile_it", [room.compiled, room.compiled_lean])
def test_compiled__without_a_folder_to_keep_it_in(monkeypatch, compile_it):
    whole = numba.njit

    def njit(cache=False, **options):
        if cache:
            raise RuntimeError("cannot cache function 'add_up': no locator available")
        return whole(**options)

    monkeypatch.setattr(numba, "njit", njit)
    fast = compile_it(add_up)
    monkeypatch.undo()
    assert fast is not add_up and fast(np.arange(5)) == 10


def test_compiled_lean__does_without_the_private_option(monkeypatch):
    monkeypatch.setattr(room, "DefaultOptions", object)
    assert room.compiled_lean(add_up)(np.arange(5)) == 10
