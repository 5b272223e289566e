from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch


@pytest.fixture(scope="module", autouse=True)
def gpu_is_for_the_tests_of_it(request: pytest.FixtureRequest) -> Iterator[None]:
    """Hides it from all others: what they compare to the last digit holds on a CPU."""
    with pytest.MonkeyPatch.context() as patch:
        if request.path.name != "test_gpu.py":
            patch.setattr(torch.cuda, "is_available", lambda: False)
            patch.setenv("CUDA_VISIBLE_DEVICES", "")  # of the processes that they start
        yield
