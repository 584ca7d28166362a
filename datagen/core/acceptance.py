"""What a synthesised clip must be like before it is used: rules on its signal, and on what a recogniser hears in it.

Speech models fail silently: they stop early, ramble on, fall silent, clip, or say the prompt. Each rule names one such
fault in a short reason whose words are always the same, so that like reasons count together whatever their numbers.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
from pydantic import Field, model_validator

from datagen.core.audio import FULL_SCALE, Pcm, Signal
from datagen.core.trimming import FRAME, Levels, active_level, frame_levels, longest_silence, spoken, trimmed
from datagen.core.types import Strict
from datagen.core.units import to_ms, to_seconds

__all__ = ["Acceptance", "Hearing", "abrupt", "faults", "hearing", "tokens", "trimmed", "word_errors"]

UNSPACED = "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3005-\u3007\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff\uff66-\uff9f"
"""Character class of the scripts that put no spaces between words: Thai, Lao, Burmese, Khmer, Japanese, Chinese."""

CLIPPED_AT = 0.98
"""Share of full scale at which a sample counts as clipped: engines clamp at 0.99 or at full scale."""

_PIECES = re.compile(rf"[{UNSPACED}]|(?P<digit>\d)|(?P<word>[^\W\d_{UNSPACED}]+)|(?P<mark>[^\w\s]|_)")
_LETTERS_PER_TOKEN = 6
"""Words of up to so many letters are mostly one token of Qwen2, longer ones about one per so many."""
_LAST_FRAMES = 2
_FEW_WORDS = 3
_ENOUGH_WORDS = 5
"""From so many words on an error rate means something; below ``_FEW_WORDS`` recognisers are no judges at all."""


class Acceptance(Strict):
    """The bounds; the recipe's key ``acceptance``.

    The numbers are CosyVoice2's own where it has some, else estimates. As rules on the signal alone they refuse one of
    8,900 clips of espeak-ng (the word "uh" said in 0.11 s) and none of 21 recordings of people; a pilot run with the
    engine in use may call for others.
    """

    attempts: int = Field(default=4, ge=1, le=100)
    """Seeds tried per prompt of the voice."""
    prompts: int = Field(default=2, ge=1, le=100)
    """Prompts of the voice that are tried, where it is cloned from prompts."""
    keep_edge_ms: float = Field(default=80, ge=0, le=1000, allow_inf_nan=False)
    """Silence kept on each side of the speech when a clip is trimmed."""

    min_level_dbfs: float = Field(default=-50, ge=-100, le=0, allow_inf_nan=False)
    """Active level (without the silences) below which a clip counts as silent."""
    max_clipped: float = Field(default=0.01, ge=0, le=1)
    """Share of the samples at 0.98 of full scale or above."""
    max_inner_silence_ms: float = Field(default=800, gt=0, allow_inf_nan=False)
    """Longest stretch without speech inside a clip. Written pauses do not excuse it: they are made in the plan."""

    seconds_per_token: tuple[float, float] = (0.08, 0.80)
    """Hard window of the length from the first speech to the last, per token of the text (see ``tokens``). CosyVoice2
    stops its language model at 2 and 20 speech tokens of 40 ms per text token: a clip at the upper bound never ended by
    itself."""
    usual_seconds_per_token: tuple[float, float] = (0.12, 0.50)
    """Soft window: it holds where nothing else tells whether the words are there, that is without a recogniser and for
    texts of one or two words. Where the words are compared, a clip with the right ones may be slower or faster."""
    usual_extra_s: float = Field(default=0.3, ge=0, allow_inf_nan=False)
    """Added to the upper end of the soft window: short texts take longer per token."""

    max_wer: float = Field(default=0.2, ge=0, allow_inf_nan=False)
    """Word errors per word, for texts of five words or more."""
    max_errors_3_4_words: int = Field(default=1, ge=0)
    """Word errors allowed in texts of three or four words."""
    abrupt_end_db: float | None = Field(default=6, ge=0, allow_inf_nan=False)
    """A clip of one or two words that ends, before it is trimmed, within so many dB of its active level stops in the
    middle of a sound. For engines that leave silence behind the speech, as those that clone do; None = not judged. Of
    21 recordings of people none ends so."""
    prompt_ngram: int = Field(default=3, ge=1)
    """So many words in a row of the prompt, heard at the beginning of a clip, are a prompt that leaked."""
    fillers: tuple[str, ...] = ("um", "uh", "er", "erm", "hmm", "ah", "eh", "mmhmm", "uhhuh")
    """Words recognisers leave out or add as they like: they count neither way, unless the text has no others."""
    aliases: tuple[tuple[str, ...], ...] = (
        ("mmhmm", "uhhuh", "hmm", "mm", "huh", "um", "uh", "ajá", "aha"),
        ("yeah", "yes", "yep", "yah"),
        ("okay", "ok", "kay"),
        ("oh", "ah", "o"),
        ("sí", "si", "see"),
    )
    """Words that sound alike to a recogniser, each group one word. A text of one or two words is judged only if all of
    them stand here: nothing may be heard, or one of them. Words are in the form of ``normal_words``."""

    @model_validator(mode="after")
    def _windows(self) -> Self:
        for name in ("seconds_per_token", "usual_seconds_per_token"):
            low, high = getattr(self, name)
            if not 0 <= low < high < float("inf"):
                raise ValueError(f"{name} is {low:g} to {high:g}; give two rising numbers of seconds")
        return self


@dataclass(frozen=True)
class Hearing:
    """How what was heard compares with what was to be said."""

    faults: tuple[str, ...]
    """Reasons to refuse the clip; none = accepted."""
    wer: float
    """Word errors per word of the text."""


def tokens(text: str) -> float:
    """About how many tokens of Qwen2's tokenizer a text has: what lengths of speech are compared with.

    A word counts one, but a sixth of its letters when it has more than six; a digit, a mark and a character of a script
    without spaces count one each. In English dialogues the total is within 4 % of the tokenizer's; other languages have
    more tokens per word there, but are not spoken more slowly, so the estimate is the better measure of speech.

    >>> tokens("Yes, 42 congratulations!")
    7.5
    """
    return sum(_weight(piece) for piece in _PIECES.finditer(_bare(text)))


def faults(pcm: Pcm | Signal, text: str, rules: Acceptance, *, heard: bool = False) -> tuple[str, ...]:
    """What is wrong with a clip's signal as speech of ``text``: reasons, none when it is good.

    ``pcm`` is 16 kHz mono, 16-bit samples or floats of full scale 1, trimmed or not. ``heard`` says that a recogniser
    listens too (see ``Acceptance.usual_seconds_per_token``).
    """
    if pcm.dtype != np.int16 and not np.isfinite(pcm).all():
        return ("samples that are no numbers",)
    levels = frame_levels(pcm)
    level = active_level(levels)
    if level < rules.min_level_dbfs:
        return (f"silent: level of {level:.0f} dBFS, at least {rules.min_level_dbfs:g}",)
    found: list[str] = []
    if (clipped := _clipped(pcm)) > rules.max_clipped:
        found.append(f"clipped: {100 * clipped:.1f} % of the samples, at most {100 * rules.max_clipped:g} %")
    found += _length_faults(levels, text, rules, heard)
    silence_ms = to_ms(longest_silence(levels) * FRAME)
    if silence_ms > rules.max_inner_silence_ms:
        found.append(f"inner silence of {silence_ms / 1000:.1f} s, at most {rules.max_inner_silence_ms / 1000:g}")
    return tuple(found)


def abrupt(pcm: Pcm | Signal, text: str, rules: Acceptance) -> tuple[str, ...]:
    """Whether a clip of one or two words, as it came from the engine, stops in the middle of a sound: no recogniser and
    no length can tell half of such a word from a whole one."""
    if rules.abrupt_end_db is None or len(text.split()) >= _FEW_WORDS:
        return ()
    levels = frame_levels(pcm)
    below = active_level(levels) - float(levels[-_LAST_FRAMES:].mean()) if levels.size else 0.0
    if below >= rules.abrupt_end_db:
        return ()
    return (f"ends in the middle of a sound, {below:.0f} dB below its level, at least {rules.abrupt_end_db:g}",)


def hearing(said: Sequence[str], heard: Sequence[str], prompt: Sequence[str], rules: Acceptance) -> Hearing:
    """Compares what was to be said with what a recogniser heard, both in normal words (``asr/_wording``).

    ``prompt`` are the words of the recording the voice was cloned from; empty = none.
    """
    said, heard = _plain(said, rules), _plain(heard, rules)
    errors = word_errors(said, heard)
    found = _wording_faults(said, heard, errors, rules) or _unfinished(said, heard)
    if _leaked(said, heard, _plain(prompt, rules), rules.prompt_ngram):
        found += (f"begins with {rules.prompt_ngram} words of the prompt",)
    return Hearing(found, errors / len(said) if said else float(bool(heard)))


def word_errors(said: Sequence[str], heard: Sequence[str]) -> int:
    """Fewest words to put in, leave out or replace to turn one sequence into the other.

    >>> word_errors("to be or not".split(), "to be not to".split())
    2
    """
    row = list(range(len(heard) + 1))
    for number, word in enumerate(said, 1):
        before, row = row, [number]
        for column, other in enumerate(heard):
            row.append(min(before[column] + (word != other), before[column + 1] + 1, row[column] + 1))
    return row[-1]


def _bare(text: str) -> str:
    """Without the accents and vowel signs that are characters of their own: they belong to the letter before."""
    return text if text.isascii() else "".join(c for c in text if unicodedata.category(c)[0] != "M")


def _weight(piece: re.Match[str]) -> float:
    return max(1.0, len(piece["word"]) / _LETTERS_PER_TOKEN) if piece["word"] else 1.0


def _spoken_pieces(text: str) -> list[re.Match[str]]:
    """The words, figures and characters of a text without its marks; a hyphenated word is one."""
    joined = re.sub(r"(?<=\w)['’-](?=\w)", "", _bare(text))
    return [piece for piece in _PIECES.finditer(joined) if not piece["mark"]]


def _clipped(pcm: Pcm | Signal) -> float:
    """The share of samples at ``CLIPPED_AT`` or above."""
    bound = CLIPPED_AT * (FULL_SCALE if pcm.dtype == np.int16 else 1)
    return (np.count_nonzero(pcm >= bound) + np.count_nonzero(pcm <= -bound)) / max(pcm.size, 1)


def _length_faults(levels: Levels, text: str, rules: Acceptance, heard: bool) -> list[str]:
    first, stop = spoken(levels)
    seconds, pieces = to_seconds((stop - first) * FRAME), _spoken_pieces(text)
    compared = heard and len(pieces) >= _FEW_WORDS
    low, high = rules.seconds_per_token if compared else rules.usual_seconds_per_token
    # Marks take no time in fast speech, nor do zeros: two million is said in two words.
    least = low * sum(_weight(piece) for piece in pieces if piece["digit"] != "0")
    most = high * tokens(text) + (0 if compared else rules.usual_extra_s)
    if seconds < least:
        return [f"too short: {seconds:.2f} s of speech, at least {least:.2f}"]
    return [f"too long: {seconds:.2f} s of speech, at most {most:.2f}"] if seconds > most else []


def _plain(words: Sequence[str], rules: Acceptance) -> list[str]:
    """Without fillers, unless there is nothing else, and every alias as the first of its group."""
    first_of = {word: group[0] for group in rules.aliases for word in group}
    kept = [word for word in words if word not in rules.fillers]
    return [first_of.get(word, word) for word in kept or words]


def _wording_faults(said: Sequence[str], heard: Sequence[str], errors: int, rules: Acceptance) -> tuple[str, ...]:
    if len(said) >= _ENOUGH_WORDS:
        wer = errors / len(said)
        return (f"word error rate of {wer:.2f}, at most {rules.max_wer:g}",) if wer > rules.max_wer else ()
    if len(said) >= _FEW_WORDS:
        most = rules.max_errors_3_4_words
        return (f"{errors} wrong words in a short text, at most {most}",) if errors > most else ()
    known = {group[0] for group in rules.aliases}
    if said and heard and known.issuperset(said) and not set(said) & set(heard):
        return ("other words than the one or two that were to be said",)
    return ()


def _unfinished(said: Sequence[str], heard: Sequence[str]) -> tuple[str, ...]:
    """Whether the text stops early: all that is wrong is that its last words are missing. A word said over and over may
    be heard fewer times."""
    missing = said[len(heard) :]
    if heard and missing and said[: len(heard)] == heard and set(missing) != {heard[-1]}:
        return (f"its last {len(missing)} words are missing",)
    return ()


def _leaked(said: Sequence[str], heard: Sequence[str], prompt: Sequence[str], size: int) -> bool:
    """Whether a run of ``size`` words of the prompt, and not of the text, begins within the first ``size`` heard."""

    def runs(words: Sequence[str]) -> set[tuple[str, ...]]:
        return {tuple(words[at : at + size]) for at in range(len(words) - size + 1)}

    return bool(runs(heard[: 2 * size - 1]) & (runs(prompt) - runs(said)))
