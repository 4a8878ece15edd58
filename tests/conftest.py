"""Settings for all tests."""

import pytest
import torch


@pytest.fixture(autouse=True, scope="session")
def one_torch_thread():
    """Tiny arrays: threads would only wait for each other, most of all on busy machines."""
    torch.set_num_threads(1)
