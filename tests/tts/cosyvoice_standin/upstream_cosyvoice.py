"""Stands in for ``cosyvoice.cli.cosyvoice``: the class, and the faults that words in a text ask for.

raise, illegal (a GPU error), late (the thread of the language model dies after a token: 40 ms of audio and no
exception), early (it dies before the first: another exception follows), nothing (no audio at all), broken (not a
number), short (10 ms), stereo, hang, die (the process ends), kill (it is killed), spawn (as hang, with a child of its
own), print (to standard output).

With the option ``faulty``, a share, the seed alone decides what goes wrong, whatever the text, and the sound is that of
``bursts``.
"""

from __future__ import annotations

import importlib
import json
import logging
import os
import signal
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

logging.basicConfig(level=logging.DEBUG)
HOME = Path(__file__).parents[2]
OPTIONS = json.loads((HOME / "standin.json").read_text())
BURSTS = importlib.import_module("cosyvoice.utils.bursts")
importlib.import_module("matcha")


class Model:
    """The part behind the frontend: a thread draws tokens, then they become sound. One entry per utterance in dicts,
    which an exception leaves there."""

    def __init__(self, model_dir: str) -> None:
        self.llm = importlib.import_module("cosyvoice.llm.llm").Qwen2LM(f"{model_dir}/CosyVoice-BlankEN")
        self.tts_speech_token_dict: dict[str, list[int]] = {}
        self.llm_end_dict: dict[str, bool] = {}
        self.hift_cache_dict: dict[str, Any] = {}

    def tts(self, text: str, features: dict[str, Any], trouble: str) -> Iterator[dict[str, Any]]:
        name = str(uuid.uuid4())
        self.tts_speech_token_dict[name], self.llm_end_dict[name], self.hift_cache_dict[name] = [], False, None
        thread = threading.Thread(target=self._tokens, args=(text, name, trouble))
        thread.start()
        thread.join()
        wave = self._wave(text, self.tts_speech_token_dict[name], features, trouble)
        yield {"tts_speech": Tensor(_damaged(wave, trouble))}
        for kept in (self.tts_speech_token_dict, self.llm_end_dict, self.hift_cache_dict):
            kept.pop(name)

    def _tokens(self, text: str, name: str, trouble: str) -> None:
        for token in self.llm.inference(text):
            if "early" in trouble:
                raise RuntimeError("mat1 and mat2 must have the same dtype")
            self.tts_speech_token_dict[name].append(token)
            if "late" in trouble:
                raise TypeError("'DynamicCache' object is not subscriptable")
        self.llm_end_dict[name] = True

    def _wave(self, text: str, tokens: list[int], features: dict[str, Any], trouble: str) -> Any:
        if not tokens:
            raise RuntimeError("Kernel size can't be greater than actual input size")
        if "illegal" in trouble:
            raise RuntimeError("CUDA error: an illegal memory access was encountered")
        if "faulty" in OPTIONS:
            wave = _bursts(text, trouble)
            return wave[:, :960] if trouble == "late" else wave
        frequency = np.repeat(np.array(tokens) / 6561 + features["embedding"], 960)
        loudness = 0.1 + features["speech_feat"] + features["prompt_text"].mean() / 1000
        return (loudness * np.sin(np.cumsum(frequency))).astype(np.float32)[None]


class Tensor:
    """A tensor on another device: an array only after ``cpu``."""

    def __init__(self, array: Any) -> None:
        self._array = array

    def detach(self) -> Tensor:
        return self

    def cpu(self) -> Any:
        return self._array


class Base:
    """What both versions of the API share."""

    sample_rate = 24_000
    takes_path = True

    def __init__(
        self,
        model_dir: str,
        load_jit: bool = False,
        load_trt: bool = False,
        load_vllm: bool = False,
        fp16: bool = False,
        trt_concurrent: int = 1,
    ) -> None:
        _begin()
        self.frontend = importlib.import_module("cosyvoice.cli.frontend").CosyVoiceFrontEnd(self.takes_path)
        self.model = Model(model_dir)

    def _add(self, prompt_text: str, prompt: Any, zero_shot_spk_id: str) -> bool:
        assert zero_shot_spk_id != "", "do not use empty zero_shot_spk_id"
        _write({"added": prompt_text})
        self.frontend.spk2info[zero_shot_spk_id] = self.frontend.frontend_zero_shot(prompt_text, prompt)
        return True

    def _say(
        self, text: str, prompt_text: str, prompt: Any, spk_id: str, stream: bool, speed: float, text_frontend: bool
    ) -> Iterator[dict[str, Any]]:
        trouble = _trouble(text)
        leaked = len(self.model.tts_speech_token_dict)
        speakers = sorted(self.frontend.spk2info)
        flags: dict[str, Any] = {"stream": stream, "speed": speed, "text_frontend": text_frontend}
        tqdm, threads = os.environ.get("TQDM_DISABLE"), os.environ.get("OMP_NUM_THREADS")
        flags |= {"logs": logging.getLogger().level, "imports_from_here": "" in sys.path}
        _write(
            {
                "said": text,
                "leaked": leaked,
                "speakers": speakers,
                **flags,
                "tqdm": tqdm,
                "threads": threads,
                "trouble": trouble,
            }
        )
        _misbehave(trouble)
        features = self.frontend.spk2info[spk_id] if spk_id else self.frontend.frontend_zero_shot(prompt_text, prompt)
        if "nothing" not in trouble:
            yield from self.model.tts(text, features, trouble)


