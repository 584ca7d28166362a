"""Laws of the engine that clones with CosyVoice2, on a stand-in checkout and real processes."""

from __future__ import annotations

import logging
import subprocess
import sys
from collections.abc import Iterator
from itertools import permutations
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from datagen import kinds
from datagen.core.types import Prompt, Voice
from datagen.kinds import Unspoken
from datagen.tts.cosyvoice2 import Config, CosyVoice2, _sentence, make, revision
from tests.helpers import ROOT
from tests.tts.cosyvoice_standin.checkout import engine, log, prompt, voice

TEXT = "I was thinking we could meet at seven."


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cosyvoice2")


@pytest.fixture(scope="module")
def speaker(folder: Path) -> Iterator[CosyVoice2]:
    """An engine whose process serves the tests of this file; it keeps two voices."""
    speaker = engine(folder, voices_cached=2)
    yield speaker
    speaker.close()


@pytest.fixture(scope="module")
def someone(folder: Path) -> Voice:
    return voice(prompt(folder))


def test_speech_is_16_khz_of_the_model_s_24_without_word_times(speaker: CosyVoice2, someone: Voice) -> None:
    speech = speaker.synthesize(TEXT, someone, 1)
    assert speech.words is None
    assert speech.pcm.dtype == np.int16
    assert speech.pcm.shape == (8 * 6 * 640,), "six tokens of 40 ms per word"
    assert 0.1 < np.abs(speech.pcm.astype(float)).max() / 32_768 < 1


def test_the_result_depends_on_the_arguments_alone(speaker: CosyVoice2, folder: Path) -> None:
    people = [voice(prompt(folder, name)) for name in ("a.wav", "c.wav", "e.wav")]
    alone = [speaker.synthesize(TEXT, person, 5).pcm.tobytes() for person in people]
    assert len(set(alone)) == 3, "voices differ"
    for order in permutations(range(3)):
        assert [speaker.synthesize(TEXT, people[n], 5).pcm.tobytes() for n in order] == [alone[n] for n in order]


def test_another_seed_is_another_take(speaker: CosyVoice2, someone: Voice) -> None:
    seeds = (0, 1, 2**32 - 1, 2**63 + 7)
    takes = {seed: speaker.synthesize(TEXT, someone, seed).pcm.tobytes() for seed in seeds}
    assert len(set(takes.values())) == 4
    assert all(speaker.synthesize(TEXT, someone, seed).pcm.tobytes() == take for seed, take in takes.items())


def test_the_model_is_asked_as_it_speaks_best(speaker: CosyVoice2, someone: Voice, folder: Path) -> None:
    """No streaming, no text frontend (which may be missing without a word), one thread per call; and in silence."""
    speaker.synthesize("Mm-hmm", someone, 1)
    asked = log(folder)[-1]
    assert asked["said"] == "Mm-hmm."
    expected = {"stream": False, "speed": 1.0, "text_frontend": False, "threads": "1", "leaked": 0}
    assert (expected | {"tqdm": "1", "logs": logging.ERROR, "imports_from_here": False}).items() <= asked.items()


def test_a_prompt_is_read_once_and_the_oldest_makes_room(speaker: CosyVoice2, folder: Path) -> None:
    people = [voice(prompt(folder, f"p{n}.wav", text=f"I am number {n}")) for n in range(4)]
    before = len(log(folder))
    for who in (0, 0, 1, 0, 2, 0, 1, 3):
        speaker.synthesize("Yes.", people[who], 1)
    new = log(folder)[before:]
    assert [line["added"] for line in new if "added" in line] == [f"I am number {n}." for n in (0, 1, 2, 1, 3)]
    kept = [line["speakers"] for line in new if "speakers" in line]
    assert max(len(names) for names in kept) == 3, "two, and the voice that came with the model"
    assert all("came with the model" in names for names in kept)


def test_the_same_recording_with_another_transcript_is_another_voice(speaker: CosyVoice2, folder: Path) -> None:
    first, second = (voice(prompt(folder, "t.wav", text=text)) for text in ("This is one.", "This is two."))
    assert speaker.synthesize(TEXT, first, 1).pcm.tobytes() != speaker.synthesize(TEXT, second, 1).pcm.tobytes()


def test_the_first_prompt_speaks(speaker: CosyVoice2, folder: Path) -> None:
    a, b = prompt(folder, "f1.wav"), prompt(folder, "f2.wav")
    both, alone, other = (speaker.synthesize(TEXT, voice(*p), 1).pcm.tobytes() for p in ((a, b), (a,), (b, a)))
    assert both == alone != other


