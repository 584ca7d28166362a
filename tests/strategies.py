"""Hypothesis strategies: dialogues, annotated scripts, voiced scripts, timings and whole plans, without any engine."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from itertools import chain
from typing import Any

from hypothesis import strategies as st

from datagen.core.distributions import Distribution, Fixed, Lognormal, Quantiles, Uniform
from datagen.core.language import PAPER, Language, Timing
from datagen.core.mixing import Blocks, Levels
from datagen.core.records import Plan, Utterance, VoicedScript
from datagen.core.rng import stream
from datagen.core.types import SPEAKERS, Dialogue, Place, Script, Turn, Voice, Word
from datagen.core.words import estimate_words
from datagen.kinds import KindConfig, Phenomenon, make
from datagen.llm.rules import Rules
from datagen.phenomena import backchannel, interruption, pause
from datagen.recipe import language
from datagen.stages import plan, synthesize

PASSAGE = """
Well, I was thinking about the table near the window, "because the light is good there," said my sister & I think she
is right. Could you look for something on Friday evening, maybe at 7:30, or if that is not possible at any time after
eight? There are two places that still have room for four people, but the second one is very loud, so I would take the
first. Sure! It costs $45 per person, and they ask for a deposit of 20 %, which you get back when you come. No, thanks;
we (that is, all of us) would rather walk than drive, although it might rain... I'm sorry, what did you say about the
parking garage and the internationalisation conference?
"""
"""Clauses, articles, quotes, brackets, figures, a long word and signs without letters."""
WORDS = PASSAGE.split()


@lru_cache(maxsize=4)
def english(code: str = "en") -> Language:
    """A language file, read once."""
    return language(code)


@st.composite
def texts(draw: st.DrawFn, max_words: int = 30) -> str:
    """A stretch of the passage: as often short answers as long turns."""
    size = draw(st.one_of(st.integers(1, 4), st.integers(min(5, max_words), max_words)))
    start = draw(st.integers(0, len(WORDS) - size))
    text = " ".join(WORDS[start : start + size])
    return text if any(c.isalnum() for c in text) else "yes"


@st.composite
def dialogues(draw: st.DrawFn, max_turns: int = 8, max_words: int = 30, identity: str = "c-1") -> Dialogue:
    """A dialogue in which the speakers take turns, whoever begins."""
    first = draw(st.integers(0, 1))
    turns = draw(st.lists(texts(max_words), min_size=1, max_size=max_turns))
    return dialogue([Turn(speaker=SPEAKERS[(first + n) % 2], text=text) for n, text in enumerate(turns)], identity)


def dialogue(turns: Sequence[Turn], identity: str = "c-1") -> Dialogue:
    """A dialogue of these turns."""
    return Dialogue(id=identity, language="en", domain="d", source="s", licence="CC0-1.0", turns=tuple(turns))


def chatter(number: int, turns: int = 8, words: tuple[int, int] = (3, 30)) -> Dialogue:
    """The dialogue of a number, for counting over many of them."""
    rng = stream(number, "chatter", "text")
    made: list[Turn] = []
    for n in range(turns):
        size = int(rng.integers(words[0], words[1] + 1))
        start = int(rng.integers(len(WORDS) - size + 1))
        made.append(Turn(speaker=SPEAKERS[n % 2], text=" ".join(WORDS[start : start + size])))
    return dialogue(made, f"c-{number}")


@st.composite
def configs(draw: st.DrawFn) -> tuple[KindConfig, ...]:
    """Any of the phenomena in any order, rare to far too frequent."""
    rate, share, few = st.integers(0, 90).map(float), st.integers(1, 10).map(lambda n: n / 10), st.integers(1, 6)
    near: dict[str, Any] = {"words_before": few, "words_after": few, "words_apart": few}
    kinds = [
        st.builds(
            backchannel.Config,
            kind=st.just("backchannel"),
            assistant_per_minute=rate,
            user_per_minute=rate,
            probability=share,
            **near,
        ),
        st.builds(pause.Config, kind=st.just("pause"), per_minute=rate, filler_probability=share, **near),
        st.builds(
            interruption.Config,
            kind=st.just("interruption"),
            probability=share,
            min_words=st.integers(4, 12),
            opener_probability=share,
        ),
    ]
    chosen = draw(st.lists(st.integers(0, 2), unique=True, max_size=3))
    return tuple(draw(kinds[n]) for n in chosen)


def annotated(
    spoken: Dialogue, phenomena: Sequence[KindConfig], seed: int = 1, places: Sequence[Place] | None = None
) -> Script:
    """The dialogue with its cues and what is left of its places; places by rule unless given."""
    known = english()
    script = Script(dialogue=spoken, places=tuple(Rules().places(spoken, known) if places is None else places))
    for config in phenomena:
        phenomenon: Phenomenon = make("phenomena", config)
        script = phenomenon.cue(script, known, stream(seed, spoken.id, f"cue/{config.kind}"))
    return script


def anywhere(spoken: Dialogue, seed: int) -> list[Place]:
    """About half of all gaps between words as places of either kind: what a careless annotator might deliver."""
    rng = stream(seed, spoken.id, "places")
    gaps = [(n, w) for n, turn in enumerate(spoken.turns) for w in range(len(turn.words) - 1)]
    return [
        Place(turn=n, after_word=w, kind="clause" if rng.random() < 0.5 else "hesitation")
        for n, w in gaps
        if rng.random() < 0.5
    ]


@st.composite
def scripts(draw: st.DrawFn, max_turns: int = 8, max_words: int = 30) -> tuple[Script, tuple[KindConfig, ...]]:
    """A script and the phenomena that made its cues."""
    spoken, phenomena, seed = draw(dialogues(max_turns, max_words)), draw(configs()), draw(st.integers(0, 99))
    places = draw(st.sampled_from([None, anywhere(spoken, seed)]))
    return annotated(spoken, phenomena, seed, places), phenomena


def voice(identity: str) -> Voice:
    """Nobody's voice."""
    return Voice(id=identity, language="en", split="train", origin="made up", licence="CC0-1.0")


