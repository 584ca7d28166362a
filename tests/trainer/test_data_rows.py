"""The typed row says what the published one says, on the sample clock."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from datagen.schema import SCHEMA
from datagen.schema import SCHEMA_VERSION as WRITTEN
from tests.tiny import Tiny, built
from tests.trainer.published import every_row
from trainer.data.rows import COLUMNS, SCHEMA_VERSION, row_of, samples_of

__all__ = ["built"]


def test_the_version_read_is_the_version_written() -> None:
    assert SCHEMA_VERSION == WRITTEN
    assert set(COLUMNS) <= set(SCHEMA.names)


@given(st.integers(0, 2**36))
def test_a_published_time_gives_its_sample_back(sample: int) -> None:
    assert samples_of(sample / 16_000) == sample


def test_a_row_says_what_was_published(built: Tiny) -> None:
    for item in every_row(built):
        row = row_of({name: item[name] for name in COLUMNS})
        assert (row.id, row.num_samples, row.seconds) == (item["id"], item["num_samples"], item["duration"])
        assert (row.user_voice, row.assistant_voice) == tuple(item["voices"][s]["id"] for s in ("user", "assistant"))
        for ours, theirs in zip(row.segments, item["segments"], strict=True):
            assert (ours.start / 16_000, ours.end / 16_000) == (theirs["start"], theirs["end"])
            same = ("speaker", "kind", "text", "text_full", "yielded")
            assert [getattr(ours, name) for name in same] == [theirs[name] for name in same]
            assert [(w.text, w.start / 16_000, w.end / 16_000, w.estimated) for w in ours.words] == [
                (w["word"], w["start"], w["end"], w["estimated"]) for w in theirs["words"]
            ]
        for ours, theirs in zip(row.events, item["events"], strict=True):
            assert ours.model_dump() | {"start": theirs["start"], "end": theirs["end"]} == theirs
            assert (ours.start / 16_000, ours.end / 16_000) == (theirs["start"], theirs["end"])


def test_the_words_of_a_speaker_in_order_of_segments(built: Tiny) -> None:
    row = row_of(every_row(built)[0])
    assert list(row.spoken("user")) == [(w.start, w.end) for s in row.segments if s.speaker == "user" for w in s.words]
    bare = row.model_copy(update={"segments": tuple(s.model_copy(update={"words": ()}) for s in row.segments)})
    assert list(bare.spoken("user")) == [(s.start, s.end) for s in row.segments if s.speaker == "user"]


@pytest.mark.parametrize(
    ("segment", "message"),
    [
        ({"end": 1e6}, "after the"),
        ({"end": 0.0}, "is empty"),
        ({"start": 3.0, "end": 3.5}, "order of their start"),
        ({"speaker": "nobody"}, "speaker"),
        ({"start": -1.0}, "greater than or equal to 0"),
    ],
)
def test_an_impossible_row_is_refused_by_name(built: Tiny, segment: dict[str, Any], message: str) -> None:
    item = every_row(built)[0]
    first, second, *others = item["segments"]
    second = {**second, "start": 2.0, "end": 2.5}
    item["segments"] = [{**first, **segment, "words": []}, second, *others]
    with pytest.raises(ValueError, match=f"row {item['id']}: .*{message}.*write the row again"):
        row_of(item)
