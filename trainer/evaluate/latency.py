"""Onset latency: from the decision to answer ([BOS]) to the first words a synthesizer can start with.

As the paper defines it (section 4.3; MODEL-SPEC 9.2), for N words, turn detection, network and synthesis left out:

    S2S only     until the draft shows its N-th word, or its last where it has fewer
    cascaded     recognition + the slow path's first N words
    relay        commit: as S2S only, then the verifier's decision; fall back: as cascaded

What the fast path and the verifier cost is measured on this machine, one turn at a time, nothing else in the batch. The
slow path is simulated: a constant per back-end, by default the paper's own P90.
"""

from __future__ import annotations

import platform
import time
from collections.abc import Sequence
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import torch
from pydantic import Field
from torch import Tensor

from datagen.core.types import Strict
from datagen.core.units import FRAME_SAMPLES
from trainer import timing
from trainer.evaluate.answers import Drafted
from trainer.evaluate.heard import device_of
from trainer.model.drafting import greedy
from trainer.model.duplex import Step, previous_tokens
from trainer.model.fastpath import FastPath
from trainer.model.state import LMState
from trainer.model.verifier import Decider
from trainer.prefixes import Steps, cut, prefix_of
from trainer.timing import spread

WARM_UP = 3
"""Turns and ticks that are run before anything is timed."""
_TOKENS_PER_WORD = 8
_TICKS = 60
"""Timed; the first ten seconds of a conversation."""


class BackEnd(Strict):
    """A slow path whose latency is simulated."""

    name: str
    seconds: float = Field(gt=0)
    """From turn detection to the first words, recognition included."""


BACK_ENDS = (
    BackEnd(name="Qwen2.5-0.5B", seconds=0.420),
    BackEnd(name="Qwen2.5-7B", seconds=0.513),
    BackEnd(name="GPT-4o", seconds=1.091),
)
"""The paper's three (table 2, P90, measured there on one NVIDIA L40S)."""


class TurnTime(Strict):
    """What one turn took, in milliseconds."""

    conversation: str
    tick: int
    words_ms: float | None
    """Until the N-th word; None where the draft has no word at all."""
    decide_ms: float | None
    """The verifier: tokenising the prefix, its scalars, the decision. None without a verifier or a word."""
    commit: bool | None
    """None without a verifier."""


class Costs(Strict):
    """What one step of everything costs here."""

    machine: str
    threads: int
    device: str
    tick_tower: tuple[float, float]
    """Features, encoder and adapter of one tick: P50 and P90 in ms, of the 160 a tick lasts."""
    tick_model: tuple[float, float]
    """The language model in one tick."""
    draft: tuple[float, float] | None
    """N words."""
    decide: tuple[float, float] | None
    """The verifier."""


class _Watch(NamedTuple):
    """Wall clock that waits for the device."""

    device: torch.device

    def now(self) -> float:
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
        return time.perf_counter()


def time_turns(
    fast: FastPath, turns: Sequence[Drafted], decider: Decider | None, commits: Sequence[bool] | None, words: int
) -> list[TurnTime]:
    """Every turn on its own, as live.

    Args:
        fast: the fast path, in evaluation mode.
        turns: where it drafts; each costs a pass over what was heard until then, which is not timed.
        decider: the verifier.
        commits: what it decides about each turn; None without one.
        words: N.
    """
    order = [*range(len(turns))[:WARM_UP], *range(len(turns))]
    found = [_timed(fast, turns[place], decider, words) for place in order][len(order) - len(turns) :]
    return [
        TurnTime(
            conversation=turn.heard.row.id,
            tick=turn.point.tick,
            words_ms=drafted,
            decide_ms=decided,
            commit=None if commits is None else commits[place],
        )
        for place, (turn, (drafted, decided)) in enumerate(zip(turns, found, strict=True))
    ]


def onset_ms(time_: TurnTime, back_end: BackEnd) -> float:
    """Of the relay, in one turn.

    >>> turn = TurnTime(conversation="a", tick=3, words_ms=70.0, decide_ms=10.0, commit=True)
    >>> onset_ms(turn, BACK_ENDS[2]), onset_ms(turn.model_copy(update={"commit": False}), BACK_ENDS[2])
    (80.0, 1091.0)
    """
    return timing.onset_ms(bool(time_.commit), time_.words_ms, time_.decide_ms, 1000 * back_end.seconds)


