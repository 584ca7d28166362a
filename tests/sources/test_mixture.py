"""The mixture: every position of every part once, shares kept, any range in any order."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from datagen import kinds
from datagen.core.types import Dialogue, Unreadable
from datagen.kinds import KindConfig
from datagen.sources.mixture import Deal, Mixture
from tests.sources.reading import everything, write

HI = {"turns": [{"speaker": "user", "text": "Hi."}]}
weights = st.lists(st.floats(0.001, 1000) | st.integers(1, 9).map(float), min_size=1, max_size=5)


@given(weights, st.data())
def test_every_position_of_finite_parts_is_used_once_and_in_order(weights: list[float], data: st.DataObject) -> None:
    sizes = data.draw(st.lists(st.integers(0, 30), min_size=len(weights), max_size=len(weights)))
    deal = Deal(weights, sizes)
    assert deal.size == sum(sizes)
    seen: list[int] = [0] * len(sizes)
    for position in range(sum(sizes)):
        assert deal.counts(position) == tuple(seen)
        seen[deal.part(position)] += 1
    assert seen == sizes


@given(weights, st.integers(0, 10**9))
def test_endless_parts_keep_their_shares(weights: list[float], position: int) -> None:
    deal = Deal(weights, [None] * len(weights))
    assert deal.size is None
    counts = deal.counts(position)
    assert sum(counts) == position
    for count, weight in zip(counts, weights, strict=True):
        assert abs(count - position * weight / sum(weights)) <= len(weights)


@given(st.lists(st.none() | st.integers(0, 50), min_size=1, max_size=4), st.integers(0, 400))
def test_a_part_that_ran_out_is_never_asked_again(sizes: list[int | None], position: int) -> None:
    all_sizes = [*sizes, None]
    deal = Deal([1.0] * len(all_sizes), all_sizes)
    counts, size = deal.counts(position), all_sizes[deal.part(position)]
    assert sum(counts) == position
    assert size is None or counts[deal.part(position)] < size


def mixture(*parts: dict[str, Any]) -> Mixture:
    return kinds.make("sources", kinds.parse("sources", {"kind": "mixture", "parts": list(parts)}))


def lines(path: Path, count: int) -> dict[str, Any]:
    return {"kind": "jsonl", "path": str(_lines(path, count)), "language": "en", "licence": "CC0-1.0"}


def _lines(path: Path, count: int) -> Path:
    write(path, HI)
    path.write_text((path.read_text() + "\n") * count)
    return path


def test_items_come_from_the_parts(tmp_path: Path) -> None:
    found = mixture(
        {"weight": 3, "source": lines(tmp_path / "a.jsonl", 6)},
        {"weight": 1, "source": lines(tmp_path / "b.jsonl", 4)},
    )
    ids = [item.id for item in everything(found)]
    assert sorted(ids) == [f"{name}-{n:07d}" for name, size in (("a", 6), ("b", 4)) for n in range(1, size + 1)]
    assert [sum(name.startswith("a") for name in ids[i : i + 4]) for i in (0, 4)] == [3, 3]
    assert [name[0] for name in ids[8:]] == ["b", "b"], "the rest, once the other has run out"
    for start, stop in [(0, 0), (3, 7), (9, 10), (2, 3)]:
        assert [item.id for item in found.read(start, stop, seed=1)] == ids[start:stop]
    with pytest.raises(ValueError, match="not within the 10 of this mixture"):
        list(found.read(8, 11, seed=0))


def test_ids_can_be_kept_apart(tmp_path: Path) -> None:
    found = mixture(
        {"source": lines(tmp_path / "x" / "calls.jsonl", 1), "id_prefix": "x"},
        {"source": lines(tmp_path / "y" / "calls.jsonl", 1)},
    )
    assert {item.id for item in everything(found)} == {"x-calls-0000001", "calls-0000001"}


class Counting:
    """An endless source that shows what it was asked."""

    def size(self) -> int | None:
        return None

    def read(self, start: int, stop: int, seed: int) -> Iterator[Dialogue | Unreadable]:
        for position in range(start, stop):
            yield Unreadable(id=f"n-{position}", where=str(seed), reason="counting")


def test_an_endless_part_makes_the_mixture_endless(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = kinds.make
    endless = KindConfig(kind="counting")
    monkeypatch.setattr(kinds, "make", lambda f, c: Counting() if c.kind == "counting" else real(f, c))
    raw = kinds.parse("sources", {"kind": "mixture", "parts": [{"source": lines(tmp_path / "a.jsonl", 3)}]})
    part = cast(Any, raw).parts[0]
    found = Mixture([part, part.model_copy(update={"source": endless})])
    assert found.size() is None
    items = list(found.read(0, 20, seed=7))
    assert [item.id for item in items if item.id.startswith("n")] == [f"n-{n}" for n in range(17)]
    assert next(found.read(10**6, 10**6 + 1, seed=7)).id == f"n-{10**6 - 3}"
    assert {item.where for item in items if isinstance(item, Unreadable)} == {"7"}, "the seed is passed on"


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        ([], "parts"),
        ([{"source": {"kind": "nosuch"}}], "unknown kind 'nosuch'"),
        ([{"source": {"path": "x"}}], "needs a key 'kind'"),
        ([{"source": {"kind": "jsonl", "path": "x"}}], "jsonl: language: Field required; licence: Field required"),
        ([{"source": {"kind": "taskmaster", "path": "x"}, "weight": 0}], "weight"),
        ([{"source": {"kind": "taskmaster", "path": "x"}}] * 2, r"parts.1: the same source"),
    ],
)
def test_bad_recipes_are_refused(parts: list[Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        kinds.parse("sources", {"kind": "mixture", "parts": parts})


def test_the_config_survives_a_round_trip() -> None:
    part = {"weight": 0.3, "source": {"kind": "taskmaster", "path": "x", "max_words": 99}}
    config = kinds.parse("sources", {"kind": "mixture", "parts": [part]})
    again = type(config).model_validate_json(config.model_dump_json())
    assert again == config
    assert cast(Any, again).parts[0].source.max_words == 99
