"""A small world of production backends: a Gemini that answers, a speech server that speaks, corpora in their layouts.

The clients are the real ones; the servers are local. The speech server speaks with espeak-ng, whatever the prompt is.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from threading import Thread
from typing import Any

import numpy as np
import soundfile
import soxr
import yaml

from datagen.casting import cast
from datagen.stages import prompts
from datagen.tasks import Inline
from datagen.voices import folder
from tests.llm.fake_gemini import MODEL, Gemini, said
from tests.llm.serving import Response
from tests.sources.parquet_files import row, write_parquet
from tests.tiny import dialogue, write_lines
from tests.tts.speaking import engine
from tests.tts.speaking import voice as espeak_voice
from tests.tts.speech_server import RATE, Asked, Reply, SpeechServer
from tests.voices.talking import LONG, SHORT, VARIANTS, write

PEOPLE = 4
OUTLINES = 5
SCENES = ("airport", "park")


def talk(body: dict[str, Any], nth: int) -> Response:
    """Writes a conversation for an outline; finds a backchannel and a pause in a dialogue with numbered words."""
    prompt = body["contents"][0]["parts"][0]["text"]
    if asked := re.search(r"It has (\d+) turns", prompt):
        day = re.search(r"on day (\d+)", prompt)
        return said(json.dumps(_conversation(int(asked[1]), int(day[1]) if day else 0)))
    return said(json.dumps(_places(prompt)))


def _conversation(turns: int, day: int) -> dict[str, Any]:
    texts = (
        f"I would like to plan a walk for day {day}, because the weather is good and I have time.",
        f"That sounds lovely, and the path along the river is open, so you could start at noon on day {day}.",
    )
    speakers = ("user", "assistant")
    said_turns = [{"speaker": speakers[n % 2], "text": f"{texts[n % 2]} This is number {n}."} for n in range(turns)]
    return {"topic": "a walk", "plan": "They plan it.", "turns": said_turns}


def _places(prompt: str) -> dict[str, Any]:
    backchannels, pauses = [], []
    for turn, words in re.findall(r"^turn (\d+) \(\w+\): (.*)$", prompt, re.MULTILINE):
        count = len(words.split())
        if count > 12:
            backchannels.append({"turn": int(turn), "after_word": count // 2, "token": "go on"})
            pauses.append({"turn": int(turn), "after_word": 3})
    return {"backchannels": backchannels, "pauses": pauses}


def speak(asked: Asked) -> Reply:
    """The text in espeak-ng's voice, as headerless 16-bit samples at 24 kHz."""
    text = asked.fields()["tts_text"]
    speech = engine().synthesize(text, espeak_voice(rate_wpm=200), 0)
    samples = soxr.resample(speech.pcm.astype(np.float32), 16_000, RATE)
    return Reply(np.clip(samples, -32_768, 32_767).astype("<i2").tobytes(), how="chunked")


@dataclass
class World:
    """Where everything is."""

    home: Path
    gemini: Gemini
    speech: SpeechServer
    recipe: Path = field(init=False)

    def __post_init__(self) -> None:
        self.recipe = self.home / "made.yaml"

    def write(self, **changes: Any) -> Path:
        """The recipe; a change to None removes the key."""
        patient = {"first_wait_s": 0.01, "longest_wait_s": 0.05, "timeout_s": 20}
        model = {"kind": "gemini", "model": MODEL, "base_url": self.gemini.url, **patient}
        keys: dict[str, Any] = {
            "name": "made",
            "language": "en",
            "profile": "paper",
            "conversations": 8,
            "conversations_per_shard": 4,
            "splits": {"train": 1},
            "source": {
                "kind": "mixture",
                "parts": [
                    {"source": {"kind": "voiceassistant", "path": "corpora/voiceassistant"}},
                    {"weight": 2, "source": {"kind": "outlines", "source": _jsonl()}},
                ],
            },
            "writer": model,
            "writing": {"turns": [2, 3], "licence": "LicenseRef-written"},
            "annotator": model,
            "budget": {"usd": 5, "prices": "prices.yaml"},
            "tts": {
                "kind": "cosyvoice_http",
                "url": self.speech.url,
                "model": "m@1",
                "timeout_s": 20,
                "backoff_s": 0.01,
            },
            "voices": "voices.yaml",
            "bank": {"variants": 2},
            "phenomena": [
                {"kind": "backchannel", "assistant_per_minute": 60, "user_per_minute": 0, "probability": 1},
                {"kind": "pause", "per_minute": 60, "filler_probability": 0},
                {"kind": "interruption"},
            ],
            "noise": {"kind": "tau", "path": "corpora/tau"},
        }
        keys = {name: value for name, value in (keys | changes).items() if value is not None}
        self.recipe.write_text(yaml.safe_dump(keys))
        return self.recipe


def _jsonl() -> dict[str, Any]:
    return {"kind": "jsonl", "path": "corpora/chats.jsonl", "language": "en", "licence": "CDLA-Sharing-1.0"}


@contextmanager
def world(home: Path, key: str) -> Iterator[World]:
    """The servers running, the corpora and the voices in place."""
    build(home)
    speech = SpeechServer(speak)
    speech.told = lambda: Reply(b"{}")
    Thread(target=speech.serve_forever, args=(0.02,), daemon=True).start()
    try:
        with Gemini(talk, key) as gemini:
            yield World(home, gemini, speech)
    finally:
        speech.over.set()
        speech.shutdown()
        speech.server_close()


def build(home: Path) -> None:
    """Corpora, voices and prices on disk."""
    pairs = [
        (
            "What can I do on a rainy afternoon, when all of my friends are away?",
            "You could bake bread, or read a book.",
        ),
        ("How long does it take to learn to swim?", "Most people need about ten lessons to feel safe in the water."),
        ("Why is the sky blue in the day and red in the evening?", "Air scatters blue light more than red light."),
    ]
    rows = [row("moss", f"{n}", None, question, answer) for n, (question, answer) in enumerate(pairs)]
    write_parquet(home / "corpora/voiceassistant/data/train-00000-of-00001.parquet", rows)
    write_lines(home / "corpora/chats.jsonl", [dialogue(number) for number in range(OUTLINES)])
    rng = np.random.default_rng(1)
    for scene in SCENES:
        for part in range(10):
            path = home / f"corpora/tau/audio/{scene}-lisbon-1000-40000-{part}-a.wav"
            path.parent.mkdir(parents=True, exist_ok=True)
            soundfile.write(path, rng.normal(0, 0.05, (44_100, 2)), 44_100)
    (home / "prices.yaml").write_text(
        yaml.safe_dump({"date": "2026-11-20", "models": {MODEL: {"input": 1.0, "output": 2.0, "source": "a test"}}})
    )
    for person in range(PEOPLE):
        for take, text in enumerate((*LONG, SHORT)):
            path = home / f"corpora/people/p{person}/{take}.wav"
            write(path, text, VARIANTS[person])
            path.with_suffix(".txt").write_text(text)
    collection = folder.Config(
        path=str(home / "corpora/people"), language="en", licence="CC0-1.0", consent="not needed", origin="espeak-ng"
    )
    cast(prompts.Config(collection=collection), str(home / "voices.yaml"), Inline(), splits={"train": 1.0})
