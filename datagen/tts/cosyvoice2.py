"""CosyVoice2: cloned voices of a 0.5 B language model and a flow decoder, from a pinned checkout, best on a GPU.

The checkout is no package (the one of that name in the registry holds no model); it runs in a process of its own, under
another interpreter if need be, and is replaced when it hangs, dies or breaks its GPU. A voice speaks with the first of
its prompts: 3 to 10 s, ending in a little silence; whoever wants another one puts it first. One text is one segment:
up to about 60 tokens speak well. The same text, prompt and seed give the same audio on a CPU, and usually on a GPU.

Set up: ``git clone --recursive``, ``git checkout`` of ``commit``, the weights, and ``pip install
'duplexkit[cosyvoice]'`` (see ``needs``). COSYVOICE_HOME, COSYVOICE_MODEL and COSYVOICE_PYTHON stand in for ``home``,
``model`` and ``python``. CUDA_VISIBLE_DEVICES says which GPU.
"""

from __future__ import annotations

import hashlib
import os
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar, Literal

import soundfile
import soxr
from pydantic import Field

from datagen.core.audio import to_pcm16
from datagen.core.types import Prompt, Voice
from datagen.core.units import SAMPLE_RATE
from datagen.kinds import KindConfig, Need, Speech
from datagen.tts import _cosyvoice_needs as needed
from datagen.tts._clip import speakable
from datagen.tts._cosyvoice_process import Plan, Speaker
from datagen.tts._prompts import MIN_RATE, prompt_of

RESOURCES = {"GPU": 1}
MIN_PROMPT_S, MAX_PROMPT_S = 1.0, 30.0
"""The speech tokenizer takes no more than 30 s; 3 to 10 s work best."""
_ENDINGS, _CLOSERS = ".!?…。！？,;:，；：、-–—~", "\"'”’)]»"
_WIDE = ("\u3040", "\u9fff")
"""First and last of the kana and the Chinese characters, whose full stop is another."""


class Config(KindConfig):
    """Where CosyVoice2 is, which one it is, and limits."""

    aside: ClassVar[frozenset[str]] = frozenset(
        {"home", "model", "python", "timeout_s", "start_timeout_s", "start_attempts", "recycle_after", "voices_cached"}
    )

    kind: Literal["cosyvoice2"]
    home: str | None = None
    """The checkout, with its submodule; None: the environment variable COSYVOICE_HOME."""
    model: str | None = None
    """The folder of the weights; None: the environment variable COSYVOICE_MODEL."""
    python: str | None = None
    """The interpreter that has the checkout's packages; None: COSYVOICE_PYTHON, or this one."""
    commit: str = Field(default="ace7c47", pattern=r"^[0-9a-f]{7,40}$")
    """Of the checkout, or its beginning; any other is refused."""
    model_revision: str = Field(default="CosyVoice2-0.5B", min_length=1)
    """Name or commit of the weights, as you declare it: nothing in them tells."""
    fp16: bool = False
    """16-bit autocast; needs a GPU, as the next two. Measured elsewhere as slower than float32."""
    load_trt: bool = False
    """TensorRT for the flow decoder. Its plan is built into the model folder at the first start: start one worker
    alone first."""
    load_jit: bool = False
    """TorchScript for the flow encoder."""
    timeout_s: float = Field(default=120, gt=0)
    """Wall-clock limit of one utterance; past it the process is replaced."""
    start_timeout_s: float = Field(default=600, gt=0)
    """Limit of importing and loading."""
    start_attempts: int = Field(default=3, ge=1)
    """How often a process that dies at its start is started again."""
    recycle_after: int = Field(default=2000, ge=1)
    """Utterances of one process: its memory grows slowly."""
    voices_cached: int = Field(default=64, ge=1)
    """Prompts kept on the GPU; the least recently used one goes first."""

    @property
    def flags(self) -> list[str]:
        """The constructor's flags that are on."""
        return [name for name in ("fp16", "load_trt", "load_jit") if getattr(self, name)]


