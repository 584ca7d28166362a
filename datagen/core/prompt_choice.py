"""Which cuts become a voice's prompts, and whether a text can be what is said in one."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from datagen.core.acceptance import tokens
from datagen.core.audio import Span
from datagen.core.prompting import Cut, Pair, Rules
from datagen.core.types import CONTROL
from datagen.core.units import SAMPLE_RATE

REACH_S = 0.3
"""A recogniser's word times may be off by this much."""
UNHEARD_S = 0.4
"""Speech of this length holds a word."""
_UNSAID = re.compile(r"[\d\[\](){}<>|*#_~♪♫&%$€£/@=+\\^]")
"""Marks of what is no speech, and figures and signs that do not tell how they are said."""


@dataclass(frozen=True)
class Offer:
    """A cut of one of a person's recordings."""

    recording: int
    cut: Cut
    text: str = ""
    """What is said in it, where the collection tells."""

    @property
    def rank(self) -> tuple[float, int, int, int]:
        """Best first; ties in order of the recordings."""
        return -self.cut.score, self.recording, self.cut.start, self.cut.end

    def overlaps(self, other: Offer) -> bool:
        """Whether the two share a moment of a recording."""
        apart = self.cut.end <= other.cut.start or other.cut.end <= self.cut.start
        return self.recording == other.recording and not apart


@dataclass(frozen=True)
class Choice:
    """A cut that becomes a prompt, and what is said in it."""

    offer: Offer
    text: str


Hear = Callable[[Offer], str]
"""What is said in a cut; ValueError says why that cannot be told."""


class _Audition:
    """Hears cuts, each once and not too many, and remembers what was wrong with the others."""

    def __init__(self, hear: Hear, rules: Rules, tries: int) -> None:
        self._hear, self._rules = hear, rules
        self.tries = tries
        self.faults: Counter[str] = Counter()
        self._texts: dict[Offer, str] = {}

    def text(self, offer: Offer) -> str:
        """The text of a cut; empty where it has none that fits or the tries are used up."""
        if offer in self._texts or not (offer.text or self.tries):
            return self._texts.get(offer, "")
        if not offer.text:
            self.tries -= 1
        try:
            text = offer.text or " ".join(self._hear(offer).split())
            fault = text_fault(text, offer.cut.speaking_seconds, self._rules)
        except ValueError as error:
            text, fault = "", " ".join(str(error).split())
        if fault:
            self.faults[fault] += 1
        self._texts[offer] = "" if fault else text
        return self._texts[offer]


def choose(
    offers: Sequence[Offer], hear: Hear, rules: Rules, *, long: int = 2, short: int = 1, tries: int = 8
) -> tuple[Choice, ...]:
    """At most ``long`` prompts, best first and from several recordings where possible, then at most ``short`` short
    ones. At most ``tries`` cuts of either length are heard.

    ValueError with the commonest reason when there is no long one.
    """
    audition = _Audition(hear, rules, tries)
    usable = sorted((o for o in offers if not o.cut.fault), key=lambda o: o.rank)
    audition.faults.update(o.cut.fault for o in offers if o.cut.fault)
    chosen: list[Choice] = []
    for apart in (True, False):
        used = {choice.offer.recording for choice in chosen}
        for offer in usable:
            if len(chosen) == long:
                break
            taken = offer.recording in used if apart else any(offer.overlaps(c.offer) for c in chosen)
            if not taken and (text := audition.text(offer)):
                chosen.append(Choice(offer, text))
                used.add(offer.recording)
    if not chosen:
        raise ValueError(_why(audition.faults))
    audition.tries = tries
    return (*chosen, *_short(usable, [c.offer for c in chosen], audition, rules, short))


def _short(
    usable: Sequence[Offer], taken: Sequence[Offer], audition: _Audition, rules: Rules, count: int
) -> list[Choice]:
    """The best short prompts; they may be part of a long one."""
    chosen: list[Choice] = []
    for offer in usable:
        if len(chosen) == count:
            break
        fits = _within(offer.cut.seconds, rules.short_seconds) and offer not in taken
        if fits and not any(offer.overlaps(c.offer) for c in chosen):
            text = audition.text(offer)
            if _within(len(text.split()), rules.short_words):
                chosen.append(Choice(offer, text))
    return chosen


def _why(faults: Counter[str]) -> str:
    """Why there is no prompt: the commonest fault, like ones counted together."""
    if not faults:
        return "no stretch of the right length lies between two pauses"
    like: Counter[str] = Counter()
    for fault, count in faults.items():
        like[re.sub(r"\d+([.,]\d+)?", "N", fault)] += count
    kind, count = min(like.items(), key=lambda item: (-item[1], item[0]))
    example = min(fault for fault in faults if re.sub(r"\d+([.,]\d+)?", "N", fault) == kind)
    return f"none of {faults.total()} stretches can be used; {count} of them: {example}"


def _within(value: float, bounds: Pair) -> bool:
    return bounds[0] <= value <= bounds[1]


def text_fault(text: str, seconds: float, rules: Rules) -> str:
    """Why a text cannot stand for what is said in that many seconds; empty when it can.

    >>> text_fault("Take the second road on the left.", 2.4, Rules())
    ''
    >>> text_fault("Take the road.", 2.4, Rules())
    '1.2 words per second, not 1.5 to 5'
    """
    if not any(c.isalpha() for c in text):
        return "no words"
    if mark := _UNSAID.search(text) or CONTROL.search(text):
        return f"its text holds {mark.group()!r}, which does not tell what is said"
    pace = len(text.split()) / seconds
    if rules.words_per_second is not None and not _within(pace, rules.words_per_second):
        low, high = rules.words_per_second
        return f"{pace:.1f} words per second, not {low:g} to {high:g}"
    per_token = seconds / tokens(text)
    if not _within(per_token, rules.seconds_per_token):
        low, high = rules.seconds_per_token
        return f"{per_token:.2f} s per token, not {low:g} to {high:g}"
    return ""


def unheard(cut: Cut, words: Sequence[Span]) -> str:
    """Whether a recogniser left out something: speech without a word; empty when it did not.

    ``words`` are samples at 16 kHz from the start of the cut, in order.
    """
    reach = round(REACH_S * SAMPLE_RATE)
    covered = [(start - reach, end + reach) for start, end in words]
    for start, end in cut.spans:
        at, stop = ((s - cut.start) * SAMPLE_RATE // cut.rate for s in (start, end))
        for left, right in (*covered, (stop, stop)):
            if min(left, stop) - at > UNHEARD_S * SAMPLE_RATE:
                return f"{(min(left, stop) - at) / SAMPLE_RATE:.1f} s of speech have no word"
            at = max(at, right)
    return ""
