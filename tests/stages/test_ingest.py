from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from unittest.mock import Mock

import pytest
from hypothesis import given
from hypothesis import strategies as st

from datagen.core.types import SPLITS, Dialogue, Split, Turn
from datagen.kinds import KindConfig
from datagen.stages import ingest
from tests.strategies import chatter, dialogue, dialogues

SPLIT: dict[Split, float] = {"train": 0.8, "validation": 0.1, "test": 0.1}


def config(conversations: int = 10, shard: int = 4) -> ingest.Config:
    return ingest.Config(
        source=KindConfig(kind="any"),
        language="en-GB",
        replace=(("&", " and "),),
        seed=1,
        conversations=conversations,
        conversations_per_shard=shard,
        splits=SPLIT,
    )


@given(dialogues(max_turns=4), st.integers(0, 99), st.booleans())
def test_the_split_depends_on_the_words_alone(said: Dialogue, seed: int, loud: bool) -> None:
    other = Dialogue(
        id="another-name",
        language="en-US",
        domain="elsewhere",
        source="elsewhere",
        licence="MIT",
        turns=tuple(Turn(speaker=t.speaker, text=t.text.upper() if loud else t.text) for t in said.turns),
    )
    assert ingest.split_of(other, SPLIT, seed) == ingest.split_of(said, SPLIT, seed)


@given(dialogues(max_turns=2), dialogues(max_turns=2), st.integers(0, 99))
def test_parts_of_one_dialogue_stay_together(first: Dialogue, second: Dialogue, seed: int) -> None:
    parts = [d.model_copy(update={"id": f"long-one-p{n}"}) for n, d in enumerate((first, second))]
    assert ingest.split_of(parts[0], SPLIT, seed) == ingest.split_of(parts[1], SPLIT, seed)


def test_splits_are_as_large_as_asked() -> None:
    counts = Counter(ingest.split_of(chatter(n, 2), SPLIT, 1) for n in range(2_000))
    for name in SPLITS:
        expected = 2_000 * SPLIT[name]
        assert counts[name] == pytest.approx(expected, abs=4 * expected**0.5)


@pytest.mark.parametrize("name", SPLITS)
def test_shares_are_scaled_and_a_split_may_be_all(name: Split) -> None:
    assert {ingest.split_of(chatter(n, 2), {name: 3.0}, 1) for n in range(200)} == {name}
    half: dict[Split, float] = {"train": 5, "test": 5}
    assert {ingest.split_of(chatter(n, 2), half, 1) for n in range(50)} == {"train", "test"}


def test_shards_cut_the_source_without_gap_or_overlap(monkeypatch: pytest.MonkeyPatch) -> None:
    class Numbers:
        def read(self, start: int, stop: int, seed: int) -> Iterator[int]:
            yield from range(start, stop)

    monkeypatch.setattr(ingest, "make", lambda family, config: Numbers())
    for conversations, shard in ((10, 4), (8, 4), (1, 4), (3, 1)):
        of = config(conversations, shard)
        found = [n for s in range(of.num_shards) for n in ingest.records(of, s, Mock())]
        assert found == list(range(conversations))


def test_a_dialogue_is_made_speakable() -> None:
    said = dialogue([Turn(speaker="user", text="Fish & chips ,  **please**")])
    made = ingest.process(said, config(), Mock(), Mock())
    assert made.dialogue.turns[0].text == "Fish and chips, please"
    assert made.split == ingest.split_of(made.dialogue, SPLIT, 1)
    assert made.id == said.id


def test_writing_makes_no_difference_to_the_split() -> None:
    for number in range(50):
        plain = chatter(number, 3)
        marked = plain.model_copy(
            update={"turns": tuple(Turn(speaker=t.speaker, text=f"  {t.text}  ") for t in plain.turns)}
        )
        splits = {ingest.process(d, config(), Mock(), Mock()).split for d in (plain, marked)}
        assert len(splits) == 1


@pytest.mark.parametrize(
    ("language", "text", "message"),
    [
        ("es", "hola", "language 'es', the recipe asks for 'en-GB'"),
        ("en", "see https://example.org", "cannot be spoken: a web address"),
    ],
)
def test_what_cannot_be_spoken_is_refused(language: str, text: str, message: str) -> None:
    said = dialogue([Turn(speaker="user", text=text)]).model_copy(update={"language": language})
    with pytest.raises(ValueError, match=message):
        ingest.process(said, config(), Mock(), Mock())
