"""Stages: plain functions over the records of a shard, and the one loop that runs any of them.

A stage is a module with ``NAME``, ``VERSION``, ``Config`` and ``process(record, config, inputs, put)``; its
records come from the first of ``UPSTREAM`` that the recipe has (typed ``IN``) or, where a stage reads the outside
world, from its own ``records``. A stage with ``gather(records, config, inputs)`` is given all records of the shard
beforehand; what it returns by record id stands in ``inputs.gathered``: that is how many questions go out at once.
Raise VERSION when the same input gives another output.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from importlib import import_module
from types import ModuleType
from typing import Any

from datagen.core.records import Checked
from datagen.core.types import Dialogue, Ingested, Strict, Unreadable
from datagen.faults import Halt
from datagen.files import Folder
from datagen.stages.inputs import Inputs
from datagen.stages.journal import Journal
from datagen.store import ShardReport, ShardWriter, StageFolder

MAX_REASON = 300
"""Characters kept of a reason."""

RECORD_STAGES = ("noise", "ingest", "write", "annotate", "synthesize", "plan", "render", "check")


def module_of(stage: str) -> ModuleType:
    """The module of a stage."""
    return import_module(f"datagen.stages.{stage}")


def run_shard(work_url: str, stage: str, config: Strict, identities: Mapping[str, str], shard: int) -> ShardReport:
    """Runs one stage on one shard: whole output or nothing; a finished shard is not run again.

    A record that fails is rejected with its reason and the shard goes on. Errors of the machine (no space, no memory,
    a lost file) are not the record's fault and end the shard.
    """
    target = StageFolder(Folder(work_url), stage, identities[stage])
    done = target.report(shard)
    if done is not None:
        return done
    module = module_of(stage)
    started = time.perf_counter()
    writer = ShardWriter(target, shard)
    taken, extra = 0, dict[str, Any]()
    journal = Journal(target.folder, shard) if getattr(module, "JOURNALED", False) else None
    try:
        with Inputs(work_url, identities, shard) as inputs:
            for record in _records(module, config, shard, inputs):
                taken += 1
                if isinstance(record, Unreadable):
                    writer.reject(record.id, f"{record.where}: {record.reason}")
                    continue
                _process(module, record, config, inputs, writer, journal, extra)
        report = writer.commit(taken, time.perf_counter() - started, extra)
    except BaseException:
        writer.abandon()
        if journal is not None:
            journal.survived()
        raise
    if journal is not None:
        journal.close()
    return report


def _records(module: ModuleType, config: Strict, shard: int, inputs: Inputs) -> Iterator[Any]:
    if hasattr(module, "records"):
        return module.records(config, shard, inputs)
    records = inputs.upstream(module.UPSTREAM).records(shard, module.IN)
    if not hasattr(module, "gather"):
        return records
    everything = list(records)
    inputs.gathered = module.gather(everything, config, inputs)
    return iter(everything)


def _process(
    module: ModuleType,
    record: Any,
    config: Strict,
    inputs: Inputs,
    writer: ShardWriter,
    journal: Journal | None,
    extra: dict[str, Any],
) -> None:
    """One record through the stage: given, or rejected with its reason."""
    try:
        if journal is not None:
            journal.enter(record.id)
        result = module.process(record, config, inputs, writer.put)
        writer.give(result)
    except (OSError, MemoryError, Halt):
        raise
    except Exception as error:  # the record boundary: recorded with its reason, counted, published in `rejected`
        writer.reject(record.id, reason_of(error))
        return
    tally(result, extra)


def reason_of(error: Exception) -> str:
    """One line that says what was wrong with a record."""
    text = " ".join(str(error).split())
    if hasattr(error, "errors"):  # pydantic: the first message says it
        first = error.errors()[0]  # type: ignore[attr-defined]
        text = f"{'.'.join(str(p) for p in first['loc'])}: {first['msg']}"
    return (text if isinstance(error, ValueError) else f"{type(error).__name__}: {text}")[:MAX_REASON]


def tally(result: Any, extra: dict[str, Any]) -> None:
    """Figures the driver needs: rows and bytes per split after the check, dialogues per split after ingest."""
    if isinstance(result, Checked):
        split = result.rendered.plan.voiced.split
        rows, nbytes = extra.get(split, (0, 0))
        size = result.rendered.user_flac.nbytes + result.rendered.assistant_flac.nbytes
        extra[split] = (rows + 1, nbytes + size)
    elif isinstance(result, Ingested):
        extra[result.split] = extra.get(result.split, 0) + 1


__all__ = ["RECORD_STAGES", "Dialogue", "module_of", "reason_of", "run_shard"]
