"""Laws of cutting prompts, over made-up rooms with bursts of sound in them, and over real recordings."""

from __future__ import annotations

import numpy as np
import pytest
import soundfile
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from datagen.core.audio import Signal
from datagen.core.prompting import Cut, Rules, cuts, listen, whole
from tests.helpers import samples

RATE = 16_000
RULES = Rules()
NOISE = 1e-3
"""-60 dB."""
EDGE_S = 0.03
"""Frames of 10 ms, averaged by three, find the edge of a sound within this."""

Piece = tuple[float, float]
"""Seconds of silence, then seconds of sound."""


def room(pieces: list[Piece], last_s: float = 1.0, rate: int = RATE, level: float = 0.1) -> tuple[Signal, list[Piece]]:
    """A noisy room with bursts of louder noise in it, and where these lie, in seconds."""
    rng = np.random.default_rng(len(pieces))
    total = sum(gap + sound for gap, sound in pieces) + last_s
    signal = rng.normal(0, NOISE, round(total * rate))
    at, where = 0.0, []
    for gap, sound in pieces:
        at += gap
        first, count = round(at * rate), round(sound * rate)
        signal[first : first + count] += rng.normal(0, level, count)
        where.append((at, at + sound))
        at += sound
    return signal.astype(np.float32), where


def usable(signal: Signal, rate: int = RATE, rules: Rules = RULES) -> list[Cut]:
    return [cut for cut in cuts(listen(signal, rate), rules) if not cut.fault]


pieces = st.lists(
    st.tuples(st.floats(0.2, 0.7).map(lambda s: round(s, 2)), st.floats(0.3, 3.0).map(lambda s: round(s, 2))),
    min_size=2,
    max_size=7,
)


@settings(max_examples=60, deadline=None)
@given(pieces=pieces)
def test_a_cut_holds_whole_sounds_between_silences(pieces: list[Piece]) -> None:
    signal, where = room(pieces)
    for cut in usable(signal):
        start, end = cut.start / RATE, cut.end / RATE
        assert RULES.seconds[0] <= cut.seconds <= RULES.seconds[1]
        inside = [(a, b) for a, b in where if a < end - EDGE_S and b > start + EDGE_S]
        assert inside
        assert inside[0][0] - start == pytest.approx(0.1, abs=EDGE_S)
        assert 0.1 - EDGE_S <= end - inside[-1][1] <= 0.35 + EDGE_S
        assert all(start <= a and b <= end for a, b in inside)
        assert all(a - end >= EDGE_S for a, _ in where if a > end)
        assert len(cut.spans) == len(inside)


@settings(max_examples=60, deadline=None)
@given(pieces=pieces)
def test_every_stretch_that_fits_is_found(pieces: list[Piece]) -> None:
    signal, where = room(pieces)
    found = {(cut.start, cut.end) for cut in cuts(listen(signal, RATE), RULES)}
    for first in range(len(where)):
        for last in range(first, len(where)):
            length = where[last][1] - where[first][0]
            near = [s for s, e in found if abs(s / RATE + 0.1 - where[first][0]) < EDGE_S if e / RATE > where[last][1]]
            if RULES.seconds[0] <= length <= RULES.seconds[1] - 0.45 - 2 * EDGE_S:
                assert near


@settings(max_examples=30, deadline=None)
@given(pieces=pieces, gain=st.sampled_from([0.25, 0.5, 2.0]), offset=st.floats(-0.2, 0.2))
def test_neither_level_nor_offset_moves_a_cut(pieces: list[Piece], gain: float, offset: float) -> None:
    signal, _ = room(pieces)
    assume(usable(signal))
    before, after = listen(signal, RATE), listen((signal * gain + offset).astype(np.float32), RATE)
    one, two = cuts(before, RULES), cuts(after, RULES)
    assert [(c.start, c.end) for c in one] == [(c.start, c.end) for c in two]
    for left, right in zip(one, two, strict=True):
        assert right.snr_db == pytest.approx(left.snr_db, abs=0.1)
        assert right.level_db - left.level_db == pytest.approx(20 * np.log10(gain), abs=0.1)


@pytest.mark.parametrize("rate", [16_000, 22_050, 24_000])
def test_any_rate_gives_the_same_cuts_in_seconds(rate: int) -> None:
    signal, _ = room([(0.5, 2.0), (0.4, 2.5), (0.5, 3.0)], rate=rate)
    found = [(cut.start / rate, cut.end / rate) for cut in usable(signal, rate)]
    wanted = [(0.4, 5.75), (0.4, 9.25), (2.8, 9.25), (5.8, 9.25)]
    assert len(found) == len(wanted)
    np.testing.assert_allclose(found, wanted, atol=EDGE_S)


def test_sound_that_reaches_an_edge_may_be_cut_off() -> None:
    signal, _ = room([(0.0, 4.0), (1.2, 4.0)], last_s=0.0)
    assert usable(signal) == []
    signal, _ = room([(0.0, 4.0), (1.2, 4.0)], last_s=0.2)
    (cut,) = usable(signal)
    assert cut.start / RATE == pytest.approx(5.1, abs=EDGE_S)
    assert cut.end == signal.size


