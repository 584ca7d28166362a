"""The registry of the runtime's kinds."""

from __future__ import annotations

import subprocess
import sys

import pytest

from datagen.kinds import Need
from trainer.runtime import backends


def test_the_folders_are_the_registry() -> None:
    assert backends.names("answering") == ["gemini", "grammar", "openai_api", "simulated", "transformers"]
    assert backends.names("hearing") == ["fast_path", "faster_whisper"]
    assert backends.names("endpointing") == ["energy", "silero"]
    assert "espeak" in backends.names("speaking")


SETTINGS = {"openai_api": {"model": "m"}, "transformers": {"model": "m"}}


@pytest.mark.parametrize("kind", [(f, k) for f in ("answering", "hearing", "endpointing") for k in backends.names(f)])
def test_every_kind_says_what_it_needs_and_survives_a_round_trip(kind: tuple[str, str]) -> None:
    family, name = kind
    config = backends.parse(family, {"kind": name, **SETTINGS.get(name, {})})
    assert backends.parse(family, config.model_dump()) == config
    assert all(isinstance(need, Need) for need in backends.needs(family, config))


WRONG = {
    "thinking": ({"kind": "grammar"}, "unknown family 'thinking'; there are: answering, "),
    "answering": ({}, "needs a key 'kind'; there are: gemini, grammar, "),
    "answering/none": ({"kind": "_base"}, "unknown kind '_base' of answering; there are: gemini, "),
    "answering/key": ({"kind": "grammar", "gramar": "en"}, "gramar: there is no such key; there are: kind, first_ms"),
    "answering/secret": ({"kind": "gemini", "api_key": "sk-1234567"}, "api_key: there is no such key"),
    "answering/value": ({"kind": "grammar", "first_ms": -1}, r"grammar: first_ms: .* \(given: -1\)"),
    "answering/missing": ({"kind": "transformers"}, "answering transformers: model: this key is missing"),
    "answering/inner": ({"kind": "simulated", "answering": {"kind": "gramma"}}, "unknown kind 'gramma' of answering"),
    "endpointing/order": ({"kind": "silero", "threshold": 0.3}, "below 0.35 must not exceed threshold 0.3"),
    "endpointing/short": ({"kind": "energy", "min_silence_ms": 100}, r"min_silence_ms: .*160 \(given: 100\)"),
}


@pytest.mark.parametrize("where", WRONG)
def test_bad_settings_are_one_clear_line(where: str) -> None:
    raw, words = WRONG[where]
    with pytest.raises(ValueError, match=words) as caught:
        backends.parse(where.split("/")[0], raw)
    assert "\n" not in str(caught.value)
    assert "sk-1234567" not in str(caught.value)


@pytest.mark.parametrize(
    ("family", "raw", "words"),
    [
        ("answering", {"kind": "grammar", "grammar": "xx"}, "there is no grammar 'xx'"),
        ("answering", {"kind": "simulated"}, "hand over recorded replies"),
        ("answering", {"kind": "transformers", "model": "/no/such/folder"}, "model: /no/such/folder cannot be loaded"),
        ("hearing", {"kind": "fast_path"}, "needs the engine's transcribe"),
        ("hearing", {"kind": "faster_whisper", "model": "/no/such/folder"}, "there is no folder /no/such/folder"),
    ],
)
def test_what_cannot_be_made_says_why(family: str, raw: dict[str, str], words: str) -> None:
    with pytest.raises(ValueError, match=words) as caught:
        backends.make(family, backends.parse(family, raw))
    assert "\n" not in str(caught.value)


def test_what_a_kind_cannot_take_is_refused() -> None:
    with pytest.raises(ValueError, match="answering grammar takes no replies"):
        backends.make("answering", backends.parse("answering", {"kind": "grammar"}), replies={})


def test_a_session_has_endpointing_of_its_own() -> None:
    config = backends.parse("endpointing", {"kind": "energy"})
    assert backends.make("endpointing", config) is not backends.make("endpointing", config)


def test_the_offline_kinds_cost_no_torch() -> None:
    code = (
        "import sys; from trainer.runtime import backends as b\n"
        "a, e = 'answering', 'endpointing'\n"
        "for f, k in ((a, 'grammar'), (a, 'simulated'), ('hearing', 'fast_path'),"
        " (a, 'transformers'), (a, 'openai_api'), (a, 'gemini'), (e, 'energy'), (e, 'silero')):"
        " b.module(f, k)\n"
        "assert not {'torch', 'openai', 'onnxruntime'} & set(sys.modules), 'heavy'"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
