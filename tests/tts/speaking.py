"""What the tests of the embedded engine share: an engine, voices, texts, odd texts, and fingerprints of speech."""

from __future__ import annotations

from functools import cache
from hashlib import blake2b
from itertools import product

import pytest
from hypothesis import strategies as st

from datagen import kinds
from datagen.core.types import Voice, Word
from datagen.kinds import Speech
from datagen.tts.espeak import Config, Espeak

pytest.importorskip("espeakng_loader")

TEXTS = (
    "I was thinking we could meet at the station around seven.",
    "Yes, of course.",
    "It costs 19.50, in the end; don't you think?",
)


@cache
def engine() -> Espeak:
    return kinds.make("tts", Config(kind="espeak"))


def voice(**params: str | int) -> Voice:
    return Voice(id="v", language="en", split="train", origin="o", licence="l", params={"base": "gmw/en-US", **params})


VOICES = (voice(), voice(variant="f2"), voice(base="gmw/en-GB-x-rp", variant="Annie", pitch=20), voice(variant="m3"))


def words_of(speech: Speech) -> tuple[Word, ...]:
    """The words of an engine that knows their times."""
    assert speech.words is not None
    return speech.words


def digest(speech: Speech) -> str:
    """A fingerprint of the samples and the words."""
    return blake2b(speech.pcm.tobytes() + repr(speech.words).encode(), digest_size=8).hexdigest()


def digests(order: list[int]) -> dict[str, str]:
    """Speak all texts with all voices in an order of their numbers."""
    jobs = list(product(TEXTS, VOICES))
    return {str(n): digest(engine().synthesize(*jobs[n], seed=n)) for n in order}


@cache
def expected() -> dict[str, str]:
    return digests(list(range(len(TEXTS) * len(VOICES))))


ODD = st.one_of(
    st.text(max_size=60),
    st.text(alphabet="abe .,!?;:'\"<>[](){}_*&@%#\0\t\n…“”‘’–—019$é", max_size=60),
    st.lists(
        st.sampled_from(
            [
                "<break",
                'time="9s"/>',
                "[[h@l'oU]]",
                "</speak>",
                "..",
                "a..b",
                "U.S.A.",
                "1999",
                "👍",
                "-",
                "don't",
                "x" * 90,
            ]
        ),
        max_size=8,
    ).map(" ".join),
)