class CosyVoice2:
    """The engine (see ``datagen.kinds.Engine``); its process starts at the first utterance. Safe in threads."""

    def __init__(self, config: Config) -> None:
        self._config = config
        self._lock = threading.Lock()
        self._speaker: Speaker | None = None
        self._checked: set[tuple[str, str, str]] = set()

    def synthesize(self, text: str, voice: Voice, seed: int) -> Speech:
        """The text in the voice of its first prompt, without word times.

        Raises ValueError for a text that says nothing or a prompt that cannot be used, Unspoken when the model fails,
        OSError when there is no working installation.
        """
        spoken = _sentence(text)
        prompt = prompt_of(voice)
        self._check(voice, prompt)
        request = {
            "text": spoken,
            "prompt_text": _sentence(prompt.text),
            "prompt_path": os.path.abspath(prompt.path),
            "prompt_key": prompt.sha256,
            "seed": seed,
        }
        rate, samples = self._running().say(request)
        pcm, _ = to_pcm16(soxr.resample(samples, rate, SAMPLE_RATE, quality="HQ"))
        return Speech(pcm, None)

    def check_voice(self, voice: Voice) -> None:
        """Raise ValueError unless the voice has prompts and each is a readable recording of 1 to 30 s at 16 kHz or
        more, is the one its sha256 says, and has a transcript."""
        prompt_of(voice)
        for prompt in voice.prompts:
            self._check(voice, prompt)

    def close(self) -> None:
        """Ends the process; a further utterance starts another."""
        if self._speaker is not None:
            self._speaker.close()

    @property
    def pid(self) -> int | None:
        """The process that speaks, while there is one."""
        return self._speaker.pid if self._speaker else None

    def _running(self) -> Speaker:
        """What speaks; OSError names what is missing for it."""
        with self._lock:
            if self._speaker is None:
                missing = [need for need in _files(self._config) if not need.found]
                if missing:
                    raise OSError(f"cosyvoice2: {missing[0].name} is missing: {missing[0].remedy}")
                self._speaker = Speaker(_plan(self._config))
            return self._speaker

    def _check(self, voice: Voice, prompt: Prompt) -> None:
        """Raise ValueError for a prompt that cannot be used; each is looked at once."""
        if (prompt.path, prompt.sha256, prompt.text) in self._checked:
            return
        fault = _fault(prompt)
        if fault:
            raise ValueError(f"voice {voice.id}: prompt {prompt.path}: {fault}")
        self._checked.add((prompt.path, prompt.sha256, prompt.text))


def make(config: Config) -> CosyVoice2:
    """The engine; looks at nothing yet, so that recipes can be read where it is not installed."""
    return CosyVoice2(config)


def revision(config: Config) -> str:
    """Commit of the code and declared revision of the weights."""
    return f"{config.commit}/{config.model_revision}"


def needs(config: Config) -> Iterator[Need]:
    """Everything the engine needs on the machine it speaks on."""
    yield from _files(config)
    python = _python(config)
    yield from needed.packages(python, is_this_one=python == sys.executable)
    yield needed.gpu()


def _files(config: Config) -> Iterator[Need]:
    return needed.files(
        _place(config.home, "COSYVOICE_HOME"), config.commit, _place(config.model, "COSYVOICE_MODEL"), config.flags
    )


def _plan(config: Config) -> Plan:
    settings = {
        "home": _place(config.home, "COSYVOICE_HOME"),
        "model": _place(config.model, "COSYVOICE_MODEL"),
        "options": config.flags,
        "voices": config.voices_cached,
    }
    return Plan(
        python=_python(config),
        settings=settings,
        timeout_s=config.timeout_s,
        start_timeout_s=config.start_timeout_s,
        start_attempts=config.start_attempts,
        recycle_after=config.recycle_after,
    )


def _place(given: str | None, variable: str) -> str | None:
    """A configured path, or the variable's; absolute."""
    path = given or os.environ.get(variable)
    return os.path.abspath(os.path.expanduser(path)) if path else None


def _python(config: Config) -> str:
    return _place(config.python, "COSYVOICE_PYTHON") or sys.executable


def _fault(prompt: Prompt) -> str:
    """Why a prompt cannot be used, with the remedy; empty when it can."""
    try:
        content = Path(prompt.path).read_bytes()
        info = soundfile.info(prompt.path)
        _sentence(prompt.text)
    except (OSError, soundfile.SoundFileError) as error:
        return f"cannot be read: {' '.join(str(error).split())}; check the manifest of the voices"
    except ValueError as error:
        return f"its transcript: {error}"
    if hashlib.sha256(content).hexdigest() != prompt.sha256:
        return "is not the recording of the manifest (its sha256 differs); write the manifest again"
    if info.samplerate < MIN_RATE:
        return f"has {info.samplerate} Hz; give a recording of {MIN_RATE} Hz or more"
    if not MIN_PROMPT_S <= info.frames / info.samplerate <= MAX_PROMPT_S:
        return (
            f"lasts {info.frames / info.samplerate:.2f} s; give {MIN_PROMPT_S:g} to {MAX_PROMPT_S:g} s, best 3 to 10 s"
        )
    return ""


def _sentence(text: str) -> str:
    """The text on one line and with punctuation at its end, which the model needs in order to stop.

    ValueError when there is nothing to say in it, or when it holds the model's own control tokens.
    """
    speakable(text)
    line = " ".join(text.split())
    if "<|" in line or "|>" in line:
        raise ValueError(f"text {text[:40]!r} holds a control token of the model, <|...|>; remove it")
    last = line.rstrip(_CLOSERS)[-1:]
    if last in _ENDINGS:
        return line
    return line + ("。" if _WIDE[0] <= last <= _WIDE[1] else ".")
