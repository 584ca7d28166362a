"""The model of a checkout, loaded and checked, speaking one utterance at a time: runs in the CosyVoice process.

Standard library at import, numpy and the checkout's packages inside the functions, Python 3.9 or newer.
"""

from __future__ import annotations

import importlib
import inspect
import os
import sys
import threading
import traceback
from collections.abc import Sequence
from functools import partial
from types import ModuleType
from typing import Any

from datagen.tts import _cosyvoice_compat as compat
from datagen.tts._cosyvoice_speakers import Speakers

TOKENS_PER_SECOND = 25
"""Speech tokens of CosyVoice2; one is the least that is speech."""
PROMPT_RATE = 16_000
"""Of the samples that versions before December 2025 take in place of a path."""
PER_UTTERANCE = ("tts_speech_token_dict", "llm_end_dict", "mel_overlap_dict", "flow_cache_dict", "hift_cache_dict")
"""Where the model keeps what belongs to one utterance; an exception leaves it there for ever."""
MAX_LINE = 300


class Refused(Exception):
    """The installation cannot be used as it is. One line: what is wrong and the remedy."""


class Failed(Exception):
    """An utterance failed. One line."""


class Model:
    """A loaded CosyVoice2. Not safe in threads: one call at a time."""

    def __init__(self, tts: Any, seed_everything: Any, voices: int, notes: dict[str, Any]) -> None:
        self.rate, self.notes = int(tts.sample_rate), notes
        self._tts, self._seed = tts, seed_everything
        self._takes_path = _takes_path(tts)
        self._speakers = Speakers(tts, voices)
        self._deaths: list[str] = []
        threading.excepthook = self._thread_died

    def say(self, text: str, prompt_text: str, prompt_path: str, prompt_key: str, seed: int) -> Any:
        """float32 samples [n] at ``rate``. Raises Failed, or whatever the model raises."""
        self._deaths.clear()
        try:
            who = self._speakers.id_of(prompt_key, prompt_text, partial(self._prompt, prompt_path))
            self._seed(seed % 2**32)
            options = {"zero_shot_spk_id": who, "stream": False, "speed": 1.0, "text_frontend": False}
            parts = [
                compat.array(part["tts_speech"]) for part in self._tts.inference_zero_shot(text, "", "", **options)
            ]
        except Exception as error:
            if self._deaths:  # what the caller sees is then only a consequence
                raise Failed(self._deaths[0]) from error
            raise
        finally:
            self._tidy()
        if self._deaths:
            raise Failed(self._deaths[0])
        return self._checked(parts)

    def _prompt(self, path: str) -> Any:
        return path if self._takes_path else compat.load_wav(path, PROMPT_RATE)

    def _thread_died(self, args: Any) -> None:
        """The language model runs in a thread; when it dies, the caller gets 40 ms of audio and no exception."""
        traceback.print_exception(args.exc_type, args.exc_value, args.exc_traceback)
        self._deaths.append(f"a thread of the model died: {one_line(args.exc_value or args.exc_type())}")

    def _tidy(self) -> None:
        for name in PER_UTTERANCE:
            kept = getattr(self._tts.model, name, None)
            if isinstance(kept, dict):
                kept.clear()

    def _checked(self, parts: Sequence[Any]) -> Any:
        """The parts, joined; Failed unless they are one channel of finite samples, a token or longer."""
        import numpy as np

        shapes = [part.shape for part in parts]
        if any(len(shape) != 2 or shape[0] != 1 for shape in shapes):
            raise Failed(f"the model gave audio of the shapes {shapes}, not [1, samples]")
        samples = np.concatenate([part[0] for part in parts]) if parts else np.zeros(0, np.float32)
        if samples.size < self.rate // TOKENS_PER_SECOND:
            raise Failed(f"the model gave {samples.size} samples, less than one speech token")
        if not np.isfinite(samples).all():
            raise Failed("the model gave samples that are not finite")
        return samples


def load(home: str, model: str, options: Sequence[str], voices: int) -> Model:
    """Imports the checkout, patches it where the stack needs it, loads the weights and checks that it decodes right.

    ``options`` are the names of constructor flags to set, ``voices`` how many prompts to keep. Raises Refused, or what
    importing or loading raises.
    """
    sys.path[:0] = [home, os.path.join(home, "third_party", "Matcha-TTS")]
    module = importlib.import_module("cosyvoice.cli.cosyvoice")
    _must_lie_under(home, module)
    encoders = importlib.import_module("cosyvoice.llm.llm")
    if not hasattr(getattr(encoders, "Qwen2Encoder", None), "forward_one_step"):
        raise Refused("cosyvoice.llm.llm has no Qwen2Encoder.forward_one_step to check; use the pinned commit")
    soundfile = compat.read_prompts_with_soundfile(importlib.import_module("cosyvoice.cli.frontend"))
    compat.load_in_float32(encoders.Qwen2Encoder)
    _must_have_a_gpu_for(options)
    tts = module.CosyVoice2(model, **dict.fromkeys(options, True))
    _must_lie_under(home, sys.modules.get("matcha"))
    encoder = tts.model.llm.llm
    gaps = compat.made_to_decode(encoder)
    if not compat.decodes(gaps, encoder):
        raise Refused(
            f"decoding with the cache differs from decoding without by {list(gaps.values())[-1]:.2g} of the signal, so "
            "speech would be garbage; install transformers==4.51.3"
        )
    notes = {"gaps": gaps, "prompts_read_with_soundfile": soundfile}
    return Model(tts, importlib.import_module("cosyvoice.utils.common").set_all_random_seed, voices, notes)


def one_line(error: BaseException) -> str:
    """An error on one line: its text, behind its type unless it was made here."""
    text = " ".join(str(error).split())
    if isinstance(error, (Refused, Failed)):
        return text[:MAX_LINE]
    return (f"{type(error).__name__}: {text}" if text else type(error).__name__)[:MAX_LINE]


def is_broken(error: BaseException) -> bool:
    """Whether the process cannot be trusted after the error: a GPU that failed keeps failing, memory stays full."""
    text = str(error).lower()
    return isinstance(error, MemoryError) or any(w in text for w in ("cuda", "cudnn", "cublas", "out of memory"))


def _takes_path(tts: Any) -> bool:
    """Whether prompts are given as paths (from December 2025 on) or as samples."""
    names = list(inspect.signature(tts.inference_zero_shot).parameters)
    if "prompt_wav" in names:
        return True
    if "prompt_speech_16k" in names:
        return False
    raise Refused(f"inference_zero_shot takes {', '.join(names)}: no prompt this knows; use the pinned commit")


def _must_lie_under(home: str, module: ModuleType | None) -> None:
    """Other packages install modules of the same names."""
    file = getattr(module, "__file__", None)
    if module is None or file is None:
        return
    root = os.path.realpath(home)
    if os.path.commonpath([root, os.path.realpath(file)]) != root:
        raise Refused(
            f"{module.__name__} was imported from {file}, not from the checkout {home}; complete the checkout "
            "(git submodule update --init --recursive) or uninstall that package"
        )


def _must_have_a_gpu_for(options: Sequence[str]) -> None:
    """Without a GPU the class only warns and goes on without the flags, and the audio is not what the recipe says."""
    torch = sys.modules.get("torch")
    if options and not (torch is not None and torch.cuda.is_available()):
        raise Refused(f"{', '.join(options)}: needs a CUDA GPU and none can be seen; switch it off")
