"""A collection of real people's voices becomes a voice manifest: who is cloned from which recordings, in which split.

OUT.yaml            the manifest, written last
OUT/<id>-1.wav      the prompts it names, relative to itself
    rejected.jsonl  who was refused, and why
    .work/          results of shards: another seed or other splits need no recogniser again; may be removed
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePath
from typing import Any

from datagen import kinds
from datagen.build import BuildError, Progress, finish
from datagen.core.rng import stream
from datagen.core.types import SPLITS, Prompt, Split, Voice
from datagen.files import Folder
from datagen.identity import digest
from datagen.stages import prompts, run_shard
from datagen.stages.prompts import CastVoice, CutPrompt
from datagen.store import ShardReport, StageFolder
from datagen.strict_yaml import dump_yaml
from datagen.tasks import Executor, Stop, Task, drive

STAGE = prompts.NAME
SHARES: Mapping[Split, float] = {"train": 0.8, "validation": 0.1, "test": 0.1}


@dataclass(frozen=True)
class Casting:
    """What came of it."""

    manifest: str
    voices: tuple[Voice, ...]
    """In order of id; the paths of their prompts are relative to the manifest."""
    rejected: tuple[dict[str, str], ...]
    """``id`` and ``reason`` of everyone else; in = voices + rejected."""

    def counts(self) -> dict[str, int]:
        """Voices per split."""
        return {split: sum(v.split == split for v in self.voices) for split in SPLITS}


def resources(config: prompts.Config) -> dict[str, float]:
    """What a worker must offer to hear the recordings."""
    return dict(getattr(kinds.module("asr", config.asr.kind), "RESOURCES", {})) if config.asr is not None else {}


def split_of(voice_id: str, splits: Mapping[Split, float], seed: int) -> Split:
    """The split of a speaker: a function of the id alone, so that nobody is in two and newcomers move nobody."""
    draw = stream(seed, voice_id, "split").random() * sum(splits.values())
    for split in SPLITS:
        draw -= splits.get(split, 0.0)
        if draw < 0:
            return split
    return next(split for split in reversed(SPLITS) if splits.get(split))


def cast(
    config: prompts.Config,
    out: str,
    executor: Executor,
    *,
    splits: Mapping[Split, float] = SHARES,
    seed: int = 1,
    progress: Progress | None = None,
    stop: Stop | None = None,
) -> Casting:
    """Casts everyone in a collection and writes the manifest ``out`` (a .yaml); finished shards are kept.

    The same arguments give the same files, with one worker or many, whole or resumed. ValueError when nobody is there,
    BuildError when a shard failed for good or nobody could be cast, Interrupted when the user stopped it.
    """
    _check(out, splits)
    path = PurePath(out)
    home, folder = Folder(str(path.parent)), Folder(str(path.with_suffix("")))
    work = StageFolder(folder.sub(".work"), STAGE, digest([STAGE, prompts.VERSION, config]))
    shards = range(prompts.num_shards(config))
    _run(config, folder.sub(".work"), work, len(shards), executor, progress, stop or Stop())
    rejected = tuple({"id": r["id"], "reason": r["reason"]} for shard in shards for r in work.rejected(shard))
    folder.write("rejected.jsonl", "".join(json.dumps(r, ensure_ascii=False) + "\n" for r in rejected))
    people = {shard: list(work.records(shard, CastVoice)) for shard in shards}
    voices = tuple(_voice(p, path.stem, split_of(p.id, splits, seed)) for some in people.values() for p in some)
    if not voices:
        raise BuildError(f"nobody could be cast; see {folder.url}/rejected.jsonl")
    manifest = _manifest(config, work.identity, voices, splits, seed)
    if home.exists(path.name) and home.read(path.name) != manifest.encode():
        home.remove(path.name)  # it names prompts that are about to change
    _write_prompts(people, work, folder, {r["id"] for r in rejected})
    home.write(path.name, manifest)
    return Casting(out, voices, rejected)


def _check(out: str, splits: Mapping[Split, float]) -> None:
    if PurePath(out).suffix not in (".yaml", ".yml"):
        raise ValueError(f"out: {out!r} is no manifest; give the name of a .yaml file")
    if not all(share >= 0 for share in splits.values()) or not sum(splits.values()) > 0:
        raise ValueError(f"splits: give at least one share above 0, none below (given: {dict(splits)})")


def _run(
    config: prompts.Config,
    home: Folder,
    work: StageFolder,
    count: int,
    executor: Executor,
    progress: Progress | None,
    stop: Stop,
) -> None:
    """Every shard that is not done yet."""
    work.folder.sweep()
    if progress is not None:
        progress.expect(STAGE, count)

    def on_done(task: Task | None, report: ShardReport) -> None:
        if progress is not None:
            progress.advance(STAGE, report)

    tasks: list[Task] = []
    needs = tuple(sorted(resources(config).items()))
    for shard in range(count):
        if (done := work.report(shard)) is not None:
            on_done(None, done)
            continue
        args = (home.url, STAGE, config, {STAGE: work.identity}, shard)
        tasks.append(Task(f"{STAGE}/{shard}", STAGE, run_shard, args, rank=(0, shard), resources=needs))
    finish(drive(tasks, executor, on_done, stop), stop)


def _name(person: CastVoice, number: int) -> str:
    """Of the file with a person's prompt, counted from 0."""
    return f"{person.id}-{number + 1}.wav"


def _write_prompts(
    people: Mapping[int, Sequence[CastVoice]], work: StageFolder, folder: Folder, refused: set[str]
) -> None:
    """The prompts' files as they should be; those that an earlier casting of the same people left are removed."""
    wanted: set[str] = set()
    for shard, some in people.items():
        if not some:
            continue
        with work.pack(shard) as pack:
            for person in some:
                for number, cut in enumerate(person.prompts):
                    name = _name(person, number)
                    wanted.add(name)
                    if not _holds(folder, name, cut):
                        folder.write(name, pack.read(cut.wav))
    ids = refused | {person.id for some in people.values() for person in some}
    for name in folder.names():
        stem, _, number = name.removesuffix(".wav").rpartition("-")
        if name.endswith(".wav") and stem in ids and number.isdecimal() and name not in wanted:
            folder.remove(name)


def _holds(folder: Folder, name: str, cut: CutPrompt) -> bool:
    """Whether the file is there, whole."""
    return folder.size(name) == cut.wav.nbytes and hashlib.sha256(folder.read(name)).hexdigest() == cut.sha256


def _voice(person: CastVoice, beside: str, split: Split) -> Voice:
    """The person as a manifest has it."""
    found = tuple(
        Prompt(path=f"{beside}/{_name(person, number)}", sha256=cut.sha256, text=cut.text, seconds=cut.seconds)
        for number, cut in enumerate(person.prompts)
    )
    return Voice(**person.model_dump(exclude={"prompts"}), split=split, prompts=found)


def _manifest(
    config: prompts.Config, identity: str, voices: tuple[Voice, ...], splits: Mapping[Split, float], seed: int
) -> str:
    """The manifest's text."""
    head: dict[str, Any] = {
        "collection": config.collection.kind,
        "recogniser": config.asr.kind if config.asr is not None else None,
        "identity": identity,
        "seed": seed,
        "splits": {split: splits[split] for split in SPLITS if split in splits},
        "voices": [voice.model_dump(mode="json", exclude_defaults=True) for voice in voices],
    }
    return "# Real people's voices to clone: see consent and licence before you use or publish them.\n" + dump_yaml(
        head
    )
