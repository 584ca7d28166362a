"""How long the verifier takes over one draft on one CPU thread, and over a batch."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from tests.benchmarks.result import Result
from trainer.calibration import Calibration
from trainer.model.verifier import MAX_STEPS, NUM_SCALARS, Decider, Verifier, VerifierShape
from trainer.prefixes import Steps, cut, prefix_of

WARM_UP, CALLS = 200, 2_000
TYPICAL_STEPS = 7
"""Tokens of five English words with a large vocabulary."""
ASKED_MS = 0.2
PUBLIC_MS = 0.46
"""The public implementation's decision (tokeniser replaced by a stub), on one thread of the same kind of machine."""
RESPONSE = "Sure, I can help you with that, let me have a look"


def decision(_: Path) -> list[Result]:
    """From a finished draft to the decision, without the tokeniser: words, cut, fp16, network, calibration."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with torch.random.fork_rng():
            torch.manual_seed(0)
            return [*(_decision(steps) for steps in (TYPICAL_STEPS, MAX_STEPS)), _cold(), _batch()]
    finally:
        torch.set_num_threads(threads)


def _deciding(num_tokens: int) -> Callable[[], None]:
    shape = VerifierShape()
    decider = Decider(Verifier(shape), 0.5, Calibration(temperature=1.3, shift=0.2))
    draft = Steps(torch.randn(20, shape.hidden_size).half(), torch.randn(20, NUM_SCALARS))

    def decide() -> None:
        _, tokens = prefix_of(RESPONSE, lambda _: range(num_tokens))
        kept = cut(draft, tokens)
        decider.decide(kept.hidden_LD, kept.scalars_L3)

    return decide


def _decision(num_tokens: int) -> Result:
    p50, p90 = _milliseconds(_deciding(num_tokens))
    measured = f"p50 {p50:.3f} ms, p90 {p90:.3f} ms"
    asked = f"<= {ASKED_MS} ms; public {PUBLIC_MS} ms"
    return Result(f"verifier decision, {num_tokens} steps, one thread", asked, measured, p90 <= ASKED_MS)


def _cold() -> Result:
    """As in a conversation: whatever ran before has pushed the weights out of the processor's caches."""
    other = torch.zeros(64 << 20)
    p50, p90 = _milliseconds(_deciding(TYPICAL_STEPS), warm_up=10, calls=100, before=lambda: other.add_(1.0))
    measured = f"p50 {p50:.3f} ms, p90 {p90:.3f} ms"
    return Result(f"the same, {TYPICAL_STEPS} steps, after 256 MB of other work", "no target", measured, True)


def _batch(size: int = 256) -> Result:
    verifier = Verifier(VerifierShape()).eval()
    hidden_BLD = torch.randn(size, MAX_STEPS, verifier.shape.hidden_size)
    scalars_BL3, mask_BL = torch.randn(size, MAX_STEPS, NUM_SCALARS), torch.ones(size, MAX_STEPS, dtype=torch.bool)

    @torch.inference_mode()
    def score() -> None:
        verifier(hidden_BLD, scalars_BL3, mask_BL)

    p50, p90 = _milliseconds(score, warm_up=5, calls=40)
    return Result(
        "verifier forward, batch of 256", "public 38.9 ms", f"p50 {p50:.1f} ms, p90 {p90:.1f} ms", p50 <= 38.9
    )


def _milliseconds(
    call: Callable[[], None],
    warm_up: int = WARM_UP,
    calls: int = CALLS,
    before: Callable[[], object] = lambda: None,
) -> tuple[float, float]:
    """Median and 90th percentile; what runs before each call is not counted."""
    for _ in range(warm_up):
        call()
    taken: list[float] = []
    for _ in range(calls):
        before()
        began = time.perf_counter()
        call()
        taken.append(time.perf_counter() - began)
    p50, p90 = np.percentile(taken, [50, 90]) * 1_000
    return float(p50), float(p90)


if __name__ == "__main__":
    for result in decision(Path()):
        print(f"{'ok' if result.met else 'MISSED':<7}{result.what} (asked {result.asked}): {result.measured}")