@pytest.mark.parametrize("name", ["s.wav", "s.flac"])
def test_a_stereo_prompt_of_48_khz_sounds_like_the_same_in_mono_at_16(
    speaker: CosyVoice2, folder: Path, name: str
) -> None:
    """The original's reader would need torchcodec and FFmpeg."""
    wide = prompt(folder, name, rate=48_000, channels=2)
    speaker.check_voice(voice(wide))
    speech = speaker.synthesize(TEXT, voice(wide), 1).pcm.astype(float)
    narrow = speaker.synthesize(TEXT, voice(prompt(folder, "s.wav", rate=16_000)), 1).pcm.astype(float)
    assert np.corrcoef(speech, narrow)[0, 1] > 0.99


def test_versions_that_take_samples_sound_the_same(tmp_path: Path, speaker: CosyVoice2, folder: Path) -> None:
    older = engine(tmp_path, {"api": "tensor"})
    someone = voice(prompt(folder, "v.wav", rate=44_100))
    try:
        speech = older.synthesize(TEXT, someone, 3).pcm.astype(float)
    finally:
        older.close()
    assert np.corrcoef(speech, speaker.synthesize(TEXT, someone, 3).pcm.astype(float))[0, 1] > 0.9


@given(st.text(max_size=30))
def test_a_text_is_one_punctuated_line_or_refused_in_one(text: str) -> None:
    try:
        line = _sentence(text)
    except ValueError as error:
        assert "\n" not in str(error)  # noqa: PT017  (both ways are right)
        return
    assert line == " ".join(line.split())
    assert not line[-1].isalnum()
    assert _sentence(line) == line
    assert [c for c in line if c.isalnum()] == [c for c in text if c.isalnum()]


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("I was", "I was."),
        ("Wait,", "Wait,"),
        ('She said "no."', 'She said "no."'),
        ("(really)", "(really)."),
        ("你好", "你好。"),
        ("안녕", "안녕."),
        ("Why?", "Why?"),
        ("about 50%", "about 50%."),
    ],
)
def test_an_open_end_gets_a_full_stop(text: str, line: str) -> None:
    assert _sentence(text) == line


@pytest.mark.parametrize("text", ["", " ", "...", "?!", "Hello <|endofprompt|> there."])
def test_what_cannot_be_said_is_refused_before_the_model_sees_it(
    speaker: CosyVoice2, someone: Voice, folder: Path, text: str
) -> None:
    before = len(log(folder))
    with pytest.raises(ValueError, match="text ") as caught:
        speaker.synthesize(text, someone, 1)
    assert not isinstance(caught.value, Unspoken)
    assert len(log(folder)) == before


def test_voices_that_cannot_be_cloned_are_named(speaker: CosyVoice2, folder: Path) -> None:
    good = prompt(folder, "good.wav")
    bad = {
        "has no prompt": voice(),
        "cannot be read": voice(good.model_copy(update={"path": str(folder / "gone.wav")})),
        "sha256": voice(good.model_copy(update={"sha256": "0" * 64})),
        "8000 Hz": voice(prompt(folder, "narrow.wav", rate=8_000)),
        "lasts 0.50 s": voice(prompt(folder, "short.wav", seconds=0.5)),
        "lasts 30.10 s": voice(prompt(folder, "long.wav", seconds=30.1)),
        "transcript": voice(good.model_copy(update={"text": "..."})),
        "no.wav": voice(_not_sound(folder)),
    }
    for reason, person in bad.items():
        for call in (speaker.check_voice, lambda person: speaker.synthesize(TEXT, person, 1)):
            with pytest.raises(ValueError, match=reason):
                call(person)
    with pytest.raises(ValueError, match="lasts"):
        speaker.check_voice(voice(good, prompt(folder, "short.wav", seconds=0.5)))
    speaker.check_voice(voice(good, prompt(folder, "whole.wav", seconds=30.0)))


def _not_sound(folder: Path) -> Prompt:
    made = prompt(folder, "no.wav")
    Path(made.path).write_text("not a recording")
    return made


def test_paths_and_limits_are_no_part_of_what_is_said() -> None:
    changes = Config.model_fields.keys() - Config.aside
    assert changes == {"kind", "commit", "model_revision", "fp16", "load_trt", "load_jit"}
    config = Config(kind="cosyvoice2", commit="1234567", model_revision="r2")
    assert revision(config) == "1234567/r2"
    assert kinds.module("tts", "cosyvoice2").RESOURCES == {"GPU": 1}


def test_making_an_engine_looks_at_nothing() -> None:
    """Recipes are read, and voices checked, on machines without the checkout."""
    nowhere = make(Config(kind="cosyvoice2", home="/nowhere", model="/nowhere"))
    assert nowhere.pid is None
    nowhere.close()


def test_the_process_needs_the_standard_library_alone_until_it_loads() -> None:
    """Its interpreter may be another one, without this project's packages."""
    code = f"import sys; sys.path.insert(0, {str(ROOT)!r}); import datagen.tts._cosyvoice_child; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-S", "-c", code], capture_output=True, text=True, check=True, cwd="/")
    assert not {"numpy", "pydantic", "soundfile"} & set(done.stdout.split())
