"""Published checkpoints: every name has its place, and what does not fit is said and changes nothing."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from tests.trainer.references import references
from tests.trainer.tiny_tower import CONFIG, ENCODER, PUBLISHED, stirred, tiny
from trainer.model.adapter import Adapter, AdapterConfig
from trainer.model.encoder import Encoder
from trainer.model.loading import ADAPTER_NAMES, ENCODER_NAMES, load_adapter, load_encoder, published, read_tensors
from trainer.model.tower import Tower, build


def same(one: torch.nn.Module, other: torch.nn.Module) -> bool:
    held = other.state_dict()
    return all(torch.equal(value, held[name]) for name, value in one.state_dict().items())


def prefixed(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {prefix + name: tensor for name, tensor in tensors.items()}


@pytest.fixture
def tower() -> Tower:
    """What the checkpoints of these tests were made from."""
    return tiny(seed=3)


@pytest.fixture
def encoder(tower: Tower) -> dict[str, Tensor]:
    return published(tower.encoder.state_dict(), ENCODER_NAMES)


@pytest.fixture
def adapter(tower: Tower) -> dict[str, Tensor]:
    return published(tower.adapter.state_dict(), ADAPTER_NAMES)


@pytest.mark.parametrize(
    ("file", "names", "part"),
    [("encoder_params.json", ENCODER_NAMES, "encoder"), ("adapter_params.json", ADAPTER_NAMES, "adapter")],
)
def test_names_and_shapes_are_the_published_ones(file: str, names: tuple[tuple[str, str], ...], part: str) -> None:
    expected = json.loads((references() / file).read_text())["tensors"]
    with torch.device("meta"):
        module = getattr(Tower(PUBLISHED), part)
    ours = {name: list(tensor.shape) for name, tensor in published(module.state_dict(), names).items()}
    assert ours == expected


@pytest.mark.parametrize("prefix", ["model.speech_encoder.", "encoder.", ""])
def test_an_encoder_under_any_prefix(tmp_path: Path, tower: Tower, encoder: dict[str, Tensor], prefix: str) -> None:
    held = prefixed(prefix, encoder) | {"model.llm.norm.weight": torch.zeros(3), "loss_fn.weight": torch.zeros(9)}
    torch.save(
        {"epoch": 3, "state_dict": held} if prefix.startswith("model") else held if prefix else encoder,
        tmp_path / "x.pt",
    )
    fresh = build(CONFIG).encoder
    loaded = load_encoder(fresh, tmp_path / "x.pt")
    assert same(fresh, tower.encoder)
    assert str(loaded) == f"{len(encoder)} tensors loaded"


@pytest.mark.parametrize("prefix", ["model.adapter.", "adapter.", ""])
def test_an_adapter_under_any_prefix(tmp_path: Path, tower: Tower, adapter: dict[str, Tensor], prefix: str) -> None:
    save_file(prefixed(prefix, adapter), tmp_path / "x.safetensors")
    fresh = build(CONFIG).adapter
    load_adapter(fresh, tmp_path / "x.safetensors")
    assert same(fresh, tower.adapter)


def test_a_tower_of_this_trainer(tmp_path: Path, tower: Tower) -> None:
    save_file(prefixed("tower.", tower.state_dict()), tmp_path / "x.safetensors")
    fresh = build(CONFIG)
    load_encoder(fresh.encoder, tmp_path / "x.safetensors")
    load_adapter(fresh.adapter, tmp_path / "x.safetensors")
    assert same(fresh, tower)


def test_an_adapter_of_one_stage_begins_both(tmp_path: Path, adapter: dict[str, Tensor]) -> None:
    """Freeze-Omni's, for a language model of another width."""
    stage = {name.removeprefix("subsamplers.0."): t for name, t in adapter.items() if name.startswith("subsamplers.0.")}
    stage |= {"project.weight": torch.zeros(99, 48), "project.bias": torch.zeros(99)}
    torch.save(
        prefixed("adpter.", stage) | {"encoder.x": torch.zeros(1), "task_embeddings": torch.zeros(2)},
        tmp_path / "final.pt",
    )
    fresh, before = build(CONFIG).adapter, build(CONFIG).adapter.state_dict()
    loaded = load_adapter(fresh, tmp_path / "final.pt")
    after = fresh.state_dict()
    for index in (0, 1):
        assert torch.equal(after[f"stages.{index}.conv.weight"], stage["conv1d2.weight"])
        assert torch.equal(after[f"stages.{index}.norm.bias"], stage["bn2.bias"])
        assert torch.equal(after[f"stages.{index}.project.weight"], before[f"stages.{index}.project.weight"])
    assert len(loaded.kept) == 4
    assert loaded.unused == ("project.bias", "project.weight")
    assert "8 tensors loaded; kept: stages.0.project.weight" in str(loaded)


