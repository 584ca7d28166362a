"""The big batch run: which clips a recipe still needs from an engine that works elsewhere.

Every line of every conversation is walked through the studio as in a build. Clips that are there are judged; a clip
that is missing, or whose last attempt was refused, becomes a request in ``todo-<shard>.jsonl``. Hand the files to the
engine, ask again, and build when nothing is left.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from datagen.build import Build, Progress, finish, run_stages
from datagen.core.audio import Pcm
from datagen.core.types import Annotated, Blob
from datagen.identity import digest
from datagen.kinds import Heard, NotYet, Recogniser
from datagen.stages import synthesize
from datagen.stages.inputs import Inputs
from datagen.stages.studio import Studio
from datagen.tally import Tally
from datagen.tasks import Executor, Stop, Task, drive
from datagen.tts import batch

TEXT_STAGES = ("ingest", "write", "annotate")


def collect(build: Build, folder: str, executor: Executor, progress: Progress, stop: Stop) -> int:
    """Writes the requests into a folder; returns how many there are. 0 means the recipe can be built."""
    stages = [stage for stage in TEXT_STAGES if stage in build.blueprint.configs]
    run_stages(build, executor, progress, stop, Tally.begin(stages), stages)
    total = 0

    def on_done(task: Task, count: int) -> None:
        nonlocal total
        total += count
        progress.advance("requests", None)

    blueprint = build.blueprint
    shards = blueprint.num_shards("synthesize")
    progress.expect("requests", shards)
    tasks = [
        Task(
            key=f"requests/{shard}",
            stage="requests",
            call=write_requests,
            args=(build.work.url, blueprint.configs["synthesize"], blueprint.identities, shard, folder),
        )
        for shard in range(shards)
    ]
    finish(drive(tasks, executor, on_done, stop), stop)
    return total


def write_requests(
    work_url: str, config: synthesize.Config, identities: Mapping[str, str], shard: int, folder: str
) -> int:
    """What one shard still needs, in ``todo-<shard>.jsonl``; no file where it needs nothing."""
    wanted: dict[str, Mapping[str, Any]] = {}
    with Inputs(work_url, identities, shard) as inputs, _remembering(Studio.of(config, inputs), inputs) as studio:
        for record in inputs.upstream(synthesize.UPSTREAM).records(shard, Annotated):
            try:
                synthesize.spoken(record, config, studio, _nowhere)
            except NotYet as missing:
                wanted |= {request["key"]: request for request in missing.requests}
            except ValueError:  # the build will refuse the record and say why
                continue
    batch.write_requests(folder, wanted.values(), shard)
    return len(wanted)


def _nowhere(content: bytes) -> Blob:
    """Clips that are there already are judged, not kept: the build reads them again."""
    return Blob(offset=0, nbytes=len(content))


class _Remembers:
    """A recogniser that hears no clip twice: what was heard is known by the clip's samples."""

    def __init__(self, recogniser: Recogniser, known: dict[str, Any]) -> None:
        self._recogniser, self._known = recogniser, known

    def transcribe(self, pcm: Pcm, language: str) -> Heard:
        name = hashlib.sha256(pcm.tobytes()).hexdigest()
        if name not in self._known:
            self._known[name] = self._recogniser.transcribe(pcm, language).words
        return Heard(tuple((text, start, stop) for text, start, stop in self._known[name]))


@contextmanager
def _remembering(studio: Studio, inputs: Inputs) -> Iterator[Studio]:
    """The studio with what earlier rounds heard; what this one hears is kept for the next."""
    if studio.recogniser is None:
        yield studio
        return
    name = f"{digest([studio.config.asr, studio.config.language])[:12]}-{inputs.shard:05d}.json"
    folder = inputs.beside("heard")
    known: dict[str, Any] = json.loads(folder.read(name)) if folder.exists(name) else {}
    yield replace(studio, recogniser=_Remembers(studio.recogniser, known))
    folder.write(name, json.dumps(known, ensure_ascii=False))
