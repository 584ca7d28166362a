"""Normalisation: measured in one pass however the data come, read from Kaldi's files, never made up."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from trainer.model.cmvn import Cmvn, estimate, read_kaldi

FRAMES = 3 * torch.randn(600, 5, generator=torch.Generator().manual_seed(0)) + torch.arange(5.0) - 15


@settings(max_examples=30, deadline=None)
@given(cuts=st.lists(st.integers(0, 600), max_size=5))
def test_one_pass_over_parts_is_the_whole(cuts: list[int]) -> None:
    edges = [0, *sorted(cuts), 600]
    mean, istd = estimate(FRAMES[a:b] for a, b in pairwise(edges))
    torch.testing.assert_close(mean, FRAMES.mean(0))
    torch.testing.assert_close(istd, 1 / FRAMES.std(0, correction=0))


def test_batches_count_like_recordings() -> None:
    assert torch.equal(estimate([FRAMES.view(6, 100, 5)])[0], estimate([FRAMES])[0])


def test_normalised_data_have_mean_zero_and_variance_one() -> None:
    cmvn = Cmvn(5)
    assert torch.equal(cmvn(FRAMES), FRAMES), "changes nothing before it is set"
    cmvn.set(*estimate([FRAMES]))
    normal = cmvn(FRAMES)
    torch.testing.assert_close(normal.mean(0), torch.zeros(5), atol=1e-5, rtol=0)
    torch.testing.assert_close(normal.square().mean(0), torch.ones(5))


@pytest.mark.parametrize(
    ("feats", "reason"),
    [
        (FRAMES[:1], "features of 1 frames"),
        (torch.zeros(9, 5), r"do not vary in bins \[0, 1, 2, 3, 4\]"),
        (torch.cat([FRAMES, torch.full((1, 5), torch.nan)]), "not finite"),
    ],
)
def test_data_without_a_variance_are_refused(feats: torch.Tensor, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        estimate([feats])


def test_constants_of_another_size_are_refused() -> None:
    with pytest.raises(ValueError, match="mean of the features: 5 finite numbers"):
        Cmvn(5).set(torch.zeros(4), torch.ones(4))


def test_kaldi_statistics(tmp_path: Path) -> None:
    sums, squares = FRAMES.double().sum(0), FRAMES.double().square().sum(0)
    rows = [" ".join(map(str, [*sums.tolist(), 600])), " ".join(map(str, [*squares.tolist(), 0]))]
    (tmp_path / "global_cmvn").write_text(" [\n  " + "\n  ".join(rows) + " ]\n")
    for read, measured in zip(read_kaldi(tmp_path / "global_cmvn"), estimate([FRAMES]), strict=True):
        torch.testing.assert_close(read, measured)


@pytest.mark.parametrize(
    ("text", "reason"), [("[ 1 2 3 ]", "two rows"), ("{}", "not a number"), ("[0 0 0 0]", "count")]
)
def test_other_text_is_refused(tmp_path: Path, text: str, reason: str) -> None:
    (tmp_path / "x").write_text(text)
    with pytest.raises(ValueError, match=reason):
        read_kaldi(tmp_path / "x")
