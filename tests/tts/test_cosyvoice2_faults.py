"""The engine that clones with CosyVoice2 when things go wrong: the model fails, hangs, dies, will not start."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
import pytest

from datagen.core.types import Voice
from datagen.kinds import Unspoken
from datagen.tts import _cosyvoice_process
from datagen.tts.cosyvoice2 import CosyVoice2
from tests.helpers import ROOT
from tests.tts.cosyvoice_standin.checkout import config, engine, log, prompt, voice

pytestmark = pytest.mark.slow


@pytest.fixture
def started(tmp_path: Path) -> Iterator[Callable[..., CosyVoice2]]:
    """Makes engines in the test's folder and closes them."""
    made: list[CosyVoice2] = []

    def start(options: dict[str, str] | None = None, **fields: object) -> CosyVoice2:
        made.append(engine(tmp_path, options, **fields))
        return made[-1]

    yield start
    for each in made:
        each.close()


@pytest.fixture
def someone(tmp_path: Path) -> Voice:
    return voice(prompt(tmp_path))


def starts(folder: Path) -> int:
    return sum("started" in line for line in log(folder))


def is_alive(pid: int) -> bool:
    return psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE


def until(condition: Callable[[], bool], seconds: float = 10) -> bool:
    """Waits for a condition; whether it came true."""
    deadline = time.monotonic() + seconds
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.02)
    return condition()


FAILURES = {
    "raise": "an error of two lines",
    "late": "a thread of the model died: TypeError: 'DynamicCache' object is not subscriptable",
    "early": "a thread of the model died: RuntimeError: mat1 and mat2 must have the same dtype",
    "nothing": "0 samples",
    "broken": "not finite",
    "short": "240 samples, less than one speech token",
    "stereo": "(2, ",
}


def test_an_utterance_that_fails_says_why_and_the_process_goes_on(
    started: Callable[..., CosyVoice2], someone: Voice, tmp_path: Path
) -> None:
    speaker = started()
    good = speaker.synthesize("Yes.", someone, 1).pcm.tobytes()
    for word, reason in FAILURES.items():
        with pytest.raises(Unspoken) as caught:
            speaker.synthesize(f"Please {word} now.", someone, 1)
        assert reason in str(caught.value)
        assert "\n" not in str(caught.value)
        assert speaker.synthesize("Yes.", someone, 1).pcm.tobytes() == good
    assert starts(tmp_path) == 1
    assert {line["leaked"] for line in log(tmp_path) if "leaked" in line} == {0}


@pytest.mark.parametrize(
    ("word", "reason"),
    [
        ("die", "ended with code 3"),
        ("kill", "ended with SIGKILL"),
        ("illegal", "CUDA error: an illegal memory access was encountered"),
        ("hang", "took longer than timeout_s=0.5"),
    ],
)
def test_a_process_that_is_lost_is_replaced(
    started: Callable[..., CosyVoice2], someone: Voice, tmp_path: Path, word: str, reason: str
) -> None:
    speaker = started(timeout_s=0.5 if word == "hang" else 20)
    good = speaker.synthesize("Yes.", someone, 1).pcm.tobytes()
    first = speaker.pid
    assert first is not None
    began = time.monotonic()
    with pytest.raises(Unspoken, match=reason):
        speaker.synthesize(f"Please {word} now.", someone, 1)
    assert time.monotonic() - began < 5
    assert not is_alive(first)
    assert speaker.pid is None
    assert speaker.synthesize("Yes.", someone, 1).pcm.tobytes() == good
    assert speaker.pid not in (None, first)
    assert starts(tmp_path) == 2


def test_what_a_hung_process_has_started_ends_with_it(
    started: Callable[..., CosyVoice2], someone: Voice, tmp_path: Path
) -> None:
    with pytest.raises(Unspoken, match="took longer"):
        started(timeout_s=1).synthesize("Please spawn now.", someone, 1)
    spawned = next(line["spawned"] for line in log(tmp_path) if "spawned" in line)
    assert until(lambda: not is_alive(spawned))


def test_losing_every_process_is_the_machine_s_fault(
    started: Callable[..., CosyVoice2], someone: Voice, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_cosyvoice_process, "MAX_LOST", 3)
    speaker = started()
    for _ in range(2):
        with pytest.raises(Unspoken):
            speaker.synthesize("Please die now.", someone, 1)
    speaker.synthesize("Yes.", someone, 1)
    for _ in range(2):
        with pytest.raises(Unspoken):
            speaker.synthesize("Please die now.", someone, 1)
    with pytest.raises(OSError, match=r"3 processes in a row .* ended with code 3"):
        speaker.synthesize("Please die now.", someone, 1)


