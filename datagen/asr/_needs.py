"""What recognisers and aligners need: optional packages, and a model in a local folder."""

from __future__ import annotations

import importlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from types import ModuleType

from datagen.kinds import Need


@dataclass(frozen=True)
class Needs:
    """A kind's packages and the layout of its model's folder."""

    kind: str
    extra: str
    packages: tuple[str, ...]
    """As the package index calls them."""
    variable: str
    """Environment variable that names the model's folder where the recipe does not."""
    files: tuple[str, ...]
    """Shell patterns, each of which matches at least one file of the folder."""
    example: str
    """A model on the Hugging Face Hub."""

    def folder(self, model: str | None) -> Path:
        """The model's folder; ValueError says what is missing and how to get one."""
        if problem := self._problem(model):
            raise ValueError(f"model: {problem}")
        return Path(self._named(model))

    def unmet(self, model: str | None) -> Iterator[Need]:
        """The packages and the model, found or not. Nothing is imported or loaded."""
        for package in self.packages:
            yield Need(f"package {package}", installed(package), install(self.extra))
        problem = self._problem(model)
        yield Need(f"model of {self.kind}", "" if problem else self._named(model), problem)

    def _named(self, model: str | None) -> str:
        return model or os.environ.get(self.variable, "")

    def _problem(self, model: str | None) -> str:
        get = (
            f"set {self.variable} or the recipe's `model` to a folder; get one with: "
            f"hf download {self.example} --local-dir DIR"
        )
        if not (named := self._named(model)):
            return f"no folder is given; {get}"
        if not Path(named).is_dir():
            return f"there is no folder {named}; {get}"
        if lacks := [pattern for pattern in self.files if not any(Path(named).glob(pattern))]:
            return f"{named} lacks {', '.join(lacks)}; {get}"
        return ""


def load(module: str, kind: str, extra: str) -> ModuleType:
    """An optional module; ValueError with the command that installs it."""
    try:
        return importlib.import_module(module)
    except ImportError:
        raise ValueError(f"kind {kind} needs a package that is not installed; {install(extra)}") from None


def install(extra: str) -> str:
    """The command that installs the packages of an extra."""
    return f"run: pip install 'duplexkit[{extra}]'"


def installed(package: str) -> str:
    """The version of a package, empty when it is not installed. Nothing is imported."""
    try:
        return version(package)
    except PackageNotFoundError:
        return ""


def one_line(error: Exception) -> str:
    """An error's text on one line."""
    return " ".join(str(error).split()) or type(error).__name__