def costs(fast: FastPath, samples: Tensor, times: Sequence[TurnTime]) -> Costs:
    """Ticks are timed here, on the user's samples of a conversation; turns were by ``time_turns``."""
    tower, model = _ticks(fast, samples)
    drafted = [t.words_ms for t in times if t.words_ms is not None]
    decided = [t.decide_ms for t in times if t.decide_ms is not None]
    return Costs(
        machine=machine(),
        threads=torch.get_num_threads(),
        device=str(device_of(fast.duplex)),
        tick_tower=tower,
        tick_model=model,
        draft=spread(drafted) if drafted else None,
        decide=spread(decided) if decided else None,
    )


def machine() -> str:
    """The processor's name."""
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


@torch.no_grad()
def _timed(fast: FastPath, turn: Drafted, decider: Decider | None, words: int) -> tuple[float | None, float | None]:
    """Milliseconds until the N-th word, and of the decision."""
    watch = _Watch(device_of(fast.duplex))
    state = _at(fast, turn)
    began = watch.now()
    ids, steps, shown = _drafted(fast, state, words, watch)
    if shown is None:
        return None, None
    if decider is None:
        return 1000 * (shown - began), None
    before = watch.now()
    _, num_tokens = prefix_of(fast.decode(ids), fast.encode, words)
    hidden_LD = torch.cat([step.hidden_BD for step in steps]).half()
    kept = cut(Steps(hidden_LD, _scalars(torch.cat([step.logits_BV for step in steps]), ids)), num_tokens)
    decider.decide(kept.hidden_LD, kept.scalars_L3)
    return 1000 * (shown - began), 1000 * (watch.now() - before)


def _drafted(fast: FastPath, state: LMState, words: int, watch: _Watch) -> tuple[list[int], list[Step], float | None]:
    """Tokens and steps up to the N-th word or the draft's end, and when the last new word was there; None without."""
    controls = set(fast.tokens.ids)
    bos_B = torch.tensor([fast.tokens.bos], device=watch.device)
    ids: list[int] = []
    steps: list[Step] = []
    said, shown = 0, None
    for token_B, step in islice(greedy(fast.duplex, state, bos_B), _TOKENS_PER_WORD * words):
        if (token := int(token_B)) in controls:
            break
        ids.append(token)
        steps.append(step)
        now = len(fast.decode(ids).split())
        if now > said:
            said, shown = now, watch.now()
        if said >= words:
            break
    return ids, steps, shown


def _scalars(logits_LV: Tensor, ids: Sequence[int]) -> Tensor:
    """Entropy, log-probability of the chosen token and margin of every step."""
    log_LV = logits_LV.float().log_softmax(-1)
    entropy_L = torch.special.entr(log_LV.exp()).sum(-1)
    chosen_L = log_LV.gather(-1, torch.tensor(ids, device=logits_LV.device)[:, None])[:, 0]
    top_L2 = logits_LV.float().topk(2).values
    return torch.stack([entropy_L, chosen_L, top_L2[:, 0] - top_L2[:, 1]], dim=1)


def _at(fast: FastPath, turn: Drafted) -> LMState:
    """What the model has heard and said until it decides to answer."""
    device = device_of(fast.duplex)
    ticks = turn.point.tick + 1
    label_BK = torch.from_numpy(turn.heard.ids_K[:ticks].copy())[None].to(device)
    speech_BKD = turn.heard.speech_KD[None, :ticks].to(device)
    return fast.duplex.prefill(speech_BKD, previous_tokens(label_BK, fast.tokens))[1]


@torch.no_grad()
def _ticks(fast: FastPath, samples: Tensor) -> tuple[tuple[float, float], tuple[float, float]]:
    """P50 and P90 of the speech tower and of the language model in a tick, one conversation alone."""
    watch = _Watch(device_of(fast.duplex))
    heard, said = fast.tower.start(), LMState()
    token_B = torch.tensor([fast.tokens.sil], device=watch.device)
    times: list[tuple[float, float]] = []
    chunks = samples[: len(samples) // FRAME_SAMPLES * FRAME_SAMPLES].reshape(-1, FRAME_SAMPLES)
    for chunk_N in chunks[: WARM_UP + _TICKS]:
        began = watch.now()
        speech_BD, heard = fast.tower.step(chunk_N[None].to(watch.device), heard)
        encoded = watch.now()
        said = fast.duplex.step(speech_BD, token_B, said).state
        times.append((1000 * (encoded - began), 1000 * (watch.now() - encoded)))
    first, second = zip(*times[min(WARM_UP, len(times) - 1) :], strict=True)
    return spread(first), spread(second)
