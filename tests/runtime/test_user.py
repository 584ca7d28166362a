"""The user's side: whose turn it is, and what of it goes to the recogniser."""

from __future__ import annotations

import numpy as np

from datagen.core.units import FRAME_SAMPLES
from trainer.runtime.user import KEPT_TICKS, User, spoken

QUIET = np.full(FRAME_SAMPLES, 2, np.int16)
LOUD = np.full(FRAME_SAMPLES, 4_000, np.int16)


def test_a_turn_begins_with_the_voice_while_the_assistant_is_silent_or_when_it_yields() -> None:
    user = User()
    assert not user.voiced(None, silent=True, yielded=False)
    assert not user.voiced("speech", silent=False, yielded=False), "a voice beside the assistant's takes no floor"
    assert user.voiced(None, silent=True, yielded=False), "it goes on when the assistant has ended"
    user.item = "a"
    assert not user.voiced(None, silent=True, yielded=True), "a turn begins once"
    assert user.end() == "a"
    assert not user.voiced("end", silent=True, yielded=False)
    assert user.voiced(None, silent=False, yielded=True)


def test_what_is_taken_is_the_speech_and_comes_once() -> None:
    user = User()
    for chunk in [QUIET] * 5 + [LOUD] * 3 + [QUIET] * 4:
        user.heard(chunk)
    first, pcm = user.take()
    assert first == 4
    assert len(pcm) == 5 * FRAME_SAMPLES
    assert np.array_equal(pcm[FRAME_SAMPLES : 4 * FRAME_SAMPLES], np.concatenate([LOUD] * 3))
    assert user.take()[1].size == 0


def test_a_minute_is_kept() -> None:
    user = User()
    for _ in range(2 * KEPT_TICKS):
        user.heard(LOUD)
    first, pcm = user.take()
    assert (first, len(pcm)) == (KEPT_TICKS, KEPT_TICKS * FRAME_SAMPLES)


def test_silence_is_no_speech() -> None:
    assert spoken([]) == spoken([0.0, 0.0]) == (0, 0)


def test_what_was_written_is_a_turn_too() -> None:
    user = User()
    user.typed_item = "b"
    assert user.end() is None
    assert user.last_item == "b"
