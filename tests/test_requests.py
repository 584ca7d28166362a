"""The batch run: ask what is to be said, let a tool say it, ask again, build."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import yaml

from datagen import kinds
from datagen.build import BuildError
from datagen.core.rng import stream
from datagen.kinds import Heard
from tests.building import no_pictures
from tests.commanding import Command, datagen, refused
from tests.production import build as build_world
from tests.tiny import build_here, rows
from tests.tts.speech_server import RATE, wav
from tests.voices.talking import known_asr

__all__ = ["datagen", "known_asr", "no_pictures"]


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    """Five conversations to be spoken elsewhere."""
    build_world(tmp_path)
    chats = {"kind": "jsonl", "path": "corpora/chats.jsonl", "language": "en", "licence": "CC0-1.0"}
    keys = {
        "name": "elsewhere",
        "language": "en",
        "conversations": 5,
        "conversations_per_shard": 2,
        "splits": {"train": 1},
        "source": chats,
        "tts": {"kind": "batch", "path": "clips", "model": "m@1"},
        "voices": "voices.yaml",
        "acceptance": {"attempts": 6, "prompts": 2},
        "bank": {"variants": 2},
        "phenomena": [{"kind": "backchannel", "assistant_per_minute": 30, "user_per_minute": 30}],
    }
    path = tmp_path / "elsewhere.yaml"
    path.write_text(yaml.safe_dump(keys))
    return path


def tool(folder: Path, spoiled: float) -> int:
    """Makes the clips that are asked for; a share of them is cut short, or silent. Returns how many."""
    made = 0
    for file in sorted(folder.glob("todo-*.jsonl")):
        for line in map(json.loads, file.read_text().splitlines()):
            rng = stream(1, line["key"], "tool")
            samples = rng.normal(0, 2_000, int(RATE * max(len(line["text"]) / 18, 0.4))).astype(np.int16)
            samples = np.pad(samples, (0, RATE // 5))
            content = wav(samples if rng.random() >= spoiled else samples * 0)
            path = Path(line["wav"])
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content[:-200] if rng.random() < spoiled else content)
            made += 1
    return made


@pytest.mark.slow
def test_asking_and_making_in_turn_ends_in_a_dataset(recipe: Path, datagen: Command) -> None:
    out, clips = recipe.parent / "out", recipe.parent / "clips"
    rounds = []
    while datagen("requests", recipe, "--out", out).out.rstrip().splitlines()[-1].endswith("and ask again"):
        rounds.append(tool(clips, 0.2))
        assert len(rounds) < 12
    assert len(rounds) >= 2, "what was spoiled is asked for again"
    assert rounds == sorted(rounds, reverse=True)
    assert not list(clips.glob("todo-*"))
    said = datagen("build", recipe, "--out", out)
    assert said.code == 0, said
    assert len(rows(out)) == 5
    assert rows(out) == rows(_built_anew(recipe))


class Listens:
    """A recogniser that writes down which clips it has heard, and understands nothing."""

    def __init__(self) -> None:
        self.heard = Counter[bytes]()

    def transcribe(self, pcm: np.ndarray, language: str) -> Heard:
        self.heard[pcm.tobytes()] += 1
        return Heard(())


def test_no_clip_is_heard_in_two_rounds(
    recipe: Path, datagen: Command, known_asr: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    lenient = "acceptance={attempts: 6, max_wer: 9, max_errors_3_4_words: 9}"
    settings = ("--set", f"asr={{kind: {known_asr}, path: .}}", "--set", lenient, "--out", recipe.parent / "out")
    ear = Listens()
    monkeypatch.setattr(kinds.module("asr", known_asr), "make", lambda config: ear)
    sizes = []
    while datagen("requests", recipe, *settings).out.rstrip().splitlines()[-1].endswith("and ask again"):
        tool(recipe.parent / "clips", 0.2)
        sizes.append(ear.heard.total())
        assert len(sizes) < 12
    assert sizes[0] == 0 < sizes[1] < ear.heard.total(), "each round hears what is new"
    assert set(ear.heard.values()) == {1}


def _built_anew(recipe: Path) -> Path:
    build_here(recipe, recipe.parent / "anew")
    return recipe.parent / "anew"


def test_a_build_before_the_clips_are_there_says_what_to_do(recipe: Path) -> None:
    with pytest.raises(BuildError, match=r"\d+ clips are still to be made; `datagen requests` writes them down"):
        build_here(recipe, recipe.parent / "out")


def test_each_file_asks_for_a_clip_once_and_only_the_bank_is_asked_for_by_several(
    recipe: Path, datagen: Command
) -> None:
    said = datagen("requests", recipe, "--out", recipe.parent / "out")
    files = [path.read_text().splitlines() for path in sorted((recipe.parent / "clips").glob("todo-*"))]
    lines = [json.loads(text) for file in files for text in file]
    assert f"{len(lines)} clips are still to be made" in said.out
    assert all(len(set(file)) == len(file) for file in files)
    count = Counter(line["key"] for line in lines)
    assert all(len(line["text"].split()) <= 3 for line in lines if count[line["key"]] > 1)
    assert len(count) > 20
    assert all(Path(line["prompt_wav"]).is_file() for line in lines)


def test_an_engine_that_speaks_by_itself_has_no_requests(recipe: Path, datagen: Command) -> None:
    line = refused(datagen("requests", recipe, "--set", "tts={kind: espeak}", "--out", recipe.parent / "out"))
    assert "tts.espeak speaks by itself" in line