def test_normalisation_from_its_own_file(tmp_path: Path, encoder: dict[str, Tensor]) -> None:
    without = {name: tensor for name, tensor in encoder.items() if not name.startswith("global_cmvn")}
    torch.save(without, tmp_path / "final.pt")
    fresh = build(CONFIG).encoder
    with pytest.raises(ValueError, match=r"2 missing: cmvn\.istd, cmvn\.mean\."):
        load_encoder(fresh, tmp_path / "final.pt")
    (tmp_path / "global_cmvn").write_text("[ " + "20 " * 80 + "2\n" + "208 " * 80 + "0 ]")
    load_encoder(fresh, tmp_path / "final.pt", cmvn=tmp_path / "global_cmvn")
    assert fresh.cmvn.mean.tolist() == [10] * 80
    assert fresh.cmvn.istd.tolist() == pytest.approx([0.5] * 80)


def test_other_sizes_are_named_and_nothing_is_loaded(tmp_path: Path, encoder: dict[str, Tensor]) -> None:
    torch.save(encoder | {"enc.2.extra": torch.zeros(1)}, tmp_path / "x.pt")
    other = stirred(Encoder(ENCODER.model_copy(update={"blocks": 3, "ffn": 65})).eval())
    before = {name: value.clone() for name, value in other.state_dict().items()}
    with pytest.raises(ValueError, match="does not fit") as raised:
        load_encoder(other, tmp_path / "x.pt")
    text = str(raised.value)
    assert "an encoder of width 32, 2 blocks, heads 4, ffn 64" in text
    assert "missing: blocks.2.attention.content_bias" in text
    assert "1 of no use: enc.2.extra" in text
    assert "blocks.0.feed_forward.down.weight (32, 64) for (32, 65)" in text
    assert "and 1 more" in text
    assert all(torch.equal(value, before[name]) for name, value in other.state_dict().items())


def test_an_adapter_of_another_size(tmp_path: Path, adapter: dict[str, Tensor]) -> None:
    torch.save(adapter, tmp_path / "x.pt")
    with pytest.raises(ValueError, match=r"stages\.1\.project\.bias \(24,\) for \(896,\)"):
        load_adapter(Adapter(AdapterConfig(width=32, inner=48, out=896)), tmp_path / "x.pt")


def test_a_file_without_the_part(tmp_path: Path) -> None:
    torch.save({"model.llm.norm.weight": torch.zeros(3)}, tmp_path / "x.pt")
    with pytest.raises(ValueError, match=r"holds no encoder; its 1 tensors are model\.llm\.norm\.weight"):
        load_encoder(build(CONFIG).encoder, tmp_path / "x.pt")
    with pytest.raises(ValueError, match="holds no adapter"):
        load_adapter(build(CONFIG).adapter, tmp_path / "x.pt")


def test_objects_are_not_unpickled(tmp_path: Path) -> None:
    torch.save({"state_dict": {}, "hyper": Path("x")}, tmp_path / "x.ckpt")
    with pytest.raises(ValueError, match="cannot be read as tensors"):
        read_tensors(tmp_path / "x.ckpt")


def test_no_file_and_no_tensors(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="there is no such file"):
        read_tensors(tmp_path / "x.pt")
    torch.save([1], tmp_path / "x.pt")
    with pytest.raises(ValueError, match="holds a list"):
        read_tensors(tmp_path / "x.pt")
    (tmp_path / "y.pt").write_bytes(b"")
    with pytest.raises(ValueError, match="cannot be read"):
        read_tensors(tmp_path / "y.pt")
