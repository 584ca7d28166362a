"""CTC models of random weights, saved on the spot as Hugging Face folders."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch")
pytest.importorskip("transformers")

LETTERS = "abcdefghijklmnopqrstuvwxyz'"
SPECIAL = ("<pad>", "<s>", "</s>", "<unk>", "|")


def write_model(folder: Path, family: str = "Wav2Vec2", upper: bool = False, **settings: Any) -> Any:
    """Writes a model whose convolutions are those of the real ones: 400 samples wide, one frame per 320."""
    import torch
    import transformers

    letters = LETTERS.upper() if upper else LETTERS
    vocabulary = {token: n for n, token in enumerate([*SPECIAL, *letters])}
    config = getattr(transformers, f"{family}Config")(
        vocab_size=len(vocabulary),
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=32,
        conv_dim=(8,) * 7,
        num_conv_pos_embeddings=16,
        num_conv_pos_embedding_groups=4,
        pad_token_id=0,
        initializer_range=0.5,
        **settings,
    )
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = getattr(transformers, f"{family}ForCTC")(config)
    model.save_pretrained(folder)
    write_tokenizer(folder, vocabulary)
    transformers.Wav2Vec2FeatureExtractor(do_normalize=True).save_pretrained(folder)
    return model


def write_tokenizer(folder: Path, vocabulary: dict[str, Any], language: str | None = None) -> None:
    """The vocabulary and what says how to read it."""
    (folder / "vocab.json").write_text(json.dumps(vocabulary), encoding="utf-8")
    described = {"tokenizer_class": "Wav2Vec2CTCTokenizer", "word_delimiter_token": "|", "target_lang": language}
    (folder / "tokenizer_config.json").write_text(json.dumps(described), encoding="utf-8")


def write_adapter_model(folder: Path, language: str) -> None:
    """A model of many languages as MMS has them: nested vocabulary, one file of adapter weights per language."""
    from safetensors.torch import save_file

    model = write_model(folder, adapter_attn_dim=4)
    flat = json.loads((folder / "vocab.json").read_text(encoding="utf-8"))
    own = {**{token: n for token, n in flat.items() if n < len(SPECIAL)}, "ñ": 5, "o": 6}
    weights = {name: weight.detach().clone() for name, weight in model._get_adapters().items()}
    weights["lm_head.weight"], weights["lm_head.bias"] = weights["lm_head.weight"][:7], weights["lm_head.bias"][:7]
    save_file(weights, folder / f"adapter.{language}.safetensors")
    write_tokenizer(folder, {"eng": flat, language: own}, "eng")