def test_snr_and_level_are_those_of_the_room() -> None:
    signal, _ = room([(1.0, 4.0)])
    (cut,) = usable(signal)
    assert cut.level_db == pytest.approx(-20, abs=0.3)
    assert cut.snr_db == pytest.approx(40, abs=1.5)


def only(signal: Signal, **changes: object) -> Cut:
    """The one cut of a recording, under changed rules."""
    (cut,) = cuts(listen(signal, RATE), Rules.model_validate(changes))
    return cut


def test_faults_are_told() -> None:
    signal, _ = room([(1.0, 2.0), (1.0, 2.0)])
    assert any(cut.fault == "it pauses for 1.0 s" for cut in cuts(listen(signal, RATE), RULES))
    signal, _ = room([(1.0, 4.0)])
    assert only(signal).fault == ""
    assert only(signal, min_snr_db=50).fault == "its speech is 40 dB above the noise, not 50"
    assert only(signal * np.float32(0.01)).fault.startswith("its speech has -60 dB")
    loud = signal.copy()
    loud[2 * RATE : 2 * RATE + 10] = 1.0
    assert only(loud).fault == "10 samples are clipped"
    loud[:] = signal
    loud[2 * RATE : 2 * RATE + 2] = 1.0
    assert only(loud).fault == ""
    sparse, _ = room([(0.5, 0.1), *[(0.3, 0.1)] * 9], last_s=0.5)
    assert "sounds" in whole(listen(sparse, RATE), RULES).fault


def test_what_is_better_scores_higher() -> None:
    def score(signal: Signal) -> float:
        (cut,) = usable(signal)
        return cut.score

    good = score(room([(1.0, 6.0)])[0])
    assert score(room([(1.0, 9.0)])[0]) < good
    assert score(room([(1.0, 3.5)])[0]) < good
    assert score(room([(1.0, 6.0)], level=0.02)[0]) < good
    assert score(room([(1.0, 6.0)], last_s=0.17)[0]) < score(room([(1.0, 6.0)], last_s=0.3)[0])
    gaps, _ = room([(1.0, 0.5), *[(0.5, 0.5)] * 5])
    assert max(cut.score for cut in usable(gaps) if cut.end > 6 * RATE and cut.start < RATE) < good


def test_a_click_is_no_speech_and_a_stop_is_no_pause() -> None:
    clicks, _ = room([(1.0, 0.02), (1.0, 4.0), (1.0, 0.02)])
    (cut,) = usable(clicks)
    assert cut.start / RATE == pytest.approx(1.92, abs=EDGE_S)
    stops, _ = room([(1.0, 2.0), (0.08, 2.0)])
    (cut,) = usable(stops)
    assert len(cut.spans) == 1


def test_digital_silence_is_not_the_noise_of_the_room() -> None:
    signal, _ = room([(1.0, 4.0)])
    padded = np.concatenate([np.zeros(3 * RATE, np.float32), signal, np.zeros(3 * RATE, np.float32)])
    assert only(padded).snr_db == pytest.approx(only(signal).snr_db, abs=0.5)


@pytest.mark.parametrize(
    ("signal", "reason"),
    [
        (np.zeros(2 * RATE, np.float32), "nothing in it rises"),
        (np.random.default_rng(0).normal(0, 0.1, 2 * RATE).astype(np.float32), "nothing in it rises"),
        (np.zeros(100, np.float32), "less than a second"),
        (np.zeros(0, np.float32), "less than a second"),
    ],
)
def test_a_recording_without_speech_is_refused(signal: Signal, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        listen(signal, RATE)


def test_the_whole_is_all_the_speech_and_little_more() -> None:
    signal, where = room([(2.0, 2.0), (0.4, 2.0)], last_s=3.0)
    cut = whole(listen(signal, RATE), RULES)
    assert cut.fault == ""
    assert cut.start / RATE == pytest.approx(where[0][0] - 0.1, abs=EDGE_S)
    assert cut.end / RATE == pytest.approx(where[-1][1] + 0.35, abs=EDGE_S)
    tight, _ = room([(0.0, 2.0), (0.6, 2.0)], last_s=0.0)
    cut = whole(listen(tight, RATE), RULES)
    assert (cut.fault, cut.start, cut.end) == ("", 0, tight.size)


def test_rules_must_be_in_order() -> None:
    with pytest.raises(ValidationError, match="seconds: give a lower and an upper bound"):
        Rules(seconds=(5, 3))


def test_real_recordings_are_cut_in_their_pauses() -> None:
    """A President's long pauses, a reader's short ones: what is found is what one sees."""
    folder = samples() / "speech"
    signal, rate = soundfile.read(folder / "jfk.flac", dtype="float32", always_2d=True)
    (cut,) = usable(signal.mean(axis=1), rate)
    assert (cut.start / rate, cut.end / rate) == pytest.approx((5.3, 10.6), abs=0.1)
    signal, rate = soundfile.read(folder / "vctk_p286_011.wav", dtype="float32")
    best = max(usable(np.asarray(signal, np.float32), rate), key=lambda cut: cut.score)
    assert best.seconds == pytest.approx(6.05, abs=0.1)
    assert best.snr_db > 30
