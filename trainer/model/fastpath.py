"""The fast path: a speech tower, a duplex language model and their tokenizer; saved and loaded as a folder.

    FOLDER/model.safetensors   weights           FOLDER/config.json   preset, letters, control tokens
          /tokenizer/          as transformers saves it

Shape suffixes: B batch, N samples (16 kHz), K ticks (160 ms), E encoder frames (40 ms), D width, C letters.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import torch
from safetensors.torch import load_model, save_model
from torch import Tensor, nn

from trainer import features, tokens
from trainer.aside import aside
from trainer.model._llm import PretrainedLlm, build_llm
from trainer.model.duplex import Duplex
from trainer.model.tower import Tower, build
from trainer.presets import Preset
from trainer.tokens import ControlTokens

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

LETTERS = " abcdefghijklmnopqrstuvwxyz'"
"""What the auxiliary loss spells; other characters are left out. Index 0 of its output is silence."""


class FastPath(nn.Module):
    """See the module. ``preset`` says its shape."""

    def __init__(self, preset: Preset, tower: Tower, duplex: Duplex, tokenizer: PreTrainedTokenizerBase) -> None:
        super().__init__()
        self.preset, self.tokenizer = preset, tokenizer
        self.tower, self.duplex = tower, duplex
        self.letters = nn.Linear(preset.tower.encoder.width, len(LETTERS) + 1)
        """Of an auxiliary loss; not used outside training."""
        worded = any(schedule.words or schedule.notes for schedule in (preset.encoder, preset.duplex))
        width = preset.tower.out
        self.heard_norm = nn.LayerNorm(width) if worded else None
        self.heard, self.noted = (nn.Linear(width, width) if worded else None for _ in range(2))
        """Of auxiliary losses: from speech vectors, and from the language model's hidden states, to where its head
        reads the user's words."""

    @property
    def tokens(self) -> ControlTokens:
        """Ids of the control tokens."""
        return self.duplex.tokens

    @classmethod
    def begin(cls, preset: Preset, texts: Iterable[str], seed: int = 0) -> Self:
        """A new one: random weights from the seed, a pretrained language model where the preset names one, and a
        tokenizer trained on the texts where it does not. ValueError when something it names is not there."""
        tokenizer = _tokenizer(preset, texts)
        control = tokens.add_control_tokens(tokenizer, eos=preset.eos)
        llm = build_llm(preset.llm, control, seed)
        if llm.config.get_text_config().hidden_size != preset.tower.out:
            raise ValueError(
                f"tower.out is {preset.tower.out}, the language model's hidden size another; make them equal"
            )
        made = cls(preset, build(preset.tower, seed), Duplex(llm, control), tokenizer)
        draw = torch.Generator().manual_seed(seed)
        nn.init.trunc_normal_(made.letters.weight, std=preset.tower.encoder.width**-0.5, generator=draw)
        nn.init.zeros_(made.letters.bias)
        for layer in (made.heard, made.noted):
            if layer is not None:
                nn.init.trunc_normal_(layer.weight, std=preset.tower.out**-0.5, generator=draw)
                nn.init.zeros_(layer.bias)
        return made

    def encode(self, text: str) -> list[int]:
        """Ids of a text without control tokens."""
        return tokens.encode(self.tokenizer, text)

    def decode(self, ids: Iterable[int]) -> str:
        """Text of ids, control tokens left out."""
        return tokens.decode(self.tokenizer, ids)

    def speech(self, samples_BN: Tensor, lengths_B: Tensor) -> tuple[Tensor, Tensor]:
        """Vectors (B x K x D) of whole conversations, and how many ticks of each count; samples in [-1, 1]."""
        return self.tower.adapter(*self.frames(samples_BN, lengths_B))

    def frames(
        self, samples_BN: Tensor, lengths_B: Tensor, change: Callable[[Tensor], Tensor] | None = None
    ) -> tuple[Tensor, Tensor]:
        """Encoder frames (B x E x D) and how many count: what the auxiliary loss and the adapter see. ``change`` is
        done to the features first."""
        feats_BTF = features.features(samples_BN)
        feats_BTF = change(feats_BTF) if change else feats_BTF
        return self.tower.encoder(feats_BTF, torch.div(lengths_B, features.HOP, rounding_mode="floor"))

    def save(self, folder: Path) -> None:
        """Writes the folder; the weights last."""
        folder.mkdir(parents=True, exist_ok=True)
        self.tokenizer.save_pretrained(folder / "tokenizer")
        shape: dict[str, Any] = {"preset": self.preset.model_dump(mode="json"), "tokens": self.tokens.model_dump()}
        (folder / "config.json").write_text(json.dumps(shape, indent=1))
        self.save_weights(folder / "model.safetensors")

    def save_weights(self, file: Path) -> None:
        """The weights alone, tied ones once."""
        with aside(file) as made:
            save_model(self, str(made))

    def load_weights(self, file: Path) -> None:
        """What ``save_weights`` wrote."""
        load_model(self, str(file))

    @classmethod
    def load(cls, folder: Path, device: torch.device | str = "cpu") -> Self:
        """What ``save`` wrote, in evaluation mode. ValueError when the folder holds something else."""
        from transformers import AutoTokenizer

        if not (folder / "model.safetensors").is_file():
            raise ValueError(f"{folder} holds no fast path; train one with `python -m trainer fit`")
        shape = json.loads((folder / "config.json").read_text())
        preset, control = Preset.model_validate(shape["preset"]), ControlTokens.model_validate(shape["tokens"])
        tokenizer = AutoTokenizer.from_pretrained(folder / "tokenizer")
        made = cls(preset, build(preset.tower), Duplex(_shape_of(preset, control), control), tokenizer)
        load_model(made, str(folder / "model.safetensors"))
        return made.to(device).eval()


def _tokenizer(preset: Preset, texts: Iterable[str]) -> PreTrainedTokenizerBase:
    if preset.vocabulary is not None:
        return tokens.train_tokenizer(texts, preset.vocabulary)
    from transformers import AutoTokenizer

    assert isinstance(preset.llm, PretrainedLlm)
    try:
        return AutoTokenizer.from_pretrained(preset.llm.name, revision=preset.llm.revision)
    except OSError as error:
        raise ValueError(f"llm.name: no tokenizer at {preset.llm.name!r}; hf download {preset.llm.name}") from error


def _shape_of(preset: Preset, control: ControlTokens) -> Any:
    """The language model to load weights into: a random one of the right shape, pretrained weights not needed."""
    if not isinstance(preset.llm, PretrainedLlm):
        return build_llm(preset.llm, control)
    from transformers import AutoConfig, AutoModelForCausalLM

    config = AutoConfig.from_pretrained(preset.llm.name, revision=preset.llm.revision)
    config.vocab_size = control.vocabulary
    return AutoModelForCausalLM.from_config(config, dtype=torch.float32)
