"""Laws of the embedded engine: same input, same bytes; every word timed; nothing clipped; bad input named."""

from __future__ import annotations

import json
import multiprocessing
import os
import re
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from hashlib import blake2b
from itertools import pairwise, product
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from datagen import kinds
from datagen.core.types import SPLITS, Voice
from datagen.kinds import Speech
from datagen.recipe import voice_manifest
from datagen.tts._espeak_library import NATIVE_RATE, Library, Style
from datagen.tts._espeak_text import prepare
from datagen.tts.espeak import Config, Espeak, make
from tests.helpers import ROOT, samples

espeakng_loader = pytest.importorskip("espeakng_loader")

TEXTS = (
    "I was thinking we could meet at the station around seven.",
    "Yes, of course.",
    "It costs 19.50, in the end; don't you think?",
)
MANIFESTS = {language: ROOT / "manifests" / f"voices_espeak_{language}.yaml" for language in ("en", "es")}


@cache
def engine() -> Espeak:
    return kinds.make("tts", Config(kind="espeak"))


def voice(**params: str | int) -> Voice:
    return Voice(id="v", language="en", split="train", origin="o", licence="l", params={"base": "gmw/en-US", **params})


VOICES = (voice(), voice(variant="f2"), voice(base="gmw/en-GB-x-rp", variant="Annie", pitch=20), voice(variant="m3"))


def digest(speech: Speech) -> str:
    """A fingerprint of the samples and the words."""
    return blake2b(speech.pcm.tobytes() + repr(speech.words).encode(), digest_size=8).hexdigest()


def digests(order: list[int]) -> dict[str, str]:
    """Speak all texts with all voices in an order of their numbers."""
    jobs = list(product(TEXTS, VOICES))
    return {str(n): digest(engine().synthesize(*jobs[n], seed=n)) for n in order}


@cache
def expected() -> dict[str, str]:
    return digests(list(range(len(TEXTS) * len(VOICES))))


# --- determinism -----------------------------------------------------------------------------------------------------


def test_what_was_said_before_makes_no_difference() -> None:
    order = list(range(len(TEXTS) * len(VOICES)))
    for other in (order[::-1], order[::2] + order[1::2], [n for n in order for _ in range(3)]):
        assert digests(other) == expected()


def test_every_usable_variant_repeats_itself() -> None:
    variants = sorted(engine()._variants)
    first = {name: digest(engine().synthesize(TEXTS[1], voice(variant=name), 1)) for name in variants}
    again = {name: digest(engine().synthesize(TEXTS[1], voice(variant=name), 1)) for name in reversed(variants)}
    assert first == again
    assert len(set(first.values())) > 0.9 * len(variants)


