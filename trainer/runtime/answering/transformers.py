"""A local language model of the Hugging Face Hub as the slow path: greedy, with the committed words forced.

The prompt is the model's chat template with the words committed appended as they are, so the answer goes on inside the
assistant's own message (MODEL-SPEC section 10). Everything runs in a thread that can be ended between two tokens.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import lru_cache, partial
from importlib.util import find_spec
from typing import Any, ClassVar, Literal, NamedTuple

from pydantic import Field, JsonValue

from datagen.core.types import Turn
from datagen.kinds import Need
from trainer.runtime.answering._base import Pieces, SlowPathError, Waiting, patient, room_after
from trainer.runtime.answering._cleaning import Cleaner
from trainer.runtime.answering._prompting import messages, system_text

INSTALL = "pip install 'duplexkit[train]'"


class Config(Waiting):
    """Which model, and how it answers."""

    aside: ClassVar[frozenset[str]] = frozenset({"device", "first_ms", "between_ms"})

    kind: Literal["transformers"] = "transformers"
    model: str = Field(min_length=1)
    """A folder, or an id on the Hub such as ``Qwen/Qwen2.5-0.5B-Instruct``; it is downloaded when it is not there."""
    revision: str | None = None
    """Commit or tag on the Hub."""
    device: str = "auto"
    """``cpu``, ``cuda:0``, ...; auto = the first GPU, else the CPU."""
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    """auto = as the weights are stored."""
    system: str | None = None
    """None = the model's own, as RelayS2S leaves it."""
    max_output_tokens: int = Field(default=1_024, ge=1, le=2**17)
    """RelayS2S: 1,024 (MODEL-SPEC section 10)."""
    history_turns: int = Field(default=40, ge=0, le=1_000)
    """So many turns before the user's are told."""
    template_options: dict[str, JsonValue] = Field(default_factory=lambda: {"enable_thinking": False})
    """Variables of the chat template; templates ignore those they do not know."""


class Loaded(NamedTuple):
    """A model with its tokenizer, ready."""

    model: Any
    tokenizer: Any


class Local:
    """The slow path (see ``_base.Answerer``). The model is shared by all that name the same one."""

    def __init__(self, config: Config, loaded: Loaded) -> None:
        self._config, self._loaded = config, loaded

    def answer(self, history: Sequence[Turn], user: str, prefix: str, instructions: str = "") -> Pieces:
        """See ``_base.Answerer``."""
        prompt = self.prompt(history, user, prefix, instructions)
        return patient(partial(self._once, prompt), self._config, room_after(prefix))

    async def warm(self) -> None:
        """Nothing: it is ready."""

    async def aclose(self) -> None:
        """Nothing: the model stays for whoever asks next."""

    def prompt(self, history: Sequence[Turn], user: str, prefix: str, instructions: str = "") -> str:
        """The text that the model goes on from."""
        said = system_text(self._config.system, instructions)
        system: list[Any] = [{"role": "system", "content": said}] if said else []
        told = self._loaded.tokenizer.apply_chat_template(
            system + messages(history, user, self._config.history_turns),
            tokenize=False,
            add_generation_prompt=True,
            **self._config.template_options,
        )
        return told + prefix

    async def _once(self, prompt: str) -> Pieces:
        """The answer, from a thread. Leaving ends the thread before its next token."""
        loop = asyncio.get_running_loop()
        said: asyncio.Queue[str | None] = asyncio.Queue()
        left = threading.Event()

        def tell(text: str) -> None:
            with suppress(RuntimeError):  # the loop was closed while the last token was made
                loop.call_soon_threadsafe(said.put_nowait, text)

        cleaner = Cleaner()
        work = loop.run_in_executor(None, self._generate, prompt, tell, left)
        work.add_done_callback(lambda done: done.cancelled() or done.exception() or True)  # asked for, in case we left
        work.add_done_callback(lambda done: said.put_nowait(None))
        try:
            while (text := await said.get()) is not None:
                yield cleaner.push(text)
            await work
            yield cleaner.end()
        except (RuntimeError, ValueError, IndexError) as error:  # out of memory, or more context than the model has
            raise SlowPathError(f"the local model failed: {' '.join(str(error).split())[:300]}") from error
        finally:
            left.set()

    def _generate(self, prompt: str, tell: Callable[[str], None], left: threading.Event) -> None:
        """In the thread: every word as soon as it is whole."""
        import torch

        if left.is_set():
            return
        model, tokenizer = self._loaded
        inputs = tokenizer(prompt, return_tensors="pt", add_special_tokens=False).to(model.device)
        with torch.inference_mode():
            model.generate(
                **inputs,
                max_new_tokens=self._config.max_output_tokens,
                do_sample=False,
                temperature=None,
                top_p=None,
                top_k=None,
                pad_token_id=tokenizer.pad_token_id if tokenizer.pad_token_id is not None else 0,
                streamer=_streamer(tokenizer, tell),
                stopping_criteria=[lambda ids, scores: torch.full((len(ids),), left.is_set(), device=ids.device)],
            )


def _streamer(tokenizer: Any, tell: Callable[[str], None]) -> Any:
    """Hands over text as the tokens come, word by word."""
    from transformers import TextStreamer

    class Telling(TextStreamer):
        def on_finalized_text(self, text: str, stream_end: bool = False) -> None:
            if text:
                tell(text)

    return Telling(tokenizer, skip_prompt=True, skip_special_tokens=True)


@lru_cache(maxsize=2)
def load(model: str, revision: str | None, device: str, dtype: str) -> Loaded:
    """A model, once per process. ValueError, on one line, when there is none or it cannot hold a conversation."""
    for package in ("torch", "transformers"):
        if find_spec(package) is None:
            raise ValueError(f"kind transformers needs a package that is not installed; run: {INSTALL}")
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    where = ("cuda" if torch.cuda.is_available() else "cpu") if device == "auto" else device
    try:
        tokenizer = AutoTokenizer.from_pretrained(model, revision=revision)
        weights: Any = AutoModelForCausalLM.from_pretrained(model, revision=revision, dtype=dtype)
        weights = weights.to(where).eval()
    except (OSError, ValueError, RuntimeError) as error:
        said = " ".join(str(error).split())[:300]
        raise ValueError(f"model: {model} cannot be loaded on {where}: {said}") from None
    if not tokenizer.chat_template:
        raise ValueError(f"model: {model} has no chat template; give a model that was trained to hold conversations")
    if weights.generation_config.eos_token_id is None:
        weights.generation_config.eos_token_id = tokenizer.eos_token_id
    return Loaded(weights, tokenizer)


def make(config: Config) -> Local:
    return Local(config, load(config.model, config.revision, config.device, config.dtype))


def needs(config: Config) -> tuple[Need, ...]:
    """The packages; the model is looked for when it is loaded."""
    return tuple(
        Need(f"package {package}", "installed" if find_spec(package) else "", INSTALL)
        for package in ("torch", "transformers")
    )
