"""One optimisation step of the paper's preset on a CPU: both stages at the published size, on seconds of audio.

Alone: ``python -m tests.benchmarks.stepping``. Weights are random. A stage is a process of its own, so that its peak is
its own; it takes up to 15 GB of memory and, with its checkpoint, of disk.
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.benchmarks.result import Result
from tests.helpers import ROOT
from tests.trainer.published_lm import Counts, paper, save

SECONDS = 2.0
"""Of audio in a batch; a conversation that is longer is one of its own."""
ALLOWED_GB = 18
"""Of memory: a machine of 24 GB beside other work."""
STAGES = ("encoder", "duplex")
UNUSED = {
    "encoder": ("letters.bias", "letters.weight"),
    "duplex": ("duplex.adapter_special_embedding", "letters.bias", "letters.weight"),
}
"""What no loss of the stage depends on."""
TEXTS = ("Where to?", "Go left.")


def step(folder: Path) -> Iterator[Result]:
    """A line for the counts and one per stage."""
    tokenizer = ROOT.parent / "shared" / "samples" / "tokenizer" / "qwen2"
    if not tokenizer.is_dir():
        yield Result("a step of the paper's preset", "runs", "skipped: no shared/samples here", True)
        return
    save(folder / "llm", tokenizer)
    _dataset(folder)
    for stage in STAGES:
        command = [sys.executable, "-m", "tests.benchmarks.stepping", str(folder), stage]
        child = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=False)
        lines = child.stdout.splitlines()
        if child.returncode or not lines:
            yield Result(f"paper, a step of stage {stage}", "runs", f"exit code {child.returncode}", False)
            continue
        yield from _judged(stage, json.loads(lines[-1]))


def _judged(stage: str, found: dict[str, Any]) -> Iterator[Result]:
    asked, counts = (_listed(c) for c in (Counts().model_dump(), found["counts"]))
    yield Result(f"paper, parameters in stage {stage}", asked, counts, asked == counts)
    measured = (
        f"{found['step_s']:.1f} s, built in {found['build_s']:.0f} s, peak {found['peak_gb']:.1f} GB, loss "
        f"{found['loss']:.2f}, {found['audio_s']:.1f} s of audio, {found['learning']:,} parameters learn; "
        f"tensors: {found['moved']} moved, all that learn but {', '.join(found['still'])}; {found['astray']} astray"
    )
    met = found["peak_gb"] <= ALLOWED_GB and tuple(found["still"]) == UNUSED[stage] and not found["astray"]
    yield Result(f"paper, a step of stage {stage} on {found['threads']} threads", f"<= {ALLOWED_GB} GB", measured, met)


def _listed(counts: dict[str, int]) -> str:
    return ", ".join(f"{name} {number:,}" for name, number in counts.items())


def _dataset(folder: Path) -> None:
    from tests.tiny import build_here, write_recipe

    turns = [{"speaker": speaker, "text": text} for speaker, text in zip(("user", "assistant"), TEXTS, strict=True)]
    lines = [{"id": f"short-{number}", "domain": "travel", "turns": turns} for number in range(6)]
    changes = {
        "conversations": len(lines),
        "conversations_per_shard": len(lines),
        "noise": None,
        "phenomena": None,
        "margins": {"min_s": 1.0},
    }
    build_here(write_recipe(folder / "recipe", changes, lines), folder / "data")


def run(folder: Path, stage: str) -> dict[str, Any]:
    """One step of a stage, as ``trainer fit`` takes it, in this process."""
    import torch

    from trainer.data.index import open_index
    from trainer.model.fastpath import FastPath
    from trainer.stages.lessons import spoken
    from trainer.stages.objectives import Conversing, Transcribing
    from trainer.stages.run import train

    preset = paper(folder / "llm", SECONDS)
    index = open_index(str(folder / "data"), "train").select([0])
    began = time.perf_counter()
    path = FastPath.begin(preset, (), 0)
    path.tower.encoder.gradient_checkpointing = True
    built = time.perf_counter()
    before = {name: _mark(value) for name, value in path.named_parameters()}
    objective = Transcribing(path, preset.encoder) if stage == "encoder" else Conversing(path, preset.duplex)
    with tempfile.TemporaryDirectory(dir=folder) as out:
        lesson = spoken(objective, index, Path(out), seed=0)
        figures = train(objective, lesson, Path(out) / stage, seed=0)
    learning = {name: value for name, value in path.named_parameters() if value.requires_grad}
    moved = {name for name, value in path.named_parameters() if _mark(value) != before[name]}
    parts = {"encoder": path.tower.encoder, "adapter": path.tower.adapter, "llm": path.duplex.llm}
    counts = {name: sum(value.numel() for value in part.parameters()) for name, part in parts.items()}
    return {
        "counts": {**counts, "special": path.duplex.adapter_special_embedding.numel()},
        "build_s": built - began,
        "step_s": figures["train_runtime"],
        "loss": figures["train_loss"],
        "audio_s": index.hours * 3_600,
        "threads": torch.get_num_threads(),
        "peak_gb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6,
        "learning": sum(value.numel() for value in learning.values()),
        "moved": len(moved),
        "still": sorted(learning.keys() - moved),
        "astray": len(moved - learning.keys()),
    }


def _mark(value: Any) -> tuple[float, float]:
    """Changes when the tensor does, next to always."""
    import torch

    flat = value.detach().flatten()
    return float(flat.sum(dtype=torch.float64)), float(flat.norm())


def main() -> int:
    """Prints every line; 1 when something is missed. With a folder and a stage: that step alone."""
    if len(sys.argv) == 3:
        print(json.dumps(run(Path(sys.argv[1]), sys.argv[2])))
        return 0
    missed = 0
    with tempfile.TemporaryDirectory(prefix="trainer-step-") as folder:
        for r in step(Path(folder)):
            print(f"{'ok' if r.met else 'MISSED':<7}{r.what} (asked {r.asked}): {r.measured}", flush=True)
            missed += not r.met
    return int(missed > 0)


if __name__ == "__main__":
    sys.exit(main())