def test_another_process_with_other_garbage_in_its_memory_gives_the_same() -> None:
    """MALLOC_PERTURB_ fills fresh memory: a result that reads memory nobody wrote would change."""
    program = (
        "import sys, json; from tests.tts.test_espeak import digests;"
        "print(json.dumps(digests(json.loads(sys.argv[1]))))"
    )
    order = list(range(len(TEXTS) * len(VOICES)))[::-1]
    ran = subprocess.run(
        [sys.executable, "-c", program, json.dumps(order)],
        cwd=ROOT,
        env=os.environ | {"MALLOC_PERTURB_": "165", "LC_ALL": "C"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert json.loads(ran.stdout) == expected()


def test_a_fork_gives_the_same_even_while_the_parent_is_speaking() -> None:
    expected()
    stop = threading.Event()

    def speak() -> None:
        while not stop.is_set():
            engine().synthesize(TEXTS[0], VOICES[1], 0)

    speaker = threading.Thread(target=speak)
    speaker.start()
    try:
        with multiprocessing.get_context("fork").Pool(2) as pool:
            order = list(range(len(TEXTS) * len(VOICES)))
            found = pool.map_async(digests, [order, order[::-1]]).get(timeout=60)
    finally:
        stop.set()
        speaker.join()
    assert found == [expected()] * 2


def test_threads_do_not_disturb_each_other() -> None:
    order = list(range(len(TEXTS) * len(VOICES)))
    with ThreadPoolExecutor(4) as pool:
        for found in pool.map(digests, [order, order[::-1], order[::2] + order[1::2], order]):
            assert found == expected()


def test_the_seed_and_each_setting_of_a_voice_matter() -> None:
    base = {"variant": "f2", "pitch": 40, "range": 40, "rate_wpm": 170}
    changes = ({}, {"variant": "f3"}, {"pitch": 60}, {"range": 70}, {"rate_wpm": 190}, {"base": "gmw/en"})
    heard = {digest(engine().synthesize(TEXTS[0], voice(**(base | change)), 1)) for change in changes}
    heard.add(digest(engine().synthesize(TEXTS[0], voice(**base), 2)))
    assert len(heard) == len(changes) + 1


def test_putting_memory_back_equals_loading_again() -> None:
    """The two ways of forgetting, in place and by a temporary file, agree; the file goes with the library."""
    paths = Path(espeakng_loader.get_library_path()), Path(espeakng_loader.get_data_path())
    in_place, reloaded = Library(*paths, in_place=True), Library(*paths, in_place=False)
    for style in (Style("gmw/en-US", "f2", 30, 60, 160), Style("roa/es", "", 50, 50, 175)):
        for text in TEXTS:
            left, right = (library.speak(text, style, 7, NATIVE_RATE * 60) for library in (in_place, reloaded))
            assert np.array_equal(left[0], right[0])
            assert left[1] == right[1]
    copy = reloaded._copies[os.getpid()]._library
    path = Path(copy._path)
    assert path.is_file()
    del copy, reloaded
    assert not path.exists()


def test_memory_stays_flat() -> None:
    def resident() -> int:
        return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGESIZE")

    if not Path("/proc/self/statm").exists():
        pytest.skip("/proc/self/statm does not exist here")
    for n in range(50):
        engine().synthesize(TEXTS[n % 3], VOICES[n % 4], n)
    before = resident()
    for n in range(300):
        engine().synthesize(TEXTS[1], VOICES[n % 4], n)
    assert resident() - before < 300 * 4096


# --- words and samples -----------------------------------------------------------------------------------------------


def check(text: str, speech: Speech) -> None:
    """What holds for every result."""
    assert [word.text for word in speech.words] == text.split()
    borders = [0, *(time for word in speech.words for time in (word.start, word.end)), len(speech.pcm)]
    assert borders == sorted(borders)
    assert speech.pcm.dtype == np.int16
    assert speech.pcm.ndim == 1
    assert 0 < np.abs(speech.pcm.astype(int)).max() < 32_700


ODD = st.one_of(
    st.text(max_size=60),
    st.text(alphabet="abe .,!?;:'\"<>[](){}_*&@%#\0\t\n…“”‘’–—019$é", max_size=60),
    st.lists(
        st.sampled_from(
            [
                "<break",
                'time="9s"/>',
                "[[h@l'oU]]",
                "</speak>",
                "..",
                "a..b",
                "U.S.A.",
                "1999",
                "👍",
                "-",
                "don't",
                "x" * 90,
            ]
        ),
        max_size=8,
    ).map(" ".join),
)


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
        assert speech.words[0].start <= 80  # 5 ms
        assert 0 < len(speech.pcm) - speech.words[-1].end <= 482  # 30 ms
        quiet = int(np.abs(speech.pcm[-16:].astype(int)).max())
        assert quiet <= 0.05 * int(np.abs(speech.pcm.astype(int)).max())


def test_word_times_are_where_the_sound_is() -> None:
    """Commas make silence; the words around it must not reach into it."""
    text = "Monday, Tuesday, Wednesday, Thursday."
    speech = engine().synthesize(text, voice(), 0)
    signal = np.abs(speech.pcm.astype(float))
    assert not any(word.estimated for word in speech.words)
    for left, right in pairwise(speech.words):
        assert right.start - left.end > 800
        assert signal[left.end + 400 : right.start].max() < 0.05 * signal.max()
    for word in speech.words:
        assert signal[word.start : word.end].max() > 0.2 * signal.max()


def test_words_that_are_run_together_share_their_time() -> None:
    words = engine().synthesize("Look at the man in the moon now.", voice(), 0).words
    assert [w.text for w in words if w.estimated] == ["in", "the"]
    assert all(w.end > w.start for w in words)


def test_nearly_all_words_of_real_dialogue_have_times_of_their_own() -> None:
    found = json.loads((samples() / "dialogues" / "topical_chat" / "test_freq.json").read_text())
    texts = [" ".join(turn["message"].split()) for talk in found.values() for turn in talk["content"]][:1500:25]
    words = [word for text in texts for word in engine().synthesize(text, voice(), 0).words]
    assert np.mean([not word.estimated for word in words]) > 0.9


# --- text ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "read"),
    [
        ("Yeah.. right", "Yeah... right"),
        ("one\0two", "one two"),
        ("“It’s” ‘fine’", "It's fine"),
        ("<b>bold</b> [x] a<b", "bold x a b"),
        ("hello - there *** you", "hello, there you"),
        ("yes—no --- ok", "yes, no, ok"),
        ("what?!?! no!!", "what?!?! no!"),
        ("R&D is 50% at 20°C", "R&D is 50% at 20°C"),
        ("ﬁne ｗｉｄｅ", "fine wide"),
        ("*** --- …", ""),
    ],
)
def test_what_is_read(text: str, read: str) -> None:
    assert prepare(text.split()).text == read


@given(ODD)
def test_each_word_that_is_read_has_its_own_place(text: str) -> None:
    reading = prepare(text.split())
    assert list(reading.indices) == sorted(set(reading.indices))
    assert len(reading.ends) == len(reading.indices)
    starts = [0, *(end + 1 for end in reading.ends[:-1])]
    assert [reading.word_at(start) for start in starts[: len(reading.ends)]] == list(reading.indices)
    assert "\0" not in reading.text
    assert "<" not in reading.text


@pytest.mark.parametrize("text", ["", " ", "***", "\0", "👍 - …"])
def test_nothing_to_say_is_refused_with_the_text(text: str) -> None:
    with pytest.raises(ValueError, match="nothing espeak-ng can say"):
        engine().synthesize(text, voice(), 0)


def test_endless_speech_is_stopped() -> None:
    with pytest.raises(ValueError, match="max_seconds=2"):
        make(Config(kind="espeak", max_seconds=2)).synthesize("again and " * 400, voice(), 0)
    assert digest(engine().synthesize(TEXTS[0], VOICES[0], 0)) == expected()["0"]


# --- voices ----------------------------------------------------------------------------------------------------------


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
