"""How much plan + render + noise + FLAC + Parquet costs beside FLAC alone, in one process on the same audio."""

from __future__ import annotations

import gc
import statistics
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from datagen.blueprint import Blueprint, draw_up
from datagen.codec import encode_flac
from datagen.core.audio import Pcm
from datagen.core.records import Checked, Measured, Rendered, VoicedScript
from datagen.core.types import Blob
from datagen.recipe import load
from datagen.stages import plan, render, run_shard
from datagen.stages.check import quality
from datagen.stages.inputs import Inputs
from datagen.stages.package import write_rows
from datagen.stages.rows import row
from tests.benchmarks.result import Result
from tests.helpers import ROOT

CONVERSATIONS = 100
ROUNDS = 5
NOWHERE = Blob(offset=0, nbytes=0)
NOTHING = Measured(user_peak=0, assistant_peak=0, longest_zero_run=0, outside_power=0, click=0)
"""Measuring is the check's work."""


@dataclass
class Clock:
    """Processor seconds spent on either side, conversation by conversation in turn, so that moods hit both."""

    chain: float = 0.0
    bare: float = 0.0
    samples: int = 0
    signals: list[Pcm] = field(default_factory=list)


def render_ratio(folder: Path) -> list[Result]:
    """The work from a voiced script to a Parquet file against the FLAC encoder alone."""
    recipe = load(str(ROOT / "recipes/assistant.yaml"), [f"conversations={CONVERSATIONS}"])
    blueprint = draw_up(recipe)
    work = str(folder / ".work")
    for stage in ("noise", "ingest", "annotate", "synthesize"):
        for shard in range(blueprint.num_shards(stage)):
            run_shard(work, stage, blueprint.configs[stage], blueprint.identities, shard)
    spoken = list(_spoken(work, blueprint))
    clocks = [_round(folder / "out.parquet", spoken, blueprint) for _ in range(ROUNDS)]
    ratio = statistics.median(c.bare / c.chain for c in clocks)
    seconds = clocks[0].samples / 16_000
    chain, bare = (seconds / statistics.median(getattr(c, side) for c in clocks) for side in ("chain", "bare"))
    measured = f"{ratio:.0%} ({chain:,.0f}x real time against {bare:,.0f}x)"
    return [Result("plan+render+noise+FLAC+Parquet against bare FLAC", ">= 70 %", measured, ratio >= 0.7)]


def _spoken(work: str, blueprint: Blueprint) -> Iterator[tuple[VoicedScript, list[Pcm], Inputs]]:
    """Every voiced script with its utterances in memory."""
    for shard in range(blueprint.num_shards("synthesize")):
        inputs = Inputs(work, blueprint.identities, shard)
        for record in inputs.folder("synthesize").records(shard, VoicedScript):
            yield record, [inputs.samples("synthesize", u.pcm) for u in record.utterances if u.pcm], inputs


def _round(path: Path, spoken: list[tuple[VoicedScript, list[Pcm], Inputs]], blueprint: Blueprint) -> Clock:
    clock = Clock()
    gc.collect()
    with path.open("wb") as sink:
        began = time.process_time()
        for _ in write_rows(sink, _rows(spoken, blueprint, clock), blueprint.package.row_group_mb << 20):
            pass
        clock.chain = time.process_time() - began - clock.bare
    return clock


def _rows(
    spoken: list[tuple[VoicedScript, list[Pcm], Inputs]], blueprint: Blueprint, clock: Clock
) -> Iterator[dict[str, Any]]:
    """The chain, conversation by conversation, each followed by the bare encoder on the same two signals."""
    plan_config, render_config, package = (blueprint.configs[s] for s in ("plan", "render", "package"))
    clips = spoken[0][2].noise_clips
    levels = [clip.levels for clip in clips.values()]
    for record, utterances, inputs in spoken:
        planned = plan.plan(record, plan_config, levels)  # type: ignore[arg-type]
        noise = [inputs.noise(clips[b.clip], b.clip_start, b.end - b.start) for b in planned.mix.noise]
        sound = render.Sound(utterances=utterances, noise=noise)
        signals = render.render(planned.timeline, planned.mix, sound, render_config)  # type: ignore[arg-type]
        flac = {"user": encode_flac(signals.user), "assistant": encode_flac(signals.assistant)}
        rendered = Rendered(
            plan=planned,
            user_flac=NOWHERE,
            assistant_flac=NOWHERE,
            snr_db=signals.snr_db,
            user_speech_power=signals.user_speech_power,
            assistant_speech_power=signals.assistant_speech_power,
            clipped_samples=signals.clipped_samples,
            measured=NOTHING,
            scale=signals.scale,
        )
        checked = Checked(rendered=rendered, quality=quality(rendered))
        yield row(checked, flac, clips, package.profile, package.provenance, "")  # type: ignore[attr-defined]
        began = time.process_time()
        for pcm in (signals.user, signals.assistant):
            encode_flac(pcm)
        clock.bare += time.process_time() - began
        clock.samples += signals.user.size
