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


@pytest.fixture(autouse=True)
def own_caches(monkeypatch):
    """Other tests ask whether all functions of the package are compiled; those of these tests must not count."""
    monkeypatch.setattr(compilation, "_caches", [])


BOTH = pytest.mark.parametrize("compile_it", [compilation.compiled, compilation.compiled_no_refcount])


@pytest.fixture
def cache_folder(monkeypatch, tmp_path):
    monkeypatch.setattr(numba.config, "CACHE_DIR", str(tmp_path))
    return tmp_path


@BOTH
def test_compiled__without_a_writable_cache_folder(monkeypatch, compile_it):
    def find_no_folder(_function):
        raise RuntimeError("cannot cache function 'add_up': no locator available")

    monkeypatch.setattr(compilation, "_RepairedCache", find_no_folder)
    fast = compile_it(add_up)
    assert fast is not add_up and fast(np.arange(5)) == 10


@pytest.mark.parametrize("ending", ["nbi", "nbc"])
@pytest.mark.parametrize("kept_bytes", [0, 40, 200])
@pytest.mark.fault("numba-cache")
def test_compiled__a_damaged_cache_is_written_anew(cache_folder, ending, kept_bytes):
    compilation.compiled(add_up)(np.arange(5))
    (file,) = cache_folder.rglob(f"*.{ending}")
    file.write_bytes(file.read_bytes()[:kept_bytes])
    again = compilation.compiled(add_up)
    assert again(np.arange(5)) == 10 and again.stats.cache_hits == {}
    last = compilation.compiled(add_up)
    assert last(np.arange(5)) == 10 and len(last.stats.cache_hits) == 1


def test_compiled__a_full_disk_loses_only_the_cache(cache_folder, monkeypatch):
    def fail(*_arguments):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("numba.core.caching.IndexDataCacheFile.save", fail)
    assert compilation.compiled(add_up)(np.arange(5)) == 10


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
