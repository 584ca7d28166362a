"""Linking a grammar folder: names resolved, sub-flows inlined, mistakes refused with file and key."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import accumulate
from pathlib import Path

from datagen.core.types import Speaker
from datagen.sources import _grammar_text as text
from datagen.sources._grammar_files import SHARED, BranchFile, Folder, SlotFile, StepFile, read_folder
from datagen.sources._grammar_graph import Choose, Grammar, Halt, If, Move, Say, Steps, Switch, Topic

START = "start"


@contextmanager
def _at(where: str) -> Iterator[None]:
    """Puts file and key before a message, once."""
    try:
        yield
    except ValueError as error:
        message = str(error)
        raise ValueError(message if ".yaml: " in message else f"{where}: {message}") from None


def _missing(kind: str, name: str, known: Iterable[str]) -> ValueError:
    close = difflib.get_close_matches(name, sorted(known), n=1)
    hint = f"; did you mean {close[0]!r}?" if close else f"; define it here or in {SHARED}"
    return ValueError(f"there is no {kind} {name!r}{hint}")


@dataclass
class _Scope:
    """The names one file sees: its own and, behind them, those of the shared file."""

    file: str
    slots: Mapping[str, SlotFile]
    phrases: Mapping[str, tuple[str, ...]]
    flows: Mapping[str, tuple[StepFile, ...]]
    silent: frozenset[str]
    parent: _Scope | None
    linked: dict[str, text.Alternatives] = field(default_factory=dict)
    open: list[str] = field(default_factory=list)
    used: set[str] = field(default_factory=set)
    templates: int = 0

    def __post_init__(self) -> None:
        for key in ("slots", "phrases", "flows"):
            if self.parent and (twice := sorted(set(getattr(self, key)) & set(getattr(self.parent, key)))):
                raise ValueError(f"{self.file}: {key}.{twice[0]}: also in {SHARED}; rename one")

    def names(self, key: str) -> set[str]:
        return set(getattr(self, key)) | (self.parent.names(key) if self.parent else set())

    # -- text ------------------------------------------------------------------------------------------------

    def template(self, alternatives: tuple[str, ...], where: str) -> text.Nodes:
        """A template or several alternatives as nodes."""
        weighted: list[tuple[float, text.Nodes]] = []
        for written in alternatives:
            with _at(where):
                weight, rest = text.weight_of(" ".join(written.split()))
                weighted.append((weight, text.Parser(rest, self.phrase, self.slot, self.silent).parse()))
        self.templates += len(alternatives)
        return weighted[0][1] if len(weighted) == 1 else (text.alternatives(weighted),)

    def phrase(self, name: str) -> text.Alternatives:
        if name not in self.phrases:
            if self.parent and name in self.parent.phrases:
                return self.parent.phrase(name)
            raise _missing("phrase", name, self.names("phrases"))
        self.used.add(f"phrases.{name}")
        if name not in self.linked:
            with self._entered(f"<{name}>"):
                nodes = self.template(self.phrases[name], f"{self.file}: phrases.{name}")
            one = nodes[0] if len(nodes) == 1 else None
            self.linked[name] = one if isinstance(one, text.Alternatives) else text.alternatives([(1.0, nodes)])
        return self.linked[name]

    def slot(self, name: str, column: str | None) -> text.Slot:
        table = self._table(name)
        if column is not None and column not in table.fields:
            raise _missing(f"field of slot {name!r} called", column, table.fields)
        at = table.fields.index(column) if column else 0
        texts = tuple(text.speakable(row[at]) for row in table.rows)
        sounds = tuple(text.sound(value, self.silent) for value in texts)
        if not all(sounds):
            raise ValueError(f"slot {name!r} has an empty {table.fields[at]!r}")
        return text.Slot(name, self._family(name), texts, sounds)

    def _table(self, name: str) -> SlotFile:
        scope = self._owner(name)
        slot = scope.slots[name]
        if slot.like is None:
            return slot
        with _at(f"{scope.file}: slots.{name}"):
            source = scope._owner(slot.like).slots[slot.like]
            if source.like is not None:
                raise ValueError(f"like {slot.like!r} is itself like another; name the slot with the values")
        return source

    def _owner(self, name: str) -> _Scope:
        """The scope that defines a slot."""
        if name in self.slots:
            self.used.add(f"slots.{name}")
            return self
        if self.parent and name in self.parent.slots:
            return self.parent._owner(name)
        raise _missing("slot", name, self.names("slots"))

    def _family(self, name: str) -> frozenset[str]:
        slots = {**(self.parent.slots if self.parent else {}), **self.slots}
        root = slots[name].like or name
        return frozenset(n for n, slot in slots.items() if n != name and (slot.like or n) == root)

    @contextmanager
    def _entered(self, name: str) -> Iterator[None]:
        if name in self.open:
            raise ValueError(f"{' -> '.join([*self.open, name])} goes round in a circle; a grammar must end")
        self.open.append(name)
        try:
            yield
        finally:
            self.open.pop()

    # -- flow ------------------------------------------------------------------------------------------------

    def steps(self, written: tuple[StepFile, ...], key: str) -> Steps:
        """Steps linked and sub-flows inlined."""
        return tuple(step for i, one in enumerate(written) for step in self._step(one, f"{key}.{i}"))

    def flow(self, name: str) -> Steps:
        if name not in self.flows:
            if self.parent and name in self.parent.flows:
                return self.parent.flow(name)
            raise _missing("flow", name, self.names("flows"))
        self.used.add(f"flows.{name}")
        with self._entered(f"flow {name}"):
            return self.steps(self.flows[name], f"flows.{name}")

    def _step(self, step: StepFile, key: str) -> Steps:
        for name, link in _LINKERS.items():
            if getattr(step, name) is not None:
                with _at(f"{self.file}: {key}.{name.rstrip('_')}"):
                    return link(self, step, key)
        raise AssertionError("StepFile holds exactly one")

    def say(self, speaker: Speaker, template: tuple[str, ...], key: str) -> Steps:
        where = f"{self.file}: {key}.{speaker}"
        nodes = self.template(template, where)
        if text.can_be_empty(nodes):
            raise ValueError("the text can be empty; use maybe for what may be left out")
        return (Say(speaker, nodes, where),)

    def choose(self, branches: tuple[BranchFile, ...], key: str) -> Steps:
        linked = tuple(self.steps(b.steps, f"{key}.choose.{i}") for i, b in enumerate(branches))
        return (Choose(linked, tuple(accumulate(b.weight for b in branches))),)

    def condition(self, step: StepFile, key: str) -> Steps:
        yes, no = self.steps(step.steps, f"{key}.steps"), self.steps(step.else_, f"{key}.else")
        name = step.if_ or step.unless or ""
        self._owner(name)
        return (If(name, yes, no) if step.if_ else If(name, no, yes),)

    def move(self, pairs: Mapping[str, str]) -> Steps:
        for target, source in pairs.items():
            if self._table(target) is not self._table(source):
                raise ValueError(f"{target!r} and {source!r} have different tables; declare one like the other")
        return tuple(Move(t, s, len(self._table(s).values), self._family(s)) for t, s in pairs.items())


_LINKERS: Mapping[str, Callable[[_Scope, StepFile, str], Steps]] = {
    "user": lambda s, step, key: s.say("user", step.user or (), key),
    "assistant": lambda s, step, key: s.say("assistant", step.assistant or (), key),
    "maybe": lambda s, step, key: (Choose((s.steps(step.steps, f"{key}.steps"), ()), (step.maybe or 0.0, 1.0)),),
    "choose": lambda s, step, key: s.choose(step.choose or (), key),
    "if_": lambda s, step, key: s.condition(step, key),
    "unless": lambda s, step, key: s.condition(step, key),
    "set": lambda s, step, key: s.move(step.set or {}),
    "flow": lambda s, step, key: s.flow(step.flow or ""),
    "topic": lambda s, step, key: (Switch(step.topic == "same"),),
    "stop": lambda s, step, key: (Choose(((Halt(),), ()), (step.stop or 0.0, 1.0)),),
}


def _topics(scope: _Scope, domain: str, weight: float, written: Mapping[str, BranchFile]) -> list[Topic]:
    total = sum(branch.weight for branch in written.values())
    return [
        Topic(domain, name, weight * branch.weight / total, scope.steps(branch.steps, f"topics.{name}"))
        for name, branch in written.items()
    ]


def _unused(scope: _Scope) -> list[str]:
    keys = [f"{kind}.{name}" for kind in ("slots", "phrases", "flows") for name in getattr(scope, kind)]
    return [f"{scope.file}: {key}" for key in keys if key not in scope.used]


def link(folder: Folder) -> Grammar:
    """A grammar as it can be walked.

    Raises ValueError ``file: key: what is wrong`` for an unknown phrase, slot or flow, a circle, or unspeakable text.
    """
    shared, silent = folder.shared, frozenset(word.casefold() for word in folder.shared.silent)
    base = _Scope(f"{folder.name}/{SHARED}", shared.slots, shared.phrases, shared.flows, silent, None)
    if START not in shared.flows:
        raise ValueError(f"{base.file}: flows: there is no flow {START!r}; every dialogue begins with it")
    start = base.flow(START)
    scopes, topics = [base], []
    for name, domain in folder.domains.items():
        file = f"{folder.name}/{name}.yaml"
        scopes.append(_Scope(file, domain.slots, domain.phrases, domain.flows, silent, base))
        topics += _topics(scopes[-1], name, domain.weight, domain.topics)
    return Grammar(
        name=folder.name,
        language=shared.language,
        licence=shared.licence,
        silent=silent,
        start=start,
        topics=tuple(topics),
        unused=tuple(key for scope in scopes for key in _unused(scope)),
        alternatives=sum(scope.templates for scope in scopes),
    )


@lru_cache(maxsize=8)
def load(path: Path) -> Grammar:
    """The grammar in a folder, read and linked once per process."""
    return link(read_folder(path))
