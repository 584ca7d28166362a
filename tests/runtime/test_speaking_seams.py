"""What is heard where two pieces meet: no gap, no click, no fall. Measured against the same sentence said in one go."""

from __future__ import annotations

import librosa
import numpy as np
import pytest

from datagen.core.units import SAMPLE_RATE
from tests.runtime.speaking import SENTENCES, audio, ms, speaker, spoken, voice
from trainer.runtime.speaking._base import Chunk, Pcm
from trainer.runtime.speaking._portions import clause_end
from trainer.runtime.speaking._seams import HALF, Rendering, Seam, join, settle

VARIANTS = ("f1", "m3", "f2", "Annie", "m7")
QUIET = 0.01
"""40 dB below the peak."""


def said_with_seam(n: int, late: float = 0.0) -> tuple[list[Chunk], list[Chunk], int]:
    """The n-th random seam: a sentence in two pieces, the same in one, and the number of words before the seam."""
    rng = np.random.default_rng(n)
    who = voice(variant=VARIANTS[n % len(VARIANTS)], pitch=int(rng.integers(30, 70)))
    text = SENTENCES[n % len(SENTENCES)].split()
    cut = int(rng.integers(2, 11))
    speak = speaker(max_words=40)
    pieces = [(0.0, " ".join(text[:cut]), False), (late, " ".join(text[cut:]), True)]
    return spoken(pieces, who=who, with_=speak), spoken([(0.0, " ".join(text), True)], who=who, with_=speak), cut


def gap_at(pcm: Pcm, at: int) -> float:
    """The longest silence that touches 20 ms around a place, in ms."""
    loud = np.flatnonzero(np.abs(pcm.astype(int)) > QUIET * np.abs(pcm.astype(int)).max())
    near = (loud[1:] > at - 320) & (loud[:-1] < at + 320)
    return ms(int((np.diff(loud) - 1)[near].max(initial=0)))


def steps(pcm: Pcm, start: int, stop: int) -> int:
    """The largest step from one sample to the next."""
    return int(np.abs(np.diff(pcm[max(0, start) : stop].astype(int))).max(initial=0))


@pytest.mark.parametrize("late", [0.0, 4.0])
@pytest.mark.parametrize("seams", [40, pytest.param(200, marks=pytest.mark.slow)])
def test_gaps_and_clicks(seams: int, late: float) -> None:
    """``late``: the second piece comes when the first has been heard. No step is larger than speech's own steps."""
    gaps: list[float] = []
    clicks: list[float] = []
    for n in range(seams):
        pieces, whole, cut = said_with_seam(n, late)
        pcm, one = audio(pieces), audio(whole)
        at, there = pieces[0].pcm.size + HALF, whole[0].words[cut][1]
        if not clause_end(pieces[0].words[-1][0]):
            gaps.append(gap_at(pcm, at))
        clicks.append(steps(pcm, at - 200, at + 200) / steps(one, there - 1600, there + 1600))
    assert max(gaps) <= 50
    assert np.median(gaps) <= 15
    assert max(clicks) <= 1.5


def test_a_written_pause_is_kept_unless_it_has_passed_already() -> None:
    def pause(at: float) -> float:
        chunks = spoken([(0.0, "Well, yes, of course,", False), (at, "that is a good idea.", True)])
        return gap_at(audio(chunks), chunks[0].pcm.size + HALF)

    assert 80 < pause(0.0) < 300
    assert pause(5.0) < 60


def median_f0(pcm: Pcm) -> float:
    """Hz over the voiced frames."""
    f0, voiced, _ = librosa.pyin(
        pcm.astype(np.float32) / 32_768, fmin=60, fmax=450, sr=SAMPLE_RATE, frame_length=1024, hop_length=160
    )
    return float(np.nanmedian(f0[voiced])) if voiced.any() else float("nan")


def semitones(a: float, b: float) -> float:
    return 12 * float(np.log2(a / b))


def last_word(chunk: Chunk) -> Pcm:
    return chunk.pcm[chunk.words[-1][1] :]


def test_no_sentence_final_fall_where_more_follows() -> None:
    """The pitch of the fifth word: as in the whole sentence, not as at the end of one."""
    against_whole: list[float] = []
    against_final: list[float] = []
    for text in (SENTENCES[0], SENTENCES[5], SENTENCES[7]):
        prefix = " ".join(text.split()[:5])
        rest = " ".join(text.split()[5:])
        open_, final = spoken([(0.0, prefix, False), (0.0, rest, True)])[0], spoken([(0.0, prefix, True)])[0]
        whole = spoken([(0.0, text, True)], with_=speaker(max_words=40))[0]
        _, start, end = whole.words[4]
        f0 = median_f0(last_word(open_))
        against_whole.append(semitones(f0, median_f0(whole.pcm[start:end])))
        against_final.append(semitones(f0, median_f0(last_word(final))))
    assert abs(float(np.nanmean(against_whole))) < 0.3
    assert float(np.nanmean(against_final)) > 1


def test_what_follows_a_seam_is_spoken_as_the_middle_of_a_sentence() -> None:
    """Its first word lasts as long as in the whole sentence, also where the pair before it ("in the") has one time."""
    for before, after in (("He lives in", "the big white house."), ("I think that is a", "good idea in the end.")):
        whole = spoken([(0.0, f"{before} {after}", True)])[0]
        chunks = spoken([(0.0, before, False), (0.0, after, True)])
        _, start, _ = whole.words[len(before.split())]
        alone = spoken([(0.0, after, True)])[0]
        rest = chunks[1].pcm.size
        assert rest == pytest.approx(whole.pcm.size - start, abs=640)
        assert not np.array_equal(chunks[1].pcm[-4_000:], alone.pcm[-4_000:])


def test_a_piece_that_begins_or_ends_loud_is_ramped() -> None:
    loud = Rendering(tone(0.5, 1.5), 0, 4_000, ((0, 4_000),))
    pcm = join(Seam(), loud).pcm
    assert max(abs(int(pcm[0])), abs(int(pcm[-1]))) < 100
    assert np.abs(pcm.astype(int)).max() > 8_500


def tone(seconds: float, phase: float = 0.0) -> Pcm:
    t = np.arange(round(seconds * SAMPLE_RATE)) / SAMPLE_RATE
    return np.round(9_000 * np.sin(2 * np.pi * 110 * t + phase)).astype(np.int16)


@pytest.mark.parametrize("phase", [0.0, 1.0, 2.5, 4.0])
def test_two_renderings_of_one_tone_join_in_phase(phase: float) -> None:
    """The level never dips and no step is larger than the tone's own."""
    first = join(Seam(), Rendering(tone(0.5), 0, 4_000, ((0, 4_000),), goes_on_after=True))
    second = join(first.seam, Rendering(tone(0.5, phase), 3_000, 8_000, ((3_000, 8_000),), goes_on_before=True))
    pcm = np.concatenate([first.pcm, second.pcm])
    assert steps(pcm, 3_000, 5_000) <= 1.1 * steps(tone(0.5), 0, 8_000)
    assert all(np.abs(pcm[at : at + 160].astype(int)).max() > 8_500 for at in range(3_500, 4_500, 20))
    assert second.seam.total == pcm.size


def test_settling_gives_out_the_rest_faded() -> None:
    first = join(Seam(), Rendering(tone(0.5), 0, 4_000, ((0, 4_000),), goes_on_after=True))
    rest = settle(first.seam)
    assert (first.pcm.size + rest.pcm.size, rest.seam.total) == (4_000, 4_000)
    assert abs(int(rest.pcm[-1])) < 90
    assert settle(rest.seam).pcm.size == 0
