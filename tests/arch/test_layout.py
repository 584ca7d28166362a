"""The rules of the house that the other tools do not check."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path

import pytest

from datagen import kinds
from datagen.kinds import KindConfig
from tests.helpers import ROOT

MAX_LINES = 300
MAX_TEST_LINES = 400
"""Tests are read one by one."""
MAX_FUNCTION_LINES = 60
TOP_LEVEL = {"README.md", "pyproject.toml", "Makefile", "LICENSE", "constraints.txt"} | {
    "datagen",
    "trainer",
    "recipes",
    "manifests",
    "tests",
}
PURE = {"numpy", "pydantic", "datagen"} | {
    "__future__",
    "bisect",
    "collections",
    "dataclasses",
    "enum",
    "fractions",
    "functools",
    "hashlib",
    "html",
    "itertools",
    "math",
    "operator",
    "re",
    "statistics",
    "string",
    "typing",
    "unicodedata",
}
"""What core may import: no files, no processes, no clock, no engines."""
RUNNER = "datagen/stages/__init__.py"
"""The only module beside the engines that may look at the clock: it reports how long a shard took."""
IMPURE = {"random", "time", "datetime", "uuid", "secrets"}


def files(*folders: str) -> list[Path]:
    """The Python files of some folders, without caches."""
    return sorted(path for folder in folders for path in (ROOT / folder).rglob("*.py"))


def name(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


@lru_cache(maxsize=512)
def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def nodes(path: Path) -> Iterator[ast.AST]:
    return ast.walk(tree(path))


def imported(path: Path) -> set[str]:
    """Top-level names of the modules a file imports anywhere in it."""
    found = {alias.name for node in nodes(path) if isinstance(node, ast.Import) for alias in node.names}
    found |= {node.module or "" for node in nodes(path) if isinstance(node, ast.ImportFrom)}
    return {module.split(".")[0] for module in found}


def functions(path: Path) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    return (node for node in nodes(path) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))


CODE = files("datagen", "trainer", "tests")
PACKAGE = files("datagen", "trainer")
FAMILIES = [(family, kind) for family in kinds.FAMILIES for kind in kinds.names(family)]


def limit(path: str) -> int:
    """Lines a file may have."""
    return MAX_TEST_LINES if path.startswith("tests/") else MAX_LINES


def test_files_are_short() -> None:
    lengths = {name(path): len(path.read_text(encoding="utf-8").splitlines()) for path in CODE}
    assert {n: length for n, length in lengths.items() if length > limit(n)} == {}


def test_functions_are_short() -> None:
    long = {
        f"{name(path)}:{f.name}"
        for path in CODE
        for f in functions(path)
        if (f.end_lineno or f.lineno) - f.lineno + 1 > MAX_FUNCTION_LINES
    }
    assert long == set()


def test_every_module_says_what_it_is_for() -> None:
    silent = {name(p) for p in PACKAGE if tree(p).body and p.name != "__main__.py" and not ast.get_docstring(tree(p))}
    assert silent == set()


def test_what_is_public_is_documented() -> None:
    """Module-level functions and classes. A kind's ``Config``, ``make`` and methods are explained in ``kinds``."""
    silent = {
        f"{name(path)}:{node.name}"
        for path in PACKAGE
        for node in tree(path).body
        if isinstance(node, ast.FunctionDef | ast.ClassDef)
        and not node.name.startswith("_")
        and node.name not in ("Config", "make")
        and not ast.get_docstring(node)
    }
    assert silent == set()


def test_core_imports_nothing_but_arithmetic() -> None:
    wrong = {name(path): imported(path) - PURE for path in files("datagen/core")}
    assert {path: found for path, found in wrong.items() if found} == {}


def test_core_imports_of_this_package_only_core() -> None:
    outside = {
        f"{name(path)}: {node.module}"
        for path in files("datagen/core")
        for node in nodes(path)
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("datagen")
        if not (node.module or "").startswith("datagen.core.")
    }
    assert outside == set()


def test_nothing_in_core_or_the_stages_looks_at_the_clock_or_rolls_unnamed_dice() -> None:
    paths = [p for p in files("datagen/core", "datagen/stages", "datagen/phenomena") if name(p) != RUNNER]
    assert {name(path): imported(path) & IMPURE for path in paths if imported(path) & IMPURE} == {}


@pytest.mark.parametrize("folder", ["datagen/core", "datagen/stages", "datagen/phenomena", "datagen/noise"])
def test_every_generator_has_a_name(folder: str) -> None:
    """``numpy.random`` is used for its types alone, except where streams are made."""
    allowed = {"datagen/core/rng.py"}
    calls = {
        f"{name(path)}:{node.lineno}"
        for path in files(folder)
        for node in nodes(path)
        if isinstance(node, ast.Call) and ".random." in ast.unparse(node.func) and name(path) not in allowed
    }
    assert calls == set()


def test_imports_are_absolute() -> None:
    relative = {
        f"{name(path)}:{node.lineno}"
        for path in CODE
        for node in nodes(path)
        if isinstance(node, ast.ImportFrom) and node.level
    }
    assert relative == set()


@pytest.mark.parametrize(("family", "kind"), FAMILIES)
def test_a_kind_is_a_module_with_a_config_and_make(family: str, kind: str) -> None:
    module = kinds.module(family, kind)
    assert callable(module.make)
    assert issubclass(module.Config, KindConfig)
    assert module.Config.model_config.get("frozen")
    assert module.Config.model_config.get("extra") == "forbid"
    assert module.Config.model_fields["kind"].annotation is not str, "the kind is a Literal"
    assert kind in repr(module.Config.model_fields["kind"].annotation)


def test_every_family_is_a_folder() -> None:
    assert all((ROOT / "datagen" / family / "__init__.py").is_file() for family in kinds.FAMILIES)
    assert {family for family, _ in FAMILIES} >= {"sources", "llm", "tts", "noise", "phenomena"}


def test_the_top_level_holds_what_the_design_names() -> None:
    if not (ROOT / ".git").exists():
        pytest.skip("not a checkout: what belongs to it cannot be told from what was made in it")
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.split("\n")
    top = {line.split("/")[0] for line in listed if line}
    assert {entry for entry in top if not entry.startswith(".")} - TOP_LEVEL == set()


def test_loading_the_core_loads_no_engine_and_no_cluster() -> None:
    heavy = {"dask", "distributed", "torch", "pyarrow", "soundfile", "matplotlib", "fsspec", "yaml", "typer"}
    modules = sorted(f"datagen.core.{p.stem}" for p in files("datagen/core") if p.stem != "__init__")
    code = f"import sys, {', '.join(modules)}; print(*sorted(sys.modules))"
    loaded = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert heavy & set(loaded.stdout.split()) == set()
