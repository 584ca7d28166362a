"""A bundle: everything the runtime needs of a trained model, in one folder or model repository of the Hub.

    bundle.json                 format, defaults, thresholds, sha256 of every other file
    fast_path/                  as ``FastPath.save`` writes it
    verifier/                   as ``trainer.model.verifier.save`` writes it; without one every draft falls back
    golden.safetensors, .json   a trace that is checked where the bundle is loaded (``golden``)
    README.md                   the model card

``trainer.export`` writes it.
"""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, Literal, Self

from pydantic import Field, ValidationError, field_validator
from safetensors import SafetensorError
from torch import device as Device

from datagen.core.types import Strict, Voice
from trainer.firing import Thresholds
from trainer.model import verifier as verifiers
from trainer.model.fastpath import FastPath
from trainer.model.verifier import Decider, Verifier, VerifierCard
from trainer.prefixes import WORDS
from trainer.runtime import golden
from trainer.runtime.events import Mode

MANIFEST, CARD, FAST_PATH, VERIFIER = "bundle.json", "README.md", "fast_path", "verifier"
FORMAT, VERSION = "relay-bundle", 1
_REPOSITORY = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")
_AGAIN = "export or download it again"


class Defaults(Strict):
    """How a session runs where nothing else is said."""

    mode: Mode = "relay"
    words: int = Field(default=WORDS, ge=1)
    """Of a prefix."""
    context_ticks: int = Field(default=500, ge=8)
    """What a conversation remembers. A model trained on conversations of up to 500 ticks recalls 60 % of the turns
    after the 1,000th with this, 53 % with 1,000 and 47 % with 2,250 (embedded preset, teacher-forced, 141 turns)."""
    language: str = "en"
    voice: Voice | None = None
    """The assistant's; None: the speaking kind's own."""
    hearing: dict[str, Any] = Field(default={"kind": "fast_path"})
    """Kinds of the back-ends with their settings, as ``trainer.runtime.backends`` reads them."""
    answering: dict[str, Any] = Field(default={"kind": "grammar"})
    speaking: dict[str, Any] = Field(default={"kind": "espeak"})
    endpointing: dict[str, Any] = Field(default={"kind": "energy"})


class Manifest(Strict):
    """``bundle.json``."""

    format: Literal["relay-bundle"] = FORMAT
    version: Literal[1] = VERSION
    name: str = Field(min_length=1)
    defaults: Defaults = Defaults()
    thresholds: Thresholds
    """From which probability on control tokens fire."""
    thresholds_from: str
    """How they were chosen."""
    files: dict[str, str]
    """Path to sha256, all files but this one."""

    @field_validator("files")
    @classmethod
    def _inside(cls, files: dict[str, str]) -> dict[str, str]:
        for name in files:
            if PurePosixPath(name).is_absolute() or ".." in PurePosixPath(name).parts:
                raise ValueError(f"{name} lies outside of the bundle")
        return files


@dataclass(frozen=True)
class Bundle:
    """A loaded one."""

    folder: Path
    manifest: Manifest
    fast: FastPath
    """In evaluation mode, float32."""
    verifier: VerifierCard | None
    decider: Decider | None
    """None: every draft falls back."""

    @classmethod
    def load(cls, source: str | Path, *, revision: str | None = None, device: Device | str = "cpu") -> Self:
        """A bundle from a folder, or by its name on the Hub.

        Args:
            source: a folder, or ``owner/name`` of a model repository, which is downloaded once.
            revision: branch, tag or commit of the repository; its default branch without.
            device: where the weights go.

        Files are compared with their sha256, and what the model computes with the recorded trace. ValueError, one line
        that names the file and the remedy, for whatever is missing, cut short, changed or does not fit.
        """
        folder = _folder(str(source), revision)
        manifest = _manifest(folder)
        _complete(folder, manifest)
        fast = _opened(folder / FAST_PATH, lambda: FastPath.load(folder / FAST_PATH, device))
        gate = _gate(folder, fast) if any(name.startswith(f"{VERIFIER}/") for name in manifest.files) else None
        golden.check(folder, fast, gate and gate[0])
        if gate is None:
            return cls(folder, manifest, fast, None, None)
        verifier, card = gate
        return cls(folder, manifest, fast, card, Decider(verifier, card.threshold, card.calibration, str(device)))


def digest(file: Path) -> str:
    """SHA-256 in hexadecimal."""
    with file.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()


def _folder(source: str, revision: str | None) -> Path:
    if Path(source).is_dir():
        if revision is not None:
            raise ValueError(f"revision: {source} is a folder; revisions are for repositories of the Hub")
        return Path(source)
    if not _REPOSITORY.fullmatch(source):
        raise ValueError(f"no bundle at {source}; write one with `python -m trainer export RUN --out {source}`")
    try:
        from huggingface_hub import snapshot_download
        from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError
    except ImportError:
        raise ValueError(f"{source} is no folder, and the Hub needs a package: pip install huggingface_hub") from None
    try:
        return Path(snapshot_download(source, revision=revision))
    except LocalEntryNotFoundError as error:
        raise ValueError(f"{source} is no folder here, and the Hub cannot be reached; check the connection") from error
    except (HfHubHTTPError, OSError) as error:
        first = str(error).strip().splitlines()[0]
        where = source if revision is None else f"{source} at {revision}"
        raise ValueError(f"the Hub does not give {where}: {first}; check the name, or set HF_TOKEN") from error


def _manifest(folder: Path) -> Manifest:
    file = folder / MANIFEST
    if not file.is_file():
        raise ValueError(f"{folder} holds no {MANIFEST}; write a bundle with `python -m trainer export`")
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{file} is cut short or no JSON; {_AGAIN}") from error
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise ValueError(f"{file}: no {FORMAT}; {_AGAIN}")
    if content.get("version") != VERSION:
        raise ValueError(f"{file}: version {content.get('version')}, this runtime reads {VERSION}; {_AGAIN}")
    try:
        return Manifest.model_validate(content)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise ValueError(f"{file}: {where}: {first['msg'].removeprefix('Value error, ')}; {_AGAIN}") from error


def _complete(folder: Path, manifest: Manifest) -> None:
    needed = {f"{FAST_PATH}/model.safetensors", f"{FAST_PATH}/config.json", golden.TENSORS, golden.NUMBERS}
    for name in sorted(needed - manifest.files.keys()):
        raise ValueError(f"{folder / MANIFEST} does not list {name}; {_AGAIN}")
    for name, expected in manifest.files.items():
        file = folder / name
        if not file.is_file():
            raise ValueError(f"{file} is missing; {_AGAIN}")
        if digest(file) != expected:
            raise ValueError(f"{file} is not the one that {MANIFEST} lists (sha256 differs); {_AGAIN}")


def _gate(folder: Path, fast: FastPath) -> tuple[Verifier, VerifierCard]:
    verifier, card = _opened(folder / VERIFIER, lambda: verifiers.load(folder / VERIFIER))
    if card.shape.hidden_size != fast.duplex.width:
        raise ValueError(
            f"{folder / VERIFIER}: for hidden states of {card.shape.hidden_size}, the fast path has "
            f"{fast.duplex.width}; it belongs to another model, {_AGAIN}"
        )
    return verifier, card


def _opened(folder: Path, load: Any) -> Any:
    """Errors of what reads a folder, as one line with its name."""
    try:
        return load()
    except (SafetensorError, OSError, KeyError, RuntimeError, ValueError) as error:
        first = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise ValueError(f"{folder} cannot be loaded: {first}; {_AGAIN}") from error
