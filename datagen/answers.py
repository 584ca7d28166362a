"""What language models have answered in a run, kept so that nothing is paid for twice, and what it cost.

    FOLDER/ab/abcd...json      one answer, named by the hash of the exact request, written before it is used
           ledger/<id>.jsonl   a line per answer a process has used: key, purpose, model, tokens

A key counts once however many ledgers hold it, so a run that was killed and resumed adds up exactly.
"""

from __future__ import annotations

import json
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Self

from pydantic import ValidationError

from datagen.core.asking import Reply, Usage
from datagen.core.prices import Prices
from datagen.core.types import Strict
from datagen.faults import BudgetReached
from datagen.files import Folder

REFRESH_S = 2.0
"""How old another process's spending may be: with the budget, this bounds how far a run can exceed it."""


class Entry(Strict):
    """One paid answer."""

    key: str
    purpose: str
    model: str
    batch: bool = False
    usage: Usage


class Budget(Strict):
    """A cap on the money that answers cost."""

    usd: float
    prices: Prices


class Answers:
    """Kept answers and their ledger; safe in threads. One per task; close it, or use it as a context."""

    def __init__(self, folder: Folder, budget: Budget | None = None) -> None:
        self._folder, self._budget = folder, budget
        self._ledgers = folder.sub("ledger")
        self._ledger = f"{uuid.uuid4().hex}.jsonl"
        self._own: dict[str, Entry] = {}
        self._known: dict[str, Entry] = {}
        """Own and other processes', each key once."""
        self._spent = 0.0
        """What the known ones cost where there is a budget. Summed as they come: it is asked before every request."""
        self._saved, self._saved_at = 0, 0.0
        self._sizes: dict[str, int] = {}
        self._read_at = -REFRESH_S
        self._reserved = 0.0
        self._lock = threading.RLock()

    def kept(self, key: str, purpose: str) -> Reply | None:
        """The answer to a request made before, in this run or in one that it resumes."""
        try:
            kept = json.loads(self._folder.read(f"{key[:2]}/{key}.json"))
            reply, batch = Reply.model_validate(kept["reply"]), bool(kept["batch"])
        except FileNotFoundError:
            return None
        except (ValueError, KeyError, TypeError):  # a power cut has shortened it
            return None
        self._note(Entry(key=key, purpose=purpose, model=reply.model, batch=batch, usage=reply.usage))
        return reply

    def keep(self, key: str, purpose: str, reply: Reply, batch: bool = False) -> None:
        """Writes an answer down; call it before the answer is used."""
        content = json.dumps({"reply": reply.model_dump(mode="json"), "batch": batch}, ensure_ascii=False)
        self._folder.write(f"{key[:2]}/{key}.json", content, durable=False)
        self._note(Entry(key=key, purpose=purpose, model=reply.model, batch=batch, usage=reply.usage))

    @contextmanager
    def paying(self, model: str, most: Usage, batch: bool = False) -> Iterator[None]:
        """Around a request: BudgetReached when what is spent, what is on its way and this one's most exceed the cap.

        What costs nothing is never stopped. ValueError when the table has no price for the model.
        """
        worst = self._budget.prices.of(model).usd(most, batch) if self._budget is not None else 0.0
        with self._lock:
            if self._budget is not None and worst:
                self._refresh()
                if self._spent + self._reserved + worst > self._budget.usd:
                    raise BudgetReached(
                        f"budget: ${self._spent:.4g} of ${self._budget.usd:g} is spent and the next answer could "
                        "exceed it; raise budget.usd to go on"
                    )
            self._reserved += worst
        try:
            yield
        finally:
            with self._lock:
                self._reserved -= worst

    def entries(self) -> list[Entry]:
        """Everything paid for in the run, each answer once, in order of key."""
        with self._lock:
            self._refresh()
            return [self._known[key] for key in sorted(self._known)]

    def document(self, name: str) -> dict[str, Any] | None:
        """A small JSON document kept beside the answers (names of batch jobs)."""
        try:
            found = json.loads(self._folder.read(name))
        except (FileNotFoundError, ValueError):
            return None
        return found if isinstance(found, dict) else None

    def write_document(self, name: str, content: dict[str, Any]) -> None:
        """See ``document``. On the disk when this returns."""
        self._folder.write(name, json.dumps(content, ensure_ascii=False))

    def close(self) -> None:
        """Writes the ledger."""
        with self._lock:
            self._save()

    def _note(self, entry: Entry) -> None:
        with self._lock:
            self._count(entry)
            self._own[entry.key] = entry
            if time.monotonic() - self._saved_at >= REFRESH_S / 2:
                self._save()

    def _count(self, entry: Entry) -> None:
        if entry.key not in self._known:
            if self._budget is not None:
                self._spent += self._budget.prices.of(entry.model).usd(entry.usage, entry.batch)
            self._known[entry.key] = entry

    def _save(self) -> None:
        if len(self._own) > self._saved:
            lines = "".join(entry.model_dump_json() + "\n" for entry in self._own.values())
            self._ledgers.write(self._ledger, lines, durable=False)
            self._saved = len(self._own)
        self._saved_at = time.monotonic()

    def _refresh(self) -> None:
        """Reads the other processes' ledgers that have grown since."""
        if time.monotonic() - self._read_at < REFRESH_S:
            return
        self._read_at = time.monotonic()
        self._ledgers.path("")[0].invalidate_cache()  # object stores remember their listings
        for name in self._ledgers.names():
            if not name.endswith(".jsonl") or name == self._ledger:
                continue
            size = self._ledgers.size(name)
            if size is not None and self._sizes.get(name) != size:
                for entry in _entries(self._ledgers.read(name)):
                    self._count(entry)
                self._sizes[name] = size

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _entries(content: bytes) -> list[Entry]:
    """The entries of a ledger. A power cut may have cut the last line: its answer is found again when it is asked."""
    entries: list[Entry] = []
    for line in content.splitlines():
        try:
            entries.append(Entry.model_validate_json(line))
        except ValidationError:
            continue
    return entries


def totals(entries: list[Entry], prices: Prices | None) -> dict[str, dict[str, Any]]:
    """Answers, tokens and, where there is a price, dollars, by "purpose model"."""
    sums: dict[str, dict[str, Any]] = {}
    for entry in entries:
        at = sums.setdefault(
            f"{entry.purpose} {entry.model}", {"answers": 0, "prompt_tokens": 0, "cached_tokens": 0, "output_tokens": 0}
        )
        at["answers"] += 1
        for name, tokens in entry.usage.model_dump().items():
            at[name] += tokens
        if prices is not None and (price := prices.find(entry.model)) is not None:
            at["usd"] = at.get("usd", 0.0) + price.usd(entry.usage, entry.batch)
    return {name: _rounded(at) for name, at in sorted(sums.items())}


def _rounded(figures: dict[str, Any]) -> dict[str, Any]:
    return {name: round(value, 4) if isinstance(value, float) else value for name, value in figures.items()}
