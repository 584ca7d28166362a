"""How much plan + render + noise + FLAC + Parquet costs beside FLAC alone, in one process on the same audio."""

from __future__ import annotations

import statistics
import time
from pathlib import Path

import pyarrow.parquet as pq

from datagen.blueprint import draw_up
from datagen.codec import decode_flac, encode_flac
from datagen.core.audio import Pcm
from datagen.recipe import load
from datagen.stages import run_shard
from datagen.stages.package import FilePlan, write_file
from datagen.store import Folder, StageFolder
from tests.benchmarks.result import Result
from tests.helpers import ROOT

CONVERSATIONS = 100
ROUNDS = 5


def render_ratio(folder: Path) -> list[Result]:
    """Median over rounds that alternate the two, so that the machine's moods hit both."""
    blueprint = draw_up(
        load(str(ROOT / "recipes/assistant.yaml"), [f"conversations={CONVERSATIONS}", "splits={train: 1}"])
    )
    work = str(folder / ".work")
    shards = blueprint.num_shards("render")

    def run(stage: str, count: int) -> None:
        for shard in range(count):
            run_shard(work, stage, blueprint.configs[stage], blueprint.identities, shard)

    run("noise", blueprint.num_shards("noise"))
    for stage in ("ingest", "annotate", "synthesize"):
        run(stage, shards)
    whole: list[float] = []
    bare: list[float] = []
    audio: list[Pcm] = []
    for _ in range(ROUNDS):
        for stage in ("plan", "render"):
            StageFolder(Folder(work), stage, blueprint.identities[stage]).folder.remove()
        started = time.process_time()
        run("plan", shards)
        run("render", shards)
        whole.append(time.process_time() - started)
        run("check", shards)
        started = time.process_time()
        plan = FilePlan(split="train", index=0, count=1, shards=tuple(range(shards)))
        write_file(str(folder), work, blueprint.identities, plan, blueprint.package, blueprint.identity)
        whole[-1] += time.process_time() - started
        audio = audio or _audio(folder / plan.name)
        started = time.process_time()
        for pcm in audio:
            encode_flac(pcm)
        bare.append(time.process_time() - started)
    ratio = statistics.median(b / w for b, w in zip(bare, whole, strict=True))
    seconds = sum(pcm.size for pcm in audio) / 2 / 16_000
    speeds = f"{seconds / statistics.median(whole):,.0f}x real time against {seconds / statistics.median(bare):,.0f}x"
    return [
        Result("plan+render+noise+FLAC+Parquet against bare FLAC", ">= 70 %", f"{ratio:.0%} ({speeds})", ratio >= 0.7)
    ]


def _audio(path: Path) -> list[Pcm]:
    columns = pq.read_table(path, columns=["user_audio", "assistant_audio"]).to_pylist()
    return [decode_flac(row[name]["bytes"]) for row in columns for name in ("user_audio", "assistant_audio")]
