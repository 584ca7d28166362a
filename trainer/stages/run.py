"""Runs a stage with ``transformers.Trainer``: our loader, our loss, its optimiser steps, checkpoints and logs.

A run that is killed goes on from its last checkpoint with the batches it would have had. Where tensorboard is
installed, ``tensorboard --logdir OUT`` shows the curves; every stage keeps its own in its folder's ``logs``.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_model, save_model
from torch import Tensor, nn
from transformers import PrinterCallback, Trainer, TrainerCallback, TrainingArguments
from transformers.integrations.integration_utils import TensorBoardCallback, is_tensorboard_available
from transformers.trainer_utils import get_last_checkpoint

from trainer.data.batching import Batching, plan_batches
from trainer.data.loader import Batch, Loader, Order, make_loader
from trainer.failing import Diverged
from trainer.model.fastpath import FastPath
from trainer.presets import Freezing
from trainer.stages.hearing import PADS
from trainer.stages.lessons import Lesson
from trainer.stages.objectives import Objective
from trainer.stages.optimizer import optimizer
from trainer.stages.progress import Progress

WEIGHTS = "model.safetensors"
LOG_STEPS = 25
"""Steps whose mean loss is a figure of the logs."""
LOGS = "logs"


def train(objective: Objective, lesson: Lesson, out: Path, *, seed: int) -> dict[str, Any]:
    """Trains until the schedule ends; returns the last figures. What was done before a kill is not done again.

    Raises Diverged with the remedy when the loss is not finite.
    """
    freeze(objective.fast_path, objective.schedule.freeze)
    last = get_last_checkpoint(str(out)) if out.is_dir() else None
    plan = plan_batches(lesson.num_samples, Batching(seconds=objective.schedule.batch_seconds), 1)
    loader = make_loader(lesson.dataset, Order(plan, seed), PADS, lesson.workers)
    with Progress(out.name) as progress:
        run = _Run(objective, loader, arguments(objective, out, seed), [_Finite(), *_boards(out), progress])
        run.train(resume_from_checkpoint=last)
    return {k: v for record in run.state.log_history[-2:] for k, v in record.items()}


def arguments(objective: Objective, out: Path, seed: int) -> TrainingArguments:
    """The schedule as transformers takes it."""
    schedule = objective.schedule
    return TrainingArguments(
        output_dir=str(out),
        max_steps=schedule.steps,
        gradient_accumulation_steps=schedule.accumulate,
        learning_rate=schedule.lr,
        warmup_steps=schedule.warmup_steps,
        lr_scheduler_type="cosine" if schedule.decay == "cosine" else "constant_with_warmup",
        weight_decay=schedule.weight_decay,
        max_grad_norm=schedule.clip,
        bf16=objective.fast_path.preset.bf16,
        use_cpu=not torch.cuda.is_available(),
        seed=seed,
        data_seed=seed,
        save_steps=schedule.save_steps,
        save_total_limit=1,
        logging_steps=LOG_STEPS,
        logging_nan_inf_filter=False,
        report_to=[],
        remove_unused_columns=False,
        label_names=[],
        disable_tqdm=True,
    )


class _Run(Trainer):
    """See the module."""

    def __init__(
        self, objective: Objective, loader: Loader, given: TrainingArguments, callbacks: list[TrainerCallback]
    ) -> None:
        super().__init__(model=objective, args=given, callbacks=callbacks)
        self.remove_callback(PrinterCallback)
        self._objective, self._loader = objective, loader
        self.parts: dict[str, Tensor] = {}

    def create_optimizer(self, model: Any = None) -> Any:
        if self.optimizer is None:
            schedule = self._objective.schedule
            muon = schedule.optimiser == "muon"
            self.optimizer = optimizer(self._objective, schedule.lr, schedule.weight_decay, muon)
        return self.optimizer

    def get_train_dataloader(self) -> Any:
        return self._loader

    def _prepare_inputs(self, inputs: Any) -> Any:
        return inputs.to(self.args.device)

    def compute_loss(
        self, model: nn.Module, inputs: Any, return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> Any:
        assert isinstance(inputs, Batch)
        with self.compute_loss_context_manager():
            found = model(inputs)
        self.parts = {name: value for name, value in found.items() if name != "loss"}
        return (found["loss"], found) if return_outputs else found["loss"]

    def log(self, logs: dict[str, float], *args: Any, **kwargs: Any) -> None:
        if "loss" in logs:
            logs |= {name: round(float(value), 4) for name, value in self.parts.items()}
        super().log(logs, *args, **kwargs)

    def floating_point_ops(self, inputs: Any) -> int:
        return 0

    def _get_num_items_in_batch(self, batch_samples: Any, device: Any) -> None:
        return None

    def _save(self, output_dir: str | None = None, state_dict: Any = None) -> None:
        """Tied weights once, under one of their names."""
        folder = Path(output_dir or str(self.args.output_dir))
        folder.mkdir(parents=True, exist_ok=True)
        assert self.model is not None
        save_model(self.model, str(folder / WEIGHTS))

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: Any = None) -> None:
        held = model or self.model
        assert isinstance(held, nn.Module)
        load_model(held, str(Path(resume_from_checkpoint) / WEIGHTS))


def _boards(out: Path) -> list[TrainerCallback]:
    """TensorBoard's event files in the stage's folder, where the package is there."""
    if not is_tensorboard_available():
        return []
    board = TensorBoardCallback()
    board.logging_dir = str(out / LOGS)
    return [board]


class _Finite(TrainerCallback):
    """Stops a run whose loss is no number."""

    def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, Any] | None = None, **_: Any) -> None:
        loss = (logs or {}).get("loss", 0.0)
        if loss != loss or loss in (float("inf"), float("-inf")):
            raise Diverged(
                f"the loss is {loss} at step {state.global_step}; lower the learning rate, or switch bf16 off"
            )


def freeze(path: FastPath, what: Freezing) -> None:
    """Says which parameters learn."""
    path.requires_grad_(True)
    if "llm" in what:
        path.duplex.llm.requires_grad_(False)
    if "tower" in what:
        path.tower.requires_grad_(False)
    if "released" in what:
        encoder = path.tower.encoder
        for part in (encoder.front, encoder.embed, encoder.norm, *list(encoder.blocks)[: len(encoder.blocks) // 2]):
            part.requires_grad_(False)
