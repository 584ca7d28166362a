"""A recorded trace of a bundle: what its parts gave where it was exported, and whether they give the same here.

    FOLDER/golden.safetensors   samples, speech vectors and probabilities of every tick, numbers of a draft's steps
          /golden.json          likeliest tokens, the draft, a text's ids, the verifier's logit

The input is synthetic and stored, so that nothing depends on a generator. The draft is fed the recorded tokens, and the
verifier the recorded steps: what differs is the fault of the part that is named. All in float32, on the plain model.

Shape suffixes: K ticks, N samples, D width, L steps of the draft.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import NamedTuple

import torch
from pydantic import ValidationError
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from datagen.core.types import Strict
from trainer.features import RATE, TICK
from trainer.model.fastpath import FastPath
from trainer.model.seeing import seen
from trainer.model.state import LMState
from trainer.model.verifier import Verifier
from trainer.runtime.engine.drafts import scalars

TENSORS, NUMBERS = "golden.safetensors", "golden.json"
TICKS, STEPS = 20, 6
ALLOWED = 1e-3
"""Of probabilities; of vectors and scalars relative to the largest."""
TEXT = "It's 4 o'clock, I'll call you back."


class Numbers(Strict):
    """``golden.json``."""

    tops: tuple[int, ...]
    """The likeliest token of every tick."""
    draft: tuple[int, ...]
    text_ids: tuple[int, ...]
    """Of ``TEXT``."""
    logit: float | None
    """The verifier's, of the draft; None without one."""


class Trace(NamedTuple):
    """What is recorded."""

    numbers: Numbers
    tensors: dict[str, Tensor]


@torch.inference_mode()
def trace(fast: FastPath, verifier: Verifier | None, recorded: Trace | None = None) -> Trace:
    """The trace of a model in evaluation mode; with ``recorded``, on its input and its draft."""
    samples_N = recorded.tensors["samples_N"] if recorded else _samples()
    heard, said = fast.tower.start(), LMState()
    device = fast.duplex.embedding.weight.device
    token_B = torch.tensor([fast.tokens.sil], device=device)
    speech, chances, tops = [], [], []
    for tick_N in samples_N.split(TICK):
        speech_BD, heard = fast.tower.step(tick_N[None].to(device), heard)
        step = fast.duplex.step(speech_BD, token_B, said)
        said, (says,) = step.state, seen(step.logits_BV, fast.tokens)
        speech.append(speech_BD[0])
        two = step.logits_BV[0].float().softmax(-1).topk(2).values.tolist()
        chances.append(torch.tensor([says.bos, says.stp, says.boc, *two]))
        tops.append(says.top)
    draft, hidden_LD, scalars_L3 = _drafted(fast, said, recorded.numbers.draft if recorded else None)
    made = {"speech_KD": torch.stack(speech), "chances_K5": torch.stack(chances)}
    made |= {"hidden_LD": hidden_LD, "scalars_L3": scalars_L3}
    tensors = {"samples_N": samples_N} | {name: t.float().cpu() for name, t in made.items()}
    logit = _logit(verifier, recorded.tensors if recorded else tensors) if verifier else None
    numbers = Numbers(tops=tuple(tops), draft=draft, text_ids=tuple(fast.encode(TEXT)), logit=logit)
    return Trace(numbers, tensors)


def write(folder: Path, fast: FastPath, verifier: Verifier | None) -> None:
    """Records the trace into a folder."""
    found = trace(fast, verifier)
    save_file({name: t.contiguous() for name, t in found.tensors.items()}, folder / TENSORS)
    (folder / NUMBERS).write_text(found.numbers.model_dump_json(indent=1) + "\n", encoding="utf-8")