def word_times(text: str, words_per_minute: float, lead: int, gap: int) -> tuple[Word, ...]:
    """Estimated word times, ``lead`` samples late and with ``gap`` samples of silence after every word."""
    words = estimate_words(text, words_per_minute)
    return tuple(word.moved(lead + gap * n) for n, word in enumerate(words))


def voiced(
    script: Script, words_per_minute: float = 170.0, lead: int = 80, gap: int = 0, tail: int = 480
) -> VoicedScript:
    """The script as an engine would speak it at a steady rate."""
    utterances: list[Utterance] = []
    for turn, cue, speaker, text in synthesize.lines(script):
        words = word_times(text, words_per_minute, lead, gap)
        utterances.append(
            Utterance(
                turn=turn,
                cue=cue,
                speaker=speaker,
                text=text,
                num_samples=max(words[-1].end + tail, 1600),
                words=words,
                active_power=0.01,
                peak=0.5,
            )
        )
    return VoicedScript(
        script=script,
        split="train",
        user_voice=voice("u"),
        assistant_voice=voice("a"),
        utterances=tuple(utterances),
    )


@st.composite
def voiced_scripts(
    draw: st.DrawFn, max_turns: int = 8, max_words: int = 30
) -> tuple[VoicedScript, tuple[KindConfig, ...]]:
    """A script spoken slowly or fast, with or without silence around and between its words."""
    script, phenomena = draw(scripts(max_turns, max_words))
    silences = st.sampled_from([0, 1, 80, 480, 3200])
    rate = float(draw(st.integers(60, 400)))
    return voiced(script, rate, draw(silences), draw(silences), draw(silences)), phenomena


@st.composite
def distributions(draw: st.DrawFn, low: int, high: int) -> Distribution:
    """Any distribution between two limits, in milliseconds."""
    values = st.integers(low, high).map(float)
    kind = draw(st.integers(0, 3))
    if kind == 0:
        return Fixed(dist="fixed", ms=draw(values))
    first, last = sorted((draw(values), draw(values)))
    if kind == 1:
        return Uniform(dist="uniform", low_ms=first, high_ms=last)
    if kind == 2:
        median, sigma = draw(st.integers(1, 2000)), draw(st.integers(0, 30)) / 10
        return Lognormal(dist="lognormal", median_ms=median, sigma=sigma, floor_ms=first, cap_ms=last)
    inner = sorted(draw(st.lists(st.tuples(st.integers(1, 99), values), max_size=4, unique_by=lambda p: p[0])))
    levels = sorted(min(max(ms, first), last) for _, ms in inner)
    points = [(p / 100, ms) for (p, _), ms in zip(inner, levels, strict=True)]
    return Quantiles(dist="quantiles", points=tuple(chain([(0.0, first)], points, [(1.0, last)])))


@st.composite
def timings(draw: st.DrawFn) -> Timing:
    """A profile that comes with the project, or any other that a language file may hold."""
    known = [PAPER, *english().profiles.values()]
    choice = draw(st.integers(0, 3 * len(known)))
    if choice < len(known):
        return known[choice]
    low, high = sorted((draw(st.integers(1, 100)), draw(st.integers(1, 100))))
    return Timing(
        assistant_onset=draw(distributions(-3000, 3000)),
        user_onset=draw(distributions(-3000, 3000)),
        dyad_sd_ms=draw(st.integers(0, 1000)),
        barge_in_overlap=draw(distributions(1, 3000)),
        barge_in_cut=(low / 100, high / 100),
        backchannel_delay=draw(distributions(-500, 2000)),
        pause=draw(distributions(1, 3000)),
        invitation=draw(distributions(0, 2000)),
        sources=dict.fromkeys(set(Timing.model_fields) - {"sources"}, "made up"),
    )


def plan_config(phenomena: Sequence[KindConfig], timing: Timing = PAPER, seed: int = 1) -> plan.Config:
    """A plan's config that refuses no length."""
    return plan.Config(
        phenomena=tuple(phenomena),
        timing=timing,
        margins=plan.Margins(min_s=0.01, max_s=100_000),
        levels=Levels(),
        blocks=Blocks(),
        seed=seed,
    )


@st.composite
def plans(draw: st.DrawFn, max_turns: int = 8, max_words: int = 30) -> Plan:
    """Any script, spoken, on the clock; without noise."""
    record, phenomena = draw(voiced_scripts(max_turns, max_words))
    return plan.plan(record, plan_config(phenomena, draw(timings()), draw(st.integers(0, 99))), clips=())
