"""Makes a stand-in for a CosyVoice checkout, its weights, prompts and voices; and engines that speak with it.

The stand-in is written from the documented behaviour of the class, faults included; nothing of it is upstream's. What
it says depends on the text, the prompt and the global random numbers, like the original. Faults are asked for with
words in the text (see ``upstream_cosyvoice``), ways of starting with options:

    api         path (default) or tensor: what prompts are given as
    stack       old (default): any mask will do; new: a short mask hides the past; hopeless: whatever the mask
    start       fine (default), crash, crash once, hang, full (no GPU memory), missing (a package)
    encoder     llm (default, numpy) or llm_torch (real transformers)
    faulty      a share: it speaks in bursts (``tests.benchmarks.bursts``), and so many utterances fail as their seeds
                decide; ``troubles`` counts them
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections import Counter
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

from datagen.core.types import Prompt, Voice
from datagen.tts import _cosyvoice_needs
from datagen.tts.cosyvoice2 import Config, CosyVoice2, make
from tests.benchmarks import bursts

HERE = Path(__file__).parent
COMMIT = "ace7c47" + "0" * 33
TROUBLES = ("raise", "late", "early", "nothing", "broken", "short", "die", "hang", *bursts.SOUND)
"""What goes wrong with a ``faulty`` stand-in, each as often as any other, but ``hang``, which costs a time limit, a
quarter as often."""
LAYOUT = {"cosyvoice": "cli/cosyvoice.py", "frontend": "cli/frontend.py", "common": "utils/common.py"}


def checkout(folder: Path, **options: str) -> Path:
    """A checkout at the pinned commit; ``options`` as above."""
    home = folder / "CosyVoice"
    for name, path in (LAYOUT | {options.get("encoder", "llm"): "llm/llm.py"}).items():
        target = home / "cosyvoice" / path
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(HERE / f"upstream_{name}.py", target)
    shutil.copy(bursts.__file__, home / "cosyvoice" / "utils")
    for package in (home / "cosyvoice", *(home / "cosyvoice" / name for name in ("cli", "utils", "llm"))):
        (package / "__init__.py").touch()
    matcha = home / "third_party" / "Matcha-TTS" / "matcha"
    matcha.mkdir(parents=True)
    (matcha / "__init__.py").touch()
    given = {"log": str(folder / "log.jsonl"), "troubles": [kind for kind in TROUBLES * 4 if kind != "hang"] + ["hang"]}
    (home / "standin.json").write_text(json.dumps(options | given))
    (home / "REVISION").write_text(COMMIT + "\n")
    return home


def weights(folder: Path) -> Path:
    """A model folder with all its files, empty."""
    model = folder / "model"
    for name in _cosyvoice_needs.WEIGHTS:
        (model / name).parent.mkdir(parents=True, exist_ok=True)
        (model / name).touch()
    return model


def config(folder: Path, options: dict[str, str] | None = None, **fields: Any) -> Config:
    """A config of a fresh checkout and weights under the folder; time limits fit a loaded machine."""
    home, model = checkout(folder, **(options or {})), weights(folder)
    limits: dict[str, Any] = {"timeout_s": 20, "start_timeout_s": 60}
    return Config(kind="cosyvoice2", home=str(home), model=str(model), **(limits | fields))


def engine(folder: Path, options: dict[str, str] | None = None, **fields: Any) -> CosyVoice2:
    """An engine on a stand-in of its own; close it."""
    return make(config(folder, options, **fields))


def log(folder: Path) -> list[dict[str, Any]]:
    """What the stand-in was asked, oldest first, over all its processes."""
    path = folder / "log.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def troubles(folder: Path) -> Counter[str]:
    """What went wrong with the utterances of a ``faulty`` stand-in; ``good`` where nothing did."""
    return Counter(line["trouble"] for line in log(folder) if "trouble" in line)


def prompt(
    folder: Path,
    name: str = "a.wav",
    text: str = "This is how I sound.",
    seconds: float = 2.0,
    rate: int = 16_000,
    channels: int = 1,
) -> Prompt:
    """A recorded prompt: a tone whose pitch depends on the name without its suffix, on all channels."""
    tone = 0.3 * np.sin(np.arange(int(seconds * rate)) * 2 * np.pi * (100 + sum(Path(name).stem.encode()) % 200) / rate)
    path = folder / name
    soundfile.write(path, np.repeat(tone[:, None], channels, axis=1), rate)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    return Prompt(path=str(path), sha256=digest, text=text, seconds=min(seconds, 30))


def voice(*prompts: Prompt, id: str = "v") -> Voice:
    """A voice of these prompts."""
    make_voice = partial(Voice, language="en", split="train", origin="a tone", licence="CC0-1.0")
    return make_voice(id=id, prompts=prompts)
