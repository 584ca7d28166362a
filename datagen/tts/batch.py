"""Speech made elsewhere, in batches, by a tool that reads JSON lines and writes WAV files: FlashCosyVoice's format.

    PATH/todo-00000.jsonl        {"key", "prompt_text", "text", "prompt_wav", "wav"}, one line per clip still to be made
         wavs/ab/abcd...wav      the clips, where the lines' field ``wav`` says

A clip is named by everything that decides it, so the folder may be filled in any order, by several machines, and again.
The tool takes one seed for all lines: give each round of requests another one, because a clip that turned out badly is
asked for anew under the key of its next seed.

    torchrun --nproc_per_node=1 --nnodes=1 `which flashcosyvoice` --model_path CosyVoice2-0.5B --seed 1 \\
        --data_list PATH/todo-00000.jsonl --batch_size_dataloader 1024 --batch_size_flow 32
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Literal

from pydantic import Field

from datagen.core.types import Voice
from datagen.files import Folder
from datagen.kinds import KindConfig, Need, NotYet, Speech
from datagen.tts._clip import from_wav, speakable
from datagen.tts._prompts import check_prompts, prompt_of

TODO = "todo-*.jsonl"
"""Lines per file of requests: about three hours of speech at a second each, minutes of a GPU's work."""


class Config(KindConfig):
    """The folder, and what model fills it."""

    kind: Literal["batch"]
    path: str = Field(min_length=1)
    """A folder of this machine's file system that the tool can write to."""
    model: str = Field(min_length=1)
    """Name and revision of the model that makes the clips, as declared by whoever runs the tool."""
    max_seconds: float = Field(default=180, gt=0, le=600)
    """Clips that last longer are refused: a model that did not find the end."""


class Batch:
    """The engine (see ``datagen.kinds.Engine``): it looks clips up. Gives no word times. Safe in threads."""

    parallel = 1

    def __init__(self, config: Config) -> None:
        self._config = config
        self._folder = Path(os.path.abspath(config.path))

    def check_voice(self, voice: Voice) -> None:
        """Raises ValueError unless the voice has prompts and their files are there: the tool skips lines without."""
        check_prompts(voice)

    def synthesize(self, text: str, voice: Voice, seed: int) -> Speech:
        """The clip of this text, prompt and seed.

        NotYet, with the line that asks for it, when it has not been made; Unspoken when it was, but is damaged.
        """
        line = request(text, voice, seed, self._config)
        try:
            content = (self._folder / line["wav"]).read_bytes()
        except FileNotFoundError:
            raise NotYet([line]) from None
        return from_wav(content, self._config.max_seconds, closed=True)


def request(text: str, voice: Voice, seed: int, config: Config) -> dict[str, str]:
    """The line that asks for a clip; ``wav`` is relative to the folder. ValueError when there is nothing to say or
    nobody to say it."""
    speakable(text)
    prompt = prompt_of(voice)
    asked = [config.model, voice.id, prompt.sha256, prompt.text, seed, text]
    key = hashlib.sha256(json.dumps(asked).encode()).hexdigest()[:32]
    return {
        "key": key,
        "prompt_text": prompt.text,
        "text": text,
        "prompt_wav": os.path.abspath(prompt.path),
        "wav": f"wavs/{key[:2]}/{key}.wav",
    }


def write_requests(folder: str, lines: Iterable[Mapping[str, str]], part: int = 0) -> str | None:
    """Writes what is still to be made of one part of the work as todo-<part>.jsonl, in place of what was; returns its
    path, None where nothing is left and the file is gone.

    Each clip is asked for once, with its path made absolute. Lines of like length stand together, because a batch is
    padded to its longest. The same lines give the same file, in whatever order they come. ValueError when ``folder``
    is a URL: the tool writes to paths.
    """
    if "://" in folder:
        raise ValueError(f"path: {folder} is a URL; the tool that makes the clips needs a folder of the file system")
    target, name = Folder(folder), TODO.replace("*", f"{part:05d}")
    unique = {line["key"]: line for line in lines}
    if not unique:
        target.remove(name)
        return None
    ordered = sorted(unique.values(), key=lambda line: (len(line["text"]), line["key"]))
    target.write(name, "".join(_json_line(line, target.url) for line in ordered))
    return f"{target.url}/{name}"


def _json_line(line: Mapping[str, str], folder: str) -> str:
    return json.dumps({**line, "wav": os.path.join(folder, line["wav"])}, ensure_ascii=False) + "\n"


def make(config: Config) -> Batch:
    """The engine; the folder need not be there yet."""
    return Batch(config)


def revision(config: Config) -> str:
    """The model the recipe declares."""
    return config.model


def needs(config: Config) -> Iterator[Need]:
    """The folder."""
    folder = Path(config.path)
    try:
        found = f"{folder}, {len(list(folder.glob(TODO)))} files of requests" if folder.is_dir() else ""
    except OSError:
        found = ""
    yield Need("folder", found, "" if found else f"mkdir -p {folder}, then write the requests and run the tool on them")