def check(folder: Path, fast: FastPath, verifier: Verifier | None) -> None:
    """ValueError with the part whose numbers are others than recorded, the first in the order of computation."""
    recorded = _read(folder)
    found = trace(fast, verifier, recorded)
    if found.numbers.text_ids != recorded.numbers.text_ids:
        raise ValueError(f"{folder}/fast_path/tokenizer splits {TEXT!r} differently than recorded; {_REMEDY}")
    parts = {"speech_KD": "speech tower", "chances_K5": "language model", "hidden_LD": "language model (draft)"}
    for name, part in parts.items():
        ours, theirs = found.tensors[name], recorded.tensors[name]
        size = 1.0 if name == "chances_K5" else max(float(theirs.abs().max()), 1e-6)
        _close(float((ours - theirs).abs().max()) / size, f"{folder}/fast_path/model.safetensors: the {part}")
    sure_K = (recorded.tensors["chances_K5"][:, 3] - recorded.tensors["chances_K5"][:, 4] > 2 * ALLOWED).tolist()
    pairs = zip(sure_K, found.numbers.tops, recorded.numbers.tops, strict=True)
    if any(sure and ours != theirs for sure, ours, theirs in pairs):
        raise ValueError(f"{folder}/{NUMBERS}: other likeliest tokens than the model's; {_REMEDY}")
    if found.numbers.logit is not None:
        theirs = recorded.numbers.logit
        off = math.inf if theirs is None else abs(found.numbers.logit - theirs) / max(1.0, abs(theirs))
        _close(off, f"{folder}/verifier: the verifier")


_REMEDY = "the libraries here compute something else than where it was exported; export it again or take their versions"


def _close(off: float, what: str) -> None:
    if not off <= ALLOWED:
        how = f"off by {off:.1e}, {ALLOWED:g} is allowed" if math.isfinite(off) else "no numbers"
        raise ValueError(f"{what} is not what {TENSORS} recorded ({how}); {_REMEDY}")


def _logit(verifier: Verifier, tensors: dict[str, Tensor]) -> float:
    hidden_LD, scalars_L3 = tensors["hidden_LD"], tensors["scalars_L3"]
    mask_BL = torch.ones(1, len(hidden_LD), dtype=torch.bool)
    return float(verifier(hidden_LD[None], scalars_L3[None], mask_BL).logits_B)


def _read(folder: Path) -> Trace:
    """ValueError for a trace of another shape as well."""
    try:
        numbers = Numbers.model_validate_json((folder / NUMBERS).read_text(encoding="utf-8"))
        tensors = load_file(folder / TENSORS)
        ticks, steps = len(numbers.tops), len(numbers.draft)
        lengths = {"samples_N": ticks * TICK, "speech_KD": ticks, "chances_K5": ticks}
        lengths |= {"hidden_LD": steps, "scalars_L3": steps}
        if not ticks or not steps or {name: len(tensor) for name, tensor in tensors.items()} != lengths:
            raise OSError("lengths differ")
        return Trace(numbers, tensors)
    except (ValidationError, SafetensorError, OSError) as error:
        raise ValueError(f"{folder}: {NUMBERS} or {TENSORS} cannot be read; export the bundle again") from error


def _drafted(fast: FastPath, state: LMState, given: tuple[int, ...] | None) -> tuple[tuple[int, ...], Tensor, Tensor]:
    """Tokens, hidden states and scalars of a draft after [BOS]; ``given``: those that are fed instead of its own."""
    device = fast.duplex.embedding.weight.device
    silence_BD = torch.zeros(1, fast.duplex.width, device=device)
    token, chosen, hidden, numbers = fast.tokens.bos, [], [], []
    for place in range(len(given) if given else STEPS):
        step = fast.duplex.step(silence_BD, torch.tensor([token], device=device), state)
        state = step.state
        token = given[place] if given else int(step.logits_BV.argmax())
        numbers.append(scalars(step.logits_BV.float(), torch.tensor([token], device=device))[0])
        hidden.append(step.hidden_BD[0])
        chosen.append(token)
    return tuple(chosen), torch.stack(hidden), torch.stack(numbers)


def _samples() -> Tensor:
    """A voice-like sound: bursts of a buzz with a moving pitch over faint noise, and silence at the end."""
    draw = torch.Generator().manual_seed(0)
    second_N = torch.arange(TICKS * TICK) / RATE
    cycles_N = 120 * second_N + 3 * torch.sin(2 * math.pi * 1.7 * second_N)
    buzz_N = (2 * (cycles_N % 1) - 1) * torch.sin(2 * math.pi * 2.2 * second_N).clamp(min=0)
    noise_N = torch.randn(len(second_N), generator=draw)
    samples_N = 0.2 * buzz_N * (second_N < 0.8 * second_N[-1]) + 0.002 * noise_N
    return (samples_N * 32_768).round() / 32_768
