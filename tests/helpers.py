"""What tests share: the folder of real samples, and small made-on-the-spot inputs."""

from __future__ import annotations

from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


def samples() -> Path:
    """The folder of real speech, noise and dialogues beside the checkout; the test is skipped where it is absent."""
    folder = ROOT.parent / "shared" / "samples"
    if not folder.is_dir():
        pytest.skip("the folder shared/samples is not beside this checkout")
    return folder
