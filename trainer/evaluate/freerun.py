"""Free-running: the model hears a recorded user and its own past, nothing else, from the first tick to the last.

Shape suffixes: B batch, K ticks (160 ms), D model width, V vocabulary.

The paper scores a model that is fed the true history. That flatters: a turn that will be cut is labelled with the words
that are heard, so its text tells when the user will cut in; and it misleads: a model that answers a little early is
made to stay silent and fires again. Here the model lives with what it did. ``_agent`` has the rules.

What is matched against what, all within +-1 tick:

* [BOS] against the recorded turns' [BOS], [BOC] against the backchannels' [BOC]: one prediction per response, made from
  listening. A *false start* is a [BOS] without a recorded one.
* [STP] against the barge-ins at which the recorded assistant stopped. Most false ones end a false start, as they
  should; so there is a second score ("begun") over the turns that both the model and the recording began: a stop counts
  where both stopped the same turn within the tolerance. A turn that the model left out counts in the first alone.
* silence as in ``matching.silence``, on what was emitted.
* "audible": ticks in which the assistant is heard, of the model against the recording.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from trainer.data.rows import letters
from trainer.evaluate._agent import Agent, Own, Playing
from trainer.evaluate._truth import Pace, Response, audible, pace_of, responses_of
from trainer.evaluate.heard import Heard, Hearing, Progress, by_length, device_of, stacked
from trainer.evaluate.matching import TOLERANCE, Counts, tally
from trainer.evaluate.scores import Scored
from trainer.firing import Thresholds
from trainer.model.duplex import Duplex
from trainer.model.seeing import seen
from trainer.model.state import LMState
from trainer.targets import Ids, Rules
from trainer.tokens import ControlTokens, decode

_SHRINK = 0.8
"""Of a batch: when no more of its conversations go on, the others are dropped from the state, which copies it."""


@dataclass(frozen=True)
class Run:
    """What the model did in one conversation."""

    ids_K: Ids
    """What it emitted, and so its history."""
    responses: tuple[Own, ...]
    recorded: tuple[Response, ...]


def free_run(
    fast: Hearing,
    heard: Sequence[Heard],
    rules: Rules,
    thresholds: Thresholds | None = None,
    playing: Playing | None = None,
    pace: Pace | None = None,
    tolerance: int = TOLERANCE,
    batch: int = 64,
    progress: Progress | None = None,
) -> list[Run]:
    """Every conversation from start to end, many side by side; the batch changes nothing but the time.

    Args:
        fast: the fast path, in evaluation mode.
        heard: the conversations.
        rules: how the model's labels were written: whether its history has [HOD].
        thresholds: from which probability on control tokens fire; None: where they are the likeliest.
        playing: how long speech lasts that nobody hears.
        pace: of that speech; None: as in these conversations.
        tolerance: ticks within which a response stands for a recorded one.
        batch: conversations side by side.
        progress: told how many are done.
    """
    pace = pace or pace_of(h.row for h in heard)
    hold = rules.mode == "clean" and rules.hold
    recorded = [responses_of(h.row, h.recorded.ids_K, fast.tokens, pace) for h in heard]

    def count_letters(ids: Sequence[int]) -> int:
        return letters(decode(fast.tokenizer, ids))

    agents = [Agent(r, fast.tokens, hold, count_letters, pace, thresholds, playing, tolerance) for r in recorded]
    runs: dict[int, Run] = {}
    for group in by_length(heard, batch):
        emitted = _together(fast.duplex, [heard[place] for place in group], [agents[place] for place in group])
        for place, ids_K in zip(group, emitted, strict=True):
            runs[place] = Run(ids_K, agents[place].finished(len(ids_K)), recorded[place])
        if progress is not None:
            progress(len(runs))
    return [runs[place] for place in range(len(heard))]


def score_run(heard: Heard, run: Run, tokens: ControlTokens, tolerance: int = TOLERANCE) -> Scored:
    """What free-running scores in one conversation.

    The labels' [BOS], [BOC] and, in ``clean`` labels, [STP] are exactly the recorded responses'; ``relays2s`` labels
    have a second [STP] after the text, which is no event and does not count here.
    """
    counts = tally(run.ids_K, _one_stop(heard.recorded.ids_K, run.recorded, tokens), tokens, tolerance)
    counts["begun"] = _begun(run, tolerance)
    counts["audible"] = _audible(run)
    return Scored(id=heard.row.id, counts=counts)


def _together(duplex: Duplex, heard: Sequence[Heard], agents: Sequence[Agent]) -> list[Ids]:
    """What each of some conversations, the longest first, emits."""
    device = device_of(duplex)
    speech_BKD = stacked((h.speech_KD for h in heard), device)
    emitted = [np.full(h.ticks, duplex.tokens.pad, np.int64) for h in heard]
    held, state = len(heard), LMState()
    token_B = torch.full((held,), duplex.tokens.sil, device=device)
    for tick in range(heard[0].ticks):
        alive = sum(h.ticks > tick for h in heard[:held])
        if alive <= _SHRINK * held:
            held, state, token_B = alive, state.rows(range(alive)), token_B[:alive]
        step = duplex.step(speech_BKD[:held, tick], token_B, state)
        state = step.state
        tokens = [duplex.tokens.sil] * held
        for place, sight in enumerate(seen(step.logits_BV[:alive], duplex.tokens)):
            tokens[place] = emitted[place][tick] = agents[place].step(tick, sight)
        token_B = torch.tensor(tokens, device=device)
    return emitted


def _one_stop(ids_K: Ids, recorded: Sequence[Response], tokens: ControlTokens) -> Ids:
    """The labels without [STP] that are no barge-in."""
    stops = [response.stop for response in recorded if response.stop is not None]
    extra_K = ids_K == tokens.stp
    extra_K[stops] = False
    return np.where(extra_K, tokens.eos, ids_K)


def _begun(run: Run, tolerance: int) -> Counts:
    """[STP] over the turns that both began."""
    total = Counts()
    for mine in run.responses:
        if mine.reference is None or mine.kind != "turn":
            continue
        due = run.recorded[mine.reference].stop
        right = mine.stopped and due is not None and abs(mine.end - due) <= tolerance
        total += Counts(tp=right, fp=mine.stopped and not right, fn=due is not None and not right)
    return total


def _audible(run: Run) -> Counts:
    ticks = len(run.ids_K)
    mine_K = audible([(r.start, r.end) for r in run.responses], ticks)
    theirs_K = audible([(r.start, r.end) for r in run.recorded], ticks)
    both = int((mine_K & theirs_K).sum())
    return Counts(tp=both, fp=int(mine_K.sum()) - both, fn=int(theirs_K.sum()) - both)
