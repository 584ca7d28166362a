"""The slow path that is a local model."""

from __future__ import annotations

import asyncio
import time
from contextlib import aclosing
from pathlib import Path
from typing import Any

import pytest

from datagen.core.types import Turn
from tests.runtime.tiny_chat import write_model
from trainer.runtime import backends, virtual
from trainer.runtime.answering._base import SlowPathError
from trainer.runtime.answering._cleaning import Cleaner

HISTORY = (Turn(speaker="user", text="Hi."), Turn(speaker="assistant", text="Hello."))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> str:
    return write_model(tmp_path_factory.mktemp("chat"))


@pytest.fixture(scope="module")
def endless(tmp_path_factory: pytest.TempPathFactory) -> str:
    return write_model(tmp_path_factory.mktemp("endless"), endless=True)


def made(folder: str, **raw: Any) -> Any:
    config = backends.parse("answering", {"kind": "transformers", "model": folder, "device": "cpu", **raw})
    return backends.make("answering", config)


async def whole(answerer: Any, prefix: str) -> str:
    return "".join([piece async for piece in answerer.answer(HISTORY, "Is it late?", prefix)])


def test_the_prefix_stands_raw_inside_the_assistants_message(folder: str) -> None:
    prompt = made(folder, system="Be kind.").prompt(HISTORY, "Is it late?", "Well, I")
    assert prompt == (
        "<|system|> Be kind. <|end|><|user|> Hi. <|end|><|assistant|> Hello. <|end|>"
        "<|user|> Is it late? <|end|><|assistant|> Well, I"
    )


@pytest.mark.parametrize("prefix", ["", "Well, I think"])
def test_streamed_is_what_the_model_writes_at_once(folder: str, prefix: str) -> None:
    """Against the model called directly: greedy, on the prompt as it is."""
    import torch

    answerer = made(folder, max_output_tokens=40)
    model, tokenizer = answerer._loaded
    ids = tokenizer(answerer.prompt(HISTORY, "Is it late?", prefix), return_tensors="pt").input_ids
    with torch.inference_mode():
        for _ in range(40):
            ids = torch.cat([ids, model(ids).logits[:, -1:].argmax(-1)], 1)
            if ids[0, -1] == tokenizer.eos_token_id:
                break
    start = len(tokenizer(answerer.prompt(HISTORY, "Is it late?", prefix)).input_ids)
    cleaner = Cleaner()
    expected = cleaner.push(tokenizer.decode(ids[0, start:], skip_special_tokens=True)) + cleaner.end()
    assert asyncio.run(whole(answerer, prefix)).split() == expected.split()


@pytest.mark.parametrize("cancelled", [True, False])
def test_leaving_ends_the_thread_between_two_tokens(endless: str, cancelled: bool) -> None:
    answerer = made(endless, max_output_tokens=100_000)

    async def run() -> float:
        async with aclosing(answerer.answer(HISTORY, "Is it late?", "")) as pieces:
            if cancelled:
                waiting = asyncio.create_task(anext(pieces))
                await asyncio.sleep(0)
                await asyncio.sleep(0)
                waiting.cancel()
                await asyncio.wait({waiting})
            else:
                await anext(pieces)
            began = time.monotonic()
        assert asyncio.all_tasks() == {asyncio.current_task()}
        return time.monotonic() - began

    began = time.monotonic()
    assert asyncio.run(run()) < 1
    assert time.monotonic() - began < 10, "the loop ends after its threads"


def test_a_clock_that_jumps_waits_for_the_model(folder: str) -> None:
    answerer = made(folder, max_output_tokens=20)

    async def beside_timers() -> str:
        ticking = asyncio.create_task(asyncio.sleep(3600))
        said = await whole(answerer, "")
        ticking.cancel()
        return said

    assert virtual.run(beside_timers(), jumping=True) == asyncio.run(whole(answerer, ""))


def test_a_model_that_is_late_is_left(endless: str) -> None:
    answerer = made(endless, first_ms=1, max_output_tokens=100_000)
    with pytest.raises(SlowPathError, match="no answer within 1 ms"):
        asyncio.run(whole(answerer, ""))


def test_a_device_that_fails_is_an_error_of_the_answer(folder: str, monkeypatch: pytest.MonkeyPatch) -> None:
    answerer = made(folder)

    def generate(**inputs: Any) -> None:
        raise RuntimeError("out of\nmemory")

    monkeypatch.setattr(answerer._loaded.model, "generate", generate)
    with pytest.raises(SlowPathError, match="the local model failed: out of memory"):
        asyncio.run(whole(answerer, ""))


def test_several_conversations_share_the_model(folder: str) -> None:
    answerer = made(folder, max_output_tokens=20)
    assert made(folder)._loaded is answerer._loaded
    alone = [asyncio.run(whole(answerer, prefix)) for prefix in ("", "Well,", "No")]

    async def together() -> list[str]:
        return list(await asyncio.gather(*(whole(answerer, prefix) for prefix in ("", "Well,", "No"))))

    assert asyncio.run(together()) == alone


def test_a_model_without_a_chat_template_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="has no chat template"):
        made(write_model(tmp_path, template=None))