class WithPath(Base):
    """The API from December 2025 on."""

    def add_zero_shot_spk(self, prompt_text: str, prompt_wav: Any, zero_shot_spk_id: str) -> bool:
        return self._add(prompt_text, prompt_wav, zero_shot_spk_id)

    def inference_zero_shot(
        self,
        tts_text: str,
        prompt_text: str,
        prompt_wav: Any,
        zero_shot_spk_id: str = "",
        stream: bool = False,
        speed: float = 1.0,
        text_frontend: bool = True,
    ) -> Iterator[dict[str, Any]]:
        yield from self._say(tts_text, prompt_text, prompt_wav, zero_shot_spk_id, stream, speed, text_frontend)


class WithTensor(Base):
    """The API before."""

    takes_path = False

    def add_zero_shot_spk(self, prompt_text: str, prompt_speech_16k: Any, zero_shot_spk_id: str) -> bool:
        return self._add(prompt_text, prompt_speech_16k, zero_shot_spk_id)

    def inference_zero_shot(
        self,
        tts_text: str,
        prompt_text: str,
        prompt_speech_16k: Any,
        zero_shot_spk_id: str = "",
        stream: bool = False,
        speed: float = 1.0,
        text_frontend: bool = True,
    ) -> Iterator[dict[str, Any]]:
        yield from self._say(tts_text, prompt_text, prompt_speech_16k, zero_shot_spk_id, stream, speed, text_frontend)


CosyVoice2 = WithTensor if OPTIONS.get("api") == "tensor" else WithPath


def _begin() -> None:
    """The ways a process can fail at its start."""
    start = OPTIONS.get("start", "fine")
    _write({"started": start})
    if start == "crash" or (start == "crash once" and not (HOME / "crashed").exists()):
        (HOME / "crashed").touch()
        print("Fatal: the driver is too old", file=sys.stderr, flush=True)
        os._exit(7)
    if start == "hang":
        time.sleep(60)
    if start == "full":
        raise RuntimeError("CUDA out of memory. Tried to allocate 2 GiB")
    if start == "missing":
        importlib.import_module("hyperpyyaml_of_nobody")


def _trouble(text: str) -> str:
    """The faults of this utterance by name: words of the text, or what the seed draws."""
    if "faulty" not in OPTIONS:
        return text
    return BURSTS.drawn_fault(text, float(OPTIONS["faulty"]), OPTIONS["troubles"], _generator())


def _generator() -> np.random.Generator:
    """Random numbers that depend on the global ones, which the seed has set."""
    return np.random.default_rng(np.random.randint(2**31))  # noqa: NPY002  (global, like the original)


def _bursts(text: str, trouble: str) -> Any:
    """Bursts for words, spoiled where the trouble is one of sound: [1, samples]."""
    rng = _generator()
    clip = BURSTS.speech_like(text, rng)
    return (BURSTS.spoiled(clip, trouble, rng) if trouble in BURSTS.SOUND else clip)[None]


def _damaged(wave: Any, trouble: str) -> Any:
    """Sound as no model should give it, held at the level where the original holds it."""
    if "broken" in trouble:
        wave[0, 5] = np.nan
    if "stereo" in trouble:
        wave = np.repeat(wave, 2, axis=0)
    return np.clip(wave[:, :240] if "short" in trouble else wave, -0.99, 0.99)


def _misbehave(trouble: str) -> None:
    if "raise" in trouble:
        raise RuntimeError("an error\nof two lines")
    if "print" in trouble:
        print("a library prints", flush=True)
        os.write(1, b"and native code too\n" * 1000)
    if "spawn" in trouble:
        _write({"spawned": subprocess.Popen(["sleep", "60"]).pid})
    if "hang" in trouble or "spawn" in trouble:
        time.sleep(60)
    if "die" in trouble:
        os._exit(3)
    if "kill" in trouble:
        os.kill(os.getpid(), signal.SIGKILL)


def _write(line: dict[str, Any]) -> None:
    with Path(OPTIONS["log"]).open("a") as file:
        file.write(json.dumps(line | {"pid": os.getpid()}) + "\n")
