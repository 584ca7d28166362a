"""A Whisper of random weights in CTranslate2's format, made on the spot: real in everything but what it hears."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest

pytest.importorskip("faster_whisper")
pytest.importorskip("transformers")

WORDS = ("yes", "no", "well", "thanks", "tomorrow", "seven", "station", "right")
LANGUAGES = ("en", "es")
SPECIAL = (
    "<|endoftext|>",
    "<|startoftranscript|>",
    *(f"<|{code}|>" for code in LANGUAGES),
    "<|translate|>",
    "<|transcribe|>",
    "<|startoflm|>",
    "<|startofprev|>",
    "<|nospeech|>",
    "<|notimestamps|>",
)
TIMES = tuple(f"<|{0.02 * n:.2f}|>" for n in range(1501))


def tokenizer() -> Any:
    """Whole words, bytes for all else, and Whisper's special tokens in their order; ids from 0 on.

    The empty token is how CTranslate2 tells models of many languages.
    """
    import tokenizers
    from tokenizers import decoders, models, pre_tokenizers

    bytes_ = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary: dict[str, int] = {}
    merges: list[tuple[str, str]] = []
    for token in bytes_:
        vocabulary[token] = len(vocabulary)
    for word in WORDS:
        piece = "Ġ"
        for letter in word:
            if (piece, letter) not in merges:
                merges.append((piece, letter))
                vocabulary[piece + letter] = len(vocabulary)
            piece += letter
    vocabulary[""] = len(vocabulary)
    made = tokenizers.Tokenizer(models.BPE(vocab=vocabulary, merges=merges))
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    made.add_special_tokens([tokenizers.AddedToken(token, special=True) for token in (*SPECIAL, *TIMES)])
    return made


def write_model(folder: Path, mels: int = 80, seed: int = 0) -> None:
    """Writes a model of about 0.1 M parameters that hears something else in every clip."""
    import torch
    from ctranslate2.converters import TransformersConverter
    from transformers import (
        GenerationConfig,
        PreTrainedTokenizerFast,
        WhisperConfig,
        WhisperFeatureExtractor,
        WhisperForConditionalGeneration,
    )

    words = tokenizer()
    ids: dict[str, int] = {token: words.token_to_id(token) for token in SPECIAL}
    config = WhisperConfig(
        vocab_size=words.get_vocab_size(),
        num_mel_bins=mels,
        d_model=32,
        encoder_layers=1,
        decoder_layers=2,
        encoder_attention_heads=2,
        decoder_attention_heads=2,
        encoder_ffn_dim=64,
        decoder_ffn_dim=64,
        pad_token_id=ids["<|endoftext|>"],
        bos_token_id=ids["<|endoftext|>"],
        eos_token_id=ids["<|endoftext|>"],
        decoder_start_token_id=ids["<|startoftranscript|>"],
        init_std=0.3,
    )
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = WhisperForConditionalGeneration(config)
        _say_words(model, words)
    model.generation_config = GenerationConfig(
        lang_to_id={f"<|{code}|>": ids[f"<|{code}|>"] for code in LANGUAGES},
        task_to_id={"translate": ids["<|translate|>"], "transcribe": ids["<|transcribe|>"]},
        alignment_heads=[[1, 0], [1, 1]],
        no_timestamps_token_id=ids["<|notimestamps|>"],
        is_multilingual=True,
        suppress_tokens=[],
        begin_suppress_tokens=[ids["<|endoftext|>"]],
        decoder_start_token_id=ids["<|startoftranscript|>"],
        eos_token_id=ids["<|endoftext|>"],
        pad_token_id=ids["<|endoftext|>"],
    )
    with TemporaryDirectory() as source:
        model.save_pretrained(source)
        PreTrainedTokenizerFast(tokenizer_object=words, unk_token="<|endoftext|>").save_pretrained(source)
        WhisperFeatureExtractor(feature_size=mels).save_pretrained(source)
        TransformersConverter(source, copy_files=["tokenizer.json", "preprocessor_config.json"]).convert(str(folder))
    assert json.loads((folder / "config.json").read_text())["lang_ids"]


def _say_words(model: Any, words: Any) -> None:
    """Makes the words likelier than their pieces, and the place in the text decisive: short, varied sentences."""
    decoder = model.model.decoder
    rows = decoder.embed_tokens.weight.data  # the output's rows too
    rows[: words.token_to_id("<|endoftext|>")] = 0
    for word in WORDS:
        rows[words.token_to_id(f"Ġ{word}")].normal_(0, 0.5)
    decoder.embed_positions.weight.data.mul_(4)


@cache
def model() -> Path:
    """A model's folder, made once per process."""
    kept = TemporaryDirectory()
    _KEPT.append(kept)
    folder = Path(kept.name) / "tiny"
    write_model(folder)
    return folder


_KEPT: list[TemporaryDirectory[str]] = []
"""Folders are removed when the process ends."""
