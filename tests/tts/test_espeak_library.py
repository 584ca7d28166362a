"""Laws of forgetting: the same input gives the same bytes, whatever was said before, wherever, in any order."""

from __future__ import annotations

import json
import multiprocessing
import os
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from datagen.tts._espeak_library import NATIVE_RATE, Library, Style
from tests.helpers import ROOT
from tests.tts.speaking import TEXTS, VOICES, digest, digests, engine, expected, voice

espeakng_loader = pytest.importorskip("espeakng_loader")


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
        "import sys, json; from tests.tts.speaking import digests;print(json.dumps(digests(json.loads(sys.argv[1]))))"
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
