"""Laws of the embedded engine: every word timed, nothing clipped, bad input named in one line."""

from __future__ import annotations

import json
import re
import sys
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from datagen.core.types import SPLITS, Voice
from datagen.kinds import Speech
from datagen.recipe import voice_manifest
from datagen.tts.espeak import Config, make
from tests.helpers import ROOT, samples
from tests.tts.speaking import ODD, TEXTS, VOICES, digest, engine, expected, voice, words_of

MANIFESTS = {language: ROOT / "manifests" / f"voices_espeak_{language}.yaml" for language in ("en", "es")}


def check(text: str, speech: Speech) -> None:
    """What holds for every result."""
    assert [word.text for word in words_of(speech)] == text.split()
    borders = [0, *(time for word in words_of(speech) for time in (word.start, word.end)), len(speech.pcm)]
    assert borders == sorted(borders)
    assert speech.pcm.dtype == np.int16
    assert speech.pcm.ndim == 1
    assert 0 < np.abs(speech.pcm.astype(int)).max() < 32_700


@given(ODD, st.sampled_from(VOICES))
@settings(max_examples=120)
def test_any_text_is_spoken_word_for_word_or_refused_in_one_line(text: str, someone: Voice) -> None:
    if re.search("[A-Za-z0-9]", re.sub(r"</?[A-Za-z][^<>\s]*>", " ", text)):
        check(text, engine().synthesize(text, someone, 0))
        return
    try:
        speech = engine().synthesize(text, someone, 0)
    except ValueError as error:
        assert "\n" not in str(error)  # noqa: PT017  (both ways are right)
    else:
        check(text, speech)


@pytest.mark.parametrize("someone", VOICES)
def test_speech_begins_with_the_first_word_and_ends_with_the_last(someone: Voice) -> None:
    for text in TEXTS:
        speech = engine().synthesize(text, someone, 0)
        check(text, speech)
        assert words_of(speech)[0].start <= 80  # 5 ms
        assert 0 < len(speech.pcm) - words_of(speech)[-1].end <= 482  # 30 ms
        quiet = int(np.abs(speech.pcm[-16:].astype(int)).max())
        assert quiet <= 0.05 * int(np.abs(speech.pcm.astype(int)).max())


def test_word_times_are_where_the_sound_is() -> None:
    """Commas make silence; the words around it must not reach into it."""
    text = "Monday, Tuesday, Wednesday, Thursday."
    speech = engine().synthesize(text, voice(), 0)
    signal = np.abs(speech.pcm.astype(float))
    assert not any(word.estimated for word in words_of(speech))
    for left, right in pairwise(words_of(speech)):
        assert right.start - left.end > 800
        assert signal[left.end + 400 : right.start].max() < 0.05 * signal.max()
    for word in words_of(speech):
        assert signal[word.start : word.end].max() > 0.2 * signal.max()


def test_words_that_are_run_together_share_their_time() -> None:
    words = words_of(engine().synthesize("Look at the man in the moon now.", voice(), 0))
    assert [w.text for w in words if w.estimated] == ["in", "the"]
    assert all(w.end > w.start for w in words)


def test_nearly_all_words_of_real_dialogue_have_times_of_their_own() -> None:
    found = json.loads((samples() / "dialogues" / "topical_chat" / "test_freq.json").read_text())
    texts = [" ".join(turn["message"].split()) for talk in found.values() for turn in talk["content"]][:1500:25]
    words = [word for text in texts for word in words_of(engine().synthesize(text, voice(), 0))]
    assert np.mean([not word.estimated for word in words]) > 0.9


@pytest.mark.parametrize("text", ["", " ", "***", "\0", "👍 - …"])
def test_nothing_to_say_is_refused_with_the_text(text: str) -> None:
    with pytest.raises(ValueError, match="nothing espeak-ng can say"):
        engine().synthesize(text, voice(), 0)


def test_endless_speech_is_stopped() -> None:
    with pytest.raises(ValueError, match="max_seconds=2"):
        make(Config(kind="espeak", max_seconds=2)).synthesize("again and " * 400, voice(), 0)
    assert digest(engine().synthesize(TEXTS[0], VOICES[0], 0)) == expected()["0"]


@pytest.mark.parametrize(
    ("params", "complaint"),
    [
        ({"variant": "f22"}, "params.variant.*'f22'.*did you mean f2"),
        ({"variant": "klatt6"}, "params.variant.*'klatt6'.*did you mean klatt"),
        ({"variant": "../../lang/gmw/en"}, "params.variant"),
        ({"base": "gmw/en-us"}, "params.base.*did you mean .*gmw/en-US"),
        ({"base": "en-gb"}, "params.base"),
        ({"pitch": 100}, "params.pitch.*less than or equal to 99.*100"),
        ({"rate_wpm": 450}, "params.rate_wpm.*400"),
        ({"speed": 3}, "params.speed"),
    ],
)
def test_a_wrong_voice_is_refused_in_one_line(params: dict[str, str | int], complaint: str) -> None:
    for use in (engine().check_voice, lambda wrong: engine().synthesize("Hello.", wrong, 0)):
        with pytest.raises(ValueError, match=complaint) as error:
            use(voice(**params))
        assert "\n" not in str(error.value)


def test_a_voice_needs_a_base() -> None:
    nobody = voice().model_copy(update={"params": {}})
    with pytest.raises(ValueError, match=r"params\.base"):
        engine().check_voice(nobody)


def test_a_missing_package_is_named_with_the_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "espeakng_loader", None)
    with pytest.raises(ValueError, match="pip install espeakng-loader"):
        make(Config(kind="espeak"))


@pytest.mark.parametrize(("language", "least"), [("en", (64, 16, 16)), ("es", (28, 6, 6))])
def test_manifest_voices_speak_and_differ(language: str, least: tuple[int, int, int]) -> None:
    voices = voice_manifest(str(MANIFESTS[language]))
    assert tuple(sum(v.split == split for v in voices) for split in SPLITS) >= least
    assert len({json.dumps(v.params, sort_keys=True) for v in voices}) == len(voices)
    text = {"en": "Yes, please.", "es": "Sí, por favor."}[language]
    heard = [engine().synthesize(text, v, 0) for v in voices]
    assert len({speech.pcm.tobytes() for speech in heard}) == len(voices)


def test_no_vocal_tract_is_in_two_splits_of_any_language() -> None:
    tracts: dict[str, set[object]] = {split: set() for split in SPLITS}
    for path in MANIFESTS.values():
        for someone in voice_manifest(str(path)):
            tracts[someone.split].add(someone.params["variant"])
    assert sum(map(len, tracts.values())) == len(set.union(*tracts.values()))
