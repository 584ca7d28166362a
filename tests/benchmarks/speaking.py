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

from datagen.core.rng import stream
from tests.benchmarks.bursts import SOUND, Signal, drawn_fault, speech_like, spoiled
from tests.helpers import ROOT
from tests.tts.speech_server import Asked, Reply, SpeechServer, wav

TRANSPORT = ("cut", "empty", "odd", "short", "html", "error", "busy", "reset", "reset_inside", "hang")
"""Faults of an answer, which the engines see."""
FLOAT_ONLY = ("nan",)
"""What 16-bit samples cannot hold."""


def faults(is_float: bool) -> tuple[str, ...]:
    """The kinds of fault that an answer of 16-bit or of float samples can have."""
    return TRANSPORT + SOUND + (FLOAT_ONLY if is_float else ())


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
            fault = drawn_fault(text, self._share, faults(is_float), rng)
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
