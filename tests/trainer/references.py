"""The folder of numeric references beside the checkout: tensors and cases made with the public implementation."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.helpers import ROOT


def references() -> Path:
    """The folder; the test is skipped where it is absent."""
    folder = ROOT.parent / "shared" / "reference" / "tensors"
    if not folder.is_dir():
        pytest.skip("the folder shared/reference/tensors is not beside this checkout")
    return folder
