"""A speech server in a process of its own that speaks like speech and fails like the known servers, at a known rate.

    with running(share=0.1, seed=0) as server:
        ...  # engines with url=server.url: cosyvoice_http, or openai_speech with either form
        server.counts()  # {"good": 1830, "cut": 9, "odd": 12, ...}

Which request fails, and how, depends on the text and on how often it was asked for, not on the order of requests: the
same texts give the same counts, and a repeat is a new draw, as with servers that take no seed.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import threading
import urllib.request
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from datagen.core.rng import stream
from tests.helpers import ROOT
from tests.tts.speech_server import RATE, Asked, Reply, SpeechServer, wav

Signal = npt.NDArray[np.float32]

TRANSPORT = ("cut", "empty", "odd", "short", "html", "error", "busy", "reset", "reset_inside", "hang")
"""Faults of an answer, which the engines see."""
SOUND = ("silent", "long", "pause", "noise", "half")
"""Faults of a clip, which an acceptance test must find: nothing in it, far too long for its text, two seconds of
silence inside, clipped noise, only half of the words."""
FLOAT_ONLY = ("nan",)
"""What 16-bit samples cannot hold."""
WORD_S, GAP_S = 0.34, 0.06
"""A word with the gap after it: 150 words per minute."""
SILENCE = 10 ** (-60 / 20)
"""RMS between words."""


def faults(is_float: bool) -> tuple[str, ...]:
    """The kinds of fault that an answer of 16-bit or of float samples can have."""
    return TRANSPORT + SOUND + (FLOAT_ONLY if is_float else ())


def speech_like(text: str, rng: np.random.Generator) -> Signal:
    """Mono samples at RATE: a burst per word, voiced with a moving pitch and a hiss at its start, over faint noise.

    0.4 s per word, 0.15 s of near-silence before and after.
    """
    t = np.arange(round(WORD_S * RATE), dtype=np.float32) / np.float32(RATE)
    envelope, onset = np.sqrt(np.sin(np.pi * t / t[-1]).clip(0)), np.exp(-t / 0.03)
    edge, gap = (np.zeros(round(seconds * RATE), np.float32) for seconds in (0.15, GAP_S))
    pitch = rng.uniform(90, 220)
    pieces = [edge]
    for _ in range(max(len(text.split()), 1)):
        cycles = pitch * (t + 0.02 * np.sin(2 * np.pi * rng.uniform(2, 5) * t))
        hiss = rng.standard_normal(t.size, np.float32) * onset
        pieces += [0.15 * envelope * (2 * (cycles % 1) - 1 + hiss), gap]
    signal = np.concatenate([*pieces, edge])
    return (signal + SILENCE * rng.standard_normal(signal.size, np.float32)).astype(np.float32)


def spoiled(signal: Signal, fault: str, rng: np.random.Generator) -> Signal:
    """The clip with one of the faults of SOUND or FLOAT_ONLY, or with those of TRANSPORT that are lengths."""
    middle = signal.size // 2
    match fault:
        case "silent":
            return np.zeros_like(signal)
        case "long":
            return np.tile(signal, 6)
        case "pause":
            return np.concatenate([signal[:middle], np.zeros(2 * RATE, np.float32), signal[middle:]])
        case "noise":
            return np.clip(rng.normal(size=signal.size) * 4, -1, 1).astype(np.float32)
        case "half":
            return signal[:middle]
        case "short":
            return signal[: round(0.03 * RATE)]
        case "nan":
            holed = signal.copy()
            holed[middle] = np.nan
            return holed
        case _:
            return signal


def reply(signal: Signal, fault: str, is_float: bool) -> Reply:
    """An answer that carries the clip, or fails to."""
    if fault == "reset":
        return Reply(how="reset")
    if fault == "hang":
        return Reply(how="hang")
    if fault == "error":
        return Reply(b'{"detail": "Kernel size can\'t be greater than actual input size"}', 500)
    if fault == "busy":
        return Reply(b"try later", 503, {"Retry-After": "0"})
    if fault == "html":
        return Reply(b"<html>" + b"bad gateway " * 500 + b"</html>", headers={"Content-Type": "text/html"})
    samples = np.round(np.clip(signal, -1, 1) * 32_767) if not is_float else signal
    body = wav(samples, subtype="FLOAT") if is_float else samples.astype("<i2").tobytes()
    if fault == "empty":
        return Reply(how="chunked")
    if fault == "odd":
        return Reply(body[:-1], how="chunked")
    if fault == "cut":
        return Reply(body, how="cut_chunk")
    return Reply(body, how="reset_inside" if fault == "reset_inside" else "chunked")


class Speaker:
    """Decides and counts; ``share`` of the answers are faulty, each kind of fault as often as any other."""

    def __init__(self, share: float, seed: int) -> None:
        self._share, self._seed = share, seed
        self._asked: Counter[str] = Counter()
        self._counts: Counter[str] = Counter()
        self._lock = threading.Lock()

    def behave(self, asked: Asked) -> Reply:
        """Answers either protocol."""
        is_json = asked.headers.get("content-type", "").startswith("application/json")
        fields: dict[str, Any] = asked.json() if is_json else asked.fields()
        is_float = asked.path.endswith("/audio/speech")
        text = fields["input"] if is_float else fields["tts_text"]
        with self._lock:
            self._asked[text] += 1
            rng = stream(self._seed, text, f"draw/{self._asked[text]}")
            kinds = faults(is_float)
            fault = kinds[rng.integers(len(kinds))] if rng.random() < self._share else "good"
            self._counts[fault] += 1
        return reply(spoiled(speech_like(text, rng), fault, rng), fault, is_float)

    def counts(self) -> dict[str, int]:
        """Answers so far, good ones and each kind of fault."""
        with self._lock:
            return dict(sorted(self._counts.items()))


class _Server(SpeechServer):
    """Tells its counts by GET, and keeps no bodies."""

    def __init__(self, speaker: Speaker) -> None:
        super().__init__(speaker.behave)
        self.told = lambda: Reply(json.dumps(speaker.counts()).encode(), headers={"Content-Type": "application/json"})
        self.keep = False


@dataclass(frozen=True)
class Running:
    """A server in another process."""

    url: str

    def counts(self) -> dict[str, int]:
        """See Speaker.counts. An answer is counted before it is sent."""
        with urllib.request.urlopen(f"{self.url}/counts", timeout=10) as response:
            return json.loads(response.read())


@contextmanager
def running(share: float = 0.1, seed: int = 0) -> Iterator[Running]:
    """A server process, which ends with the block. Engines need a short ``timeout_s``: some answers never come."""
    command = [sys.executable, "-m", "tests.benchmarks.speaking", "--share", str(share), "--seed", str(seed)]
    process = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdin is not None
    try:
        yield Running(process.stdout.readline().strip())
    finally:
        process.kill()
        process.wait()
        process.stdin.close()
        process.stdout.close()


def main() -> None:
    """Serves until standard input closes, so that no server outlives who started it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--share", type=float, default=0.1)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    server = _Server(Speaker(given.share, given.seed))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    print(server.url, flush=True)
    sys.stdin.read()


if __name__ == "__main__":
    main()
