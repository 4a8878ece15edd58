import subprocess
import sys

import numba
import numpy as np
import pytest

from coarse2fine.enhance.graph_cut import compilation


def add_up(numbers):
    total = 0
    for number in numbers:
        total += number
    return total


@pytest.mark.parametrize("compile_it", [compilation.compiled, compilation.compiled_no_refcount])
def test_compiled__without_a_writable_cache_folder(monkeypatch, compile_it):
    whole = numba.njit

    def njit(cache=False, **options):
        if cache:
            raise RuntimeError("cannot cache function 'add_up': no locator available")
        return whole(**options)

    monkeypatch.setattr(numba, "njit", njit)
    fast = compile_it(add_up)
    monkeypatch.undo()
    assert fast is not add_up and fast(np.arange(5)) == 10


def test_compiled_no_refcount__without_the_private_option(monkeypatch):
    monkeypatch.setattr(compilation, "DefaultOptions", object)
    assert compilation.compiled_no_refcount(add_up)(np.arange(5)) == 10


@pytest.mark.slow
def test_prepare__compiles_everything_that_enhancement_needs():
    code = """
import numpy as np
from coarse2fine.config import EnhanceConfig
from coarse2fine.enhance import enhancer_from, prepare
from coarse2fine.enhance.graph_cut import color_models, max_flow
modules = [vars(module).values() for module in (color_models, max_flow)]
functions = [item for module in modules for item in module if hasattr(item, "signatures")]
count = lambda: sum(len(function.signatures) for function in functions)
prepare(EnhanceConfig())
prepared = count()
image = np.random.default_rng(0).integers(0, 255, (400, 300, 3), np.uint8)
mask = np.pad(np.ones((300, 200), np.uint8), 50)
for start, soft in (("box", None), ("mask", None), ("probabilities", mask.astype(np.float32) * 0.8 + 0.1)):
    enhancer_from(EnhanceConfig(), start, 0)(image, mask, soft)
print(prepared, count())
"""
    shown = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout
    prepared, after = map(int, shown.split())
    assert after == prepared > 3
