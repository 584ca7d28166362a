"""YAML for people: plain data only, a key twice is an error, and words stay words.

Scalars follow the YAML 1.2 core schema: only ``true`` and ``false`` are booleans (``no``, ``on`` and ``yes`` are
words), ``1e-4`` is a number, ``12:30`` and ``2024-01-31`` are text.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import yaml

_SHORT = 80
"""Characters of a list that is written on one line."""

_Base: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class _StrictLoader(_Base):
    """The safe loader, refusing duplicate keys."""

    yaml_implicit_resolvers: dict[str, Any] = {}  # noqa: RUF012  (pyyaml's own class attribute, replaced not shared)

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        first: dict[str, int] = {}
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode):
                raise yaml.constructor.ConstructorError(None, None, "a key must be plain text", key.start_mark)
            line = key.start_mark.line + 1
            if key.value in first:
                problem = f"key {key.value!r} appears twice (first on line {first[key.value]}); keep one"
                raise yaml.constructor.ConstructorError(None, None, problem, key.start_mark)
            first[key.value] = line
        return super().construct_mapping(node, deep)


class _CarefulDumper(yaml.SafeDumper):
    """The safe dumper, quoting whatever YAML 1.1 or 1.2 would not read as text; short plain lists on one line."""

    def represent_sequence(self, tag: str, sequence: Any, flow_style: bool | None = None) -> yaml.SequenceNode:
        node = super().represent_sequence(tag, sequence, flow_style)
        if all(isinstance(item, yaml.ScalarNode) for item in node.value):
            node.flow_style = sum(len(item.value) + 2 for item in node.value) <= _SHORT
        return node


def _core_schema() -> None:
    core = {
        "null": (r"null|Null|NULL|~|", [*"nN~", ""]),
        "bool": (r"true|True|TRUE|false|False|FALSE", [*"tTfF"]),
        "int": (r"[-+]?[0-9]+|0x[0-9a-fA-F]+|0o[0-7]+", [*"-+0123456789"]),
        "float": (
            r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)",
            [*"-+.0123456789"],
        ),
        "merge": (r"<<", ["<"]),
    }
    for tag, (pattern, first) in core.items():
        for side in (_StrictLoader, _CarefulDumper):
            side.add_implicit_resolver(f"tag:yaml.org,2002:{tag}", re.compile(f"^(?:{pattern})$"), first)
    _StrictLoader.add_constructor("tag:yaml.org,2002:int", lambda _, node: _integer(node.value))
    _StrictLoader.add_constructor("tag:yaml.org,2002:float", lambda _, node: _float(node.value))


def _integer(scalar: str) -> int:
    """Decimal even with a leading zero; 0x and 0o as in Python."""
    return int(scalar, 0) if scalar[:2] in ("0x", "0o") else int(scalar)


def _float(scalar: str) -> float:
    """YAML writes ``.inf`` and ``.nan``, Python ``inf`` and ``nan``."""
    return float(re.sub(r"\.(inf|nan)$", r"\1", scalar.lower()))


_core_schema()


def parse_yaml(text: str, name: str) -> dict[str, Any]:
    """The mapping a YAML text holds; ``name`` stands for the text in messages.

    Raises ValueError ``name:line: what is wrong`` for broken YAML, tags, a key twice, or anything but a mapping.

    >>> parse_yaml("answer: no", "x.yaml")
    {'answer': 'no'}
    """
    try:
        data = yaml.load(text, Loader=_StrictLoader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = mark.line + 1 if mark else 1
        raise ValueError(f"{name}:{line}: {error.problem or error.context}") from None
    except yaml.YAMLError as error:
        raise ValueError(f"{name}:1: {' '.join(str(error).split())}") from None
    if not isinstance(data, dict):
        what = {list: "a list", type(None): "nothing"}.get(type(data), f"only {str(data)[:40]!r}")
        raise ValueError(f"{name}:1: the file holds {what}; write a mapping of keys to values")
    return data


def load_yaml(path: Path | str) -> dict[str, Any]:
    """The mapping in a YAML file. Errors are those of :func:`parse_yaml`; a missing file is a ValueError too."""
    path = Path(path)
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f"{path}:1: cannot be read as UTF-8 text: {error}") from None
    return parse_yaml(text, str(path))


def dump_yaml(data: dict[str, Any]) -> str:
    """YAML that :func:`parse_yaml`, and any other reader of YAML, reads back as the same mapping."""
    return yaml.dump(data, Dumper=_CarefulDumper, sort_keys=False, allow_unicode=True, width=120)
