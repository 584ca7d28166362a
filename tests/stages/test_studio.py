"""No clip that breaks a rule leaves the studio, however the engine fails."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from datagen.core.acceptance import Acceptance, faults
from datagen.core.rng import stream
from datagen.core.types import Voice
from datagen.kinds import Heard
from datagen.stages.studio import Bank, Clip, Line, Refused
from tests.stages.speaking import FAULTS, Buzzer, studio, voice

TEXT = "We took the early train and were there before nine."
RULES = Acceptance(attempts=3, prompts=2)


def line(text: str = TEXT, cue: int | None = None, record: str = "c-1", of: Voice | None = None) -> Line:
    return Line(record, 0, cue, "user", text, of or voice())


def first_times(number: int, name: str) -> Buzzer:
    """Fails so many times, then speaks."""
    left = Counter({name: number})

    def fault(text: str, of: Voice, seed: int) -> str:
        left[name] -= 1
        return name if left[name] >= 0 else ""

    return Buzzer(fault)


@pytest.mark.parametrize("name", [*FAULTS, "fails"])
def test_a_bad_clip_is_made_again_with_another_seed(tmp_path: Path, name: str) -> None:
    engine = first_times(2, name)
    clip = studio(engine, tmp_path, acceptance=RULES).clip(line())
    assert clip.attempts == len(engine.calls) == 3
    assert len({seed for _, _, seed in engine.calls}) == 3
    assert faults(clip.pcm, TEXT, RULES) == ()


@pytest.mark.parametrize("name", [*FAULTS, "fails"])
def test_when_all_attempts_fail_the_reason_is_said(tmp_path: Path, name: str) -> None:
    engine = Buzzer(lambda *_: name)
    reason = "the server sent half a clip" if name == "fails" else name
    with pytest.raises(Refused, match=rf"^{reason}.*; 3 attempts$"):
        studio(engine, tmp_path, acceptance=RULES).clip(line())
    assert len(engine.calls) == 3


@given(st.integers(0, 10_000), st.floats(0, 0.9))
def test_whatever_is_accepted_keeps_the_rules(seed: int, share: float) -> None:
    def fault(text: str, of: Voice, attempt_seed: int) -> str:
        rng = stream(attempt_seed + seed, text, "fault")
        return str(rng.choice([*FAULTS, "fails"])) if rng.random() < share else ""

    with TemporaryDirectory() as folder:
        try:
            clip = studio(Buzzer(fault), Path(folder), acceptance=RULES).clip(line())
        except Refused:
            return
        assert faults(clip.pcm, TEXT, RULES) == ()
        assert [w.text for w in clip.words] == TEXT.split()
        assert all(w.estimated for w in clip.words)
        assert clip.words[-1].end <= clip.pcm.size


def test_a_clip_is_trimmed_to_its_speech(tmp_path: Path) -> None:
    clip = studio(Buzzer(), tmp_path, acceptance=RULES).clip(line())
    level = np.abs(clip.pcm.astype(float))
    spoken = np.flatnonzero(level > level.max() / 20)
    assert spoken[0] < 16 * 130
    assert clip.pcm.size - spoken[-1] < 16 * 130


def test_after_the_attempts_the_next_prompt_is_tried(tmp_path: Path) -> None:
    many = voice(prompts=(8.0, 3.5, 6.0))
    engine = Buzzer(lambda text, of, seed: "silent" if of.prompts[0].seconds == 8 else "")
    clip = studio(engine, tmp_path, acceptance=RULES).clip(line(of=many))
    assert [prompt for _, prompt, _ in engine.calls] == ["p0-8s.wav"] * 3 + ["p1-3.5s.wav"]
    assert clip.attempts == 4


def test_a_cue_is_said_with_the_shortest_prompt(tmp_path: Path) -> None:
    engine = Buzzer()
    studio(engine, tmp_path, acceptance=RULES).clip(line("Mm-hmm.", cue=0, of=voice(prompts=(8.0, 3.5, 6.0))))
    assert [prompt for _, prompt, _ in engine.calls] == ["p1-3.5s.wav"]


def test_the_clip_depends_on_the_line_alone(tmp_path: Path) -> None:
    one, two = (studio(Buzzer(), tmp_path / name, acceptance=RULES) for name in "ab")
    wanted = one.clip(line())
    two.clip(line(record="c-2"))
    assert np.array_equal(two.clip(line()).pcm, wanted.pcm)
    assert not np.array_equal(one.clip(line(record="c-2")).pcm, wanted.pcm)


class Deaf:
    """A recogniser that hears what it is told to, whatever is said."""

    def __init__(self, text: str) -> None:
        self.text = text

    def transcribe(self, pcm: np.ndarray, language: str) -> Heard:
        return Heard(tuple((word, 0, 0) for word in self.text.split()))


def test_other_words_are_refused_and_the_right_ones_are_counted(tmp_path: Path) -> None:
    right = studio(Buzzer(), tmp_path, Deaf("we took the early train and were there before 9"), acceptance=RULES)
    assert right.clip(line()).wer == 0
    nearly = studio(Buzzer(), tmp_path, Deaf("we took an early train and were there before nine"), acceptance=RULES)
    assert nearly.clip(line()).wer == 0.1
    wrong = studio(Buzzer(), tmp_path, Deaf("something else altogether was said in here"), acceptance=RULES)
    with pytest.raises(Refused, match="word error rate"):
        wrong.clip(line())
    leaked = studio(Buzzer(), tmp_path, Deaf(f"these are my words {TEXT}"), acceptance=RULES)
    with pytest.raises(Refused, match="of the prompt"):
        leaked.clip(line(of=voice(prompts=(4.0,))))


class Hears:
    """A recogniser that hears the text, and its first two words where they are."""

    def transcribe(self, pcm: np.ndarray, language: str) -> Heard:
        first, second, *others = TEXT.split()
        return Heard(((first, 1000, 3000), (second, 3000, 6000), *((word, 6000, 6000) for word in others)))


def test_what_was_heard_gives_the_words_their_times(tmp_path: Path) -> None:
    clip = studio(Buzzer(), tmp_path, Hears(), acceptance=RULES).clip(line())
    assert [(w.start, w.end, w.estimated) for w in clip.words[:2]] == [(1000, 3000, False), (3000, 6000, False)]
    assert not any(w.estimated for w in clip.words)


class TwoWords:
    """An aligner that finds the first two words."""

    def align(self, pcm: np.ndarray, words: list[str], language: str) -> dict[int, tuple[int, int]]:
        return {0: (1000, 3000), 1: (3000, 6000)}


def test_aligned_words_have_their_times_and_the_others_are_marked(tmp_path: Path) -> None:
    clip = studio(Buzzer(), tmp_path, aligner=TwoWords(), acceptance=RULES).clip(line())
    assert [(w.start, w.end, w.estimated) for w in clip.words[:2]] == [(1000, 3000, False), (3000, 6000, False)]
    assert all(w.estimated for w in clip.words[2:])


def banked(engine: Buzzer, shelf: Path, record: str, of: Voice | None = None) -> Clip:
    made = studio(engine, shelf, acceptance=RULES, bank=Bank(variants=4))
    return made.clip(line("Mm-hmm.", cue=0, record=record, of=of))


def test_the_bank_makes_a_few_clips_and_shares_them(tmp_path: Path) -> None:
    engine = Buzzer()
    clips = [banked(engine, tmp_path, f"c-{n}") for n in range(40)]
    assert len(engine.calls) == len({clip.pcm.tobytes() for clip in clips}) == 4
    again = [banked(Buzzer(lambda *_: "fails"), tmp_path, f"c-{n}") for n in range(40)]
    assert [c.pcm.tobytes() for c in again] == [c.pcm.tobytes() for c in clips]
    assert [c.words for c in again] == [c.words for c in clips]
    banked(engine, tmp_path, "c-1", voice("v2"))
    assert len(engine.calls) == 5


def test_long_cues_and_turns_do_not_come_from_the_bank(tmp_path: Path) -> None:
    made = studio(Buzzer(), tmp_path, acceptance=RULES, bank=Bank())
    made.clip(line("Mm-hmm."))
    made.clip(line("Oh, that sounds really lovely.", cue=0))
    assert list(tmp_path.rglob("*")) == []


def test_a_variant_whose_seed_fails_is_made_with_its_next_seed_once(tmp_path: Path) -> None:
    bad = [seed for _, _, seed in _calls(tmp_path / "all")][:3]
    engine = Buzzer(lambda text, of, seed: "silent" if seed in bad else "")
    for _ in range(2):
        clips = {banked(engine, tmp_path / "some", f"c-{n}").pcm.tobytes() for n in range(40)}
        assert len(clips) == 4
    assert len(engine.calls) == 4 + 3


def test_a_variant_refused_in_all_attempts_is_replaced_by_another_and_not_tried_again(tmp_path: Path) -> None:
    hopeless = Buzzer(lambda *_: "silent")
    for _ in range(2):
        with pytest.raises(Refused, match=r"^silent.*; 3 attempts$"):
            banked(hopeless, tmp_path / "none", "c-0")
        assert len(hopeless.calls) == len({seed for _, _, seed in hopeless.calls}) == 4 * 3
    bad = [seed for _, _, seed in hopeless.calls][:3]  # all that the variant which c-0 draws has
    engine = Buzzer(lambda text, of, seed: "silent" if seed in bad else "")
    for _ in range(2):
        clips = [banked(engine, tmp_path / "some", f"c-{n}") for n in range(40)]
        assert len({clip.pcm.tobytes() for clip in clips}) == 3
        assert {clip.attempts for clip in clips} == {1}
    assert Counter(seed in bad for _, _, seed in engine.calls) == {True: 3, False: 3}


def test_a_shortened_clip_in_the_bank_is_made_again(tmp_path: Path) -> None:
    wanted = banked(Buzzer(), tmp_path, "c-1").pcm.tobytes()
    (kept,) = (path for path in tmp_path.rglob("*") if path.is_file())
    kept.write_bytes(kept.read_bytes()[:-100])
    assert banked(Buzzer(), tmp_path, "c-1").pcm.tobytes() == wanted


def _calls(folder: Path) -> list[tuple[str, str, int]]:
    engine = Buzzer()
    for n in range(40):
        banked(engine, folder, f"c-{n}")
    return engine.calls