def test_a_process_is_renewed_after_its_number_of_utterances(
    started: Callable[..., CosyVoice2], someone: Voice, tmp_path: Path
) -> None:
    speaker = started(recycle_after=3)
    takes, pids = [], []
    for _ in range(7):
        takes.append(speaker.synthesize("Yes.", someone, 1).pcm.tobytes())
        pids.append(speaker.pid)
    assert len(set(takes)) == 1
    assert [len(set(pids[at : at + 3])) for at in (0, 3)] == [1, 1]
    assert starts(tmp_path) == len(set(pids)) == 3
    assert not is_alive(pids[0])


def test_what_libraries_print_is_not_taken_for_an_answer(started: Callable[..., CosyVoice2], someone: Voice) -> None:
    assert started().synthesize("Please print now.", someone, 1).pcm.size == 3 * 6 * 640


def test_threads_wait_for_each_other(started: Callable[..., CosyVoice2], someone: Voice) -> None:
    speaker = started()
    texts = [f"Number {n}." for n in range(8)]
    alone = [speaker.synthesize(text, someone, 1).pcm.tobytes() for text in texts]
    with ThreadPoolExecutor(4) as pool:
        assert [s.pcm.tobytes() for s in pool.map(lambda t: speaker.synthesize(t, someone, 1), texts)] == alone


def worker(folder: Path, says: str, then: str) -> subprocess.Popen[str]:
    """Another process that speaks once, and then does something."""
    settings, person = config(folder).model_dump_json(), voice(prompt(folder)).model_dump_json()
    code = (
        f"import sys, time; sys.path.insert(0, {str(ROOT)!r})\n"
        "from datagen.core.types import Voice\nfrom datagen.tts.cosyvoice2 import Config, make\n"
        f"engine = make(Config.model_validate_json({settings!r}))\n"
        f"engine.synthesize({says!r}, Voice.model_validate_json({person!r}), 1)\n{then}"
    )
    return subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.PIPE, text=True)


@pytest.mark.parametrize("says", ["Yes.", "Please hang now."])
def test_the_process_ends_with_its_worker(tmp_path: Path, says: str) -> None:
    """Idle or in the middle of an utterance, even when the worker is killed."""
    at_work = worker(tmp_path, says, "time.sleep(60)")
    try:
        assert until(lambda: any("said" in line for line in log(tmp_path)), 30)
        speaks = log(tmp_path)[-1]["pid"]
        assert is_alive(speaks)
    finally:
        at_work.send_signal(signal.SIGKILL)
        at_work.communicate()
    assert until(lambda: not is_alive(speaks))


def test_a_worker_that_is_done_ends_at_once_and_in_silence(tmp_path: Path) -> None:
    at_work = worker(tmp_path, "Yes.", "")
    _, errors = at_work.communicate(timeout=30)
    assert (at_work.returncode, errors) == (0, "")
    assert until(lambda: not is_alive(log(tmp_path)[-1]["pid"]))


def test_one_bad_start_is_tried_again(started: Callable[..., CosyVoice2], someone: Voice, tmp_path: Path) -> None:
    assert started({"start": "crash once"}).synthesize("Yes.", someone, 1).pcm.size
    assert starts(tmp_path) == 2


@pytest.mark.parametrize(
    ("start", "reason"),
    [
        ("crash", "died 3 times at its start: ended with code 7; its last line: Fatal: the driver is too old"),
        ("full", "died 3 times at its start: RuntimeError: CUDA out of memory"),
    ],
)
def test_a_machine_that_cannot_start_it_is_named(
    started: Callable[..., CosyVoice2], someone: Voice, tmp_path: Path, start: str, reason: str
) -> None:
    with pytest.raises(OSError, match=reason):
        started({"start": start}).synthesize("Yes.", someone, 1)
    assert starts(tmp_path) == 3


def test_a_start_that_hangs_is_given_up(started: Callable[..., CosyVoice2], someone: Voice) -> None:
    with pytest.raises(OSError, match=r"not ready after start_timeout_s=0\.5"):
        started({"start": "hang"}, start_timeout_s=0.5).synthesize("Yes.", someone, 1)


def test_a_refusal_is_final_and_costs_one_start(
    started: Callable[..., CosyVoice2], someone: Voice, tmp_path: Path
) -> None:
    speaker = started({"start": "missing"})
    for _ in range(3):
        with pytest.raises(OSError, match=r"No module named 'hyperpyyaml_of_nobody'.*pip install 'duplexkit\[cosy"):
            speaker.synthesize("Yes.", someone, 1)
    assert starts(tmp_path) == 1
    assert speaker.pid is None


def test_an_interpreter_that_is_not_there_is_the_machine_s_fault(
    started: Callable[..., CosyVoice2], someone: Voice, tmp_path: Path
) -> None:
    with pytest.raises(OSError, match="no-python"):
        started(python=str(tmp_path / "no-python")).synthesize("Yes.", someone, 1)
