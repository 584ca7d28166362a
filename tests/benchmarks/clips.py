"""Utterances through every way to cloned speech, a tenth of the answers faulty: what reaches a dataset, and what not.

The studio and the engines are the real ones, with the default rules. Behind them stand a speech server in a process of
its own, a CosyVoice process on a stand-in checkout, and a tool that fills the folder of a batch; their speech is
bursts for words (``bursts``), so that what was accepted can be judged without the rules that accepted it
(``listening.flaws``).
"""

from __future__ import annotations

import re
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from hashlib import blake2b
from pathlib import Path
from typing import Any

from datagen.core.rng import stream
from datagen.core.types import Voice
from datagen.files import Folder
from datagen.kinds import Engine, KindConfig, NotYet
from datagen.stages import synthesize
from datagen.stages.studio import Bank, Clip, Line, Refused, Studio
from datagen.tts import batch, cosyvoice2, cosyvoice_http, openai_speech
from datagen.tts.batch import write_requests
from tests.benchmarks import batch_tool
from tests.benchmarks.bursts import HOPELESS
from tests.benchmarks.listening import Ear, Overheard, flaws
from tests.benchmarks.result import Result
from tests.benchmarks.speaking import faults, running
from tests.tts.cosyvoice_standin import checkout

UTTERANCES = 2_000
SHARE = 0.1
SEED = 11
TIMEOUT_S = 3.0
"""For answers that never come. An answer takes milliseconds; a loaded machine needs more."""
CONCURRENCY = 8
MAX_ROUNDS = 40
"""A text that fails every time is given up after eight rounds, or a few more where the tool leaves lines out."""

TALK = """
we took the early train and were there before anyone else had noticed that it was raining over the harbour
please remember your umbrella because tomorrow looks even worse although nobody expects a thunderstorm
unfortunately everything about this restaurant reservation needs changing again so could you possibly help
"""
SHORT = ("yeah", "mm-hmm", "uh-huh", "right", "okay", "oh", "I see", "sure", "wow", "oh okay", "that is right")
"""What listeners say: one to three words."""


@dataclass
class Outcome:
    """What came of the lines of one route."""

    accepted: int = 0
    refused: Counter[str] = field(default_factory=Counter)
    """Reasons, their figures as N."""
    flawed: list[tuple[str, str]] = field(default_factory=list)
    """Accepted clips that are bad: the text, and what is wrong."""
    calls: int = 0
    """Of the engine."""
    served: Counter[str] = field(default_factory=Counter)
    """Answers by kind of fault, as whoever gave them counts; ``good`` ones too."""
    kinds: frozenset[str] = frozenset()
    """The kinds of fault there are."""
    distinct: int = 0
    """Different clips among the accepted that are good: those of the bank come more than once."""
    seconds: float = 0.0

    @property
    def faulty(self) -> Counter[str]:
        """The faults alone."""
        return Counter({kind: count for kind, count in self.served.items() if kind != "good"})


def voices(folder: Path, number: int = 6) -> list[Voice]:
    """Voices with two prompts each."""
    return [
        checkout.voice(
            checkout.prompt(folder, f"{n}-long.wav", text="This is how I sound on most days.", seconds=4.0),
            checkout.prompt(folder, f"{n}-short.wav", text="And this is me again.", seconds=2.5),
            id=f"voice-{n}",
        )
        for n in range(number)
    ]


def lines(number: int, speakers: Sequence[Voice]) -> Iterator[Line]:
    """Turns of 1 to 25 words; every fifth line a cue of a listener, every fiftieth a longer one. A few are hopeless."""
    for n in range(number):
        rng = stream(SEED, f"c-{n}", "line")
        voice = speakers[int(rng.integers(len(speakers)))]
        words = [str(word) for word in rng.choice(TALK.split(), int(rng.integers(1, 26)))]
        if n % 400 == 37:
            words = [*words[:8], HOPELESS, "again"]
        text = " ".join(words).capitalize() + "."
        if n % 5 == 3:
            text = str(rng.choice(SHORT)) if n % 50 != 3 else " ".join(words[:6])
        yield Line(f"c-{n}", 0, 0 if n % 5 == 3 else None, "user", text, voice)


def spoken(made: Studio, to_say: Sequence[Line]) -> Iterator[tuple[Line, Clip | Refused | NotYet]]:
    """Every line and what the studio makes of it, as many at a time as the engine takes: as the stage does."""

    def clip(line: Line) -> tuple[Line, Clip | Refused | NotYet]:
        try:
            return line, made.clip(line)
        except (Refused, NotYet) as reason:
            return line, reason

    with ThreadPoolExecutor(made.parallel) as pool:
        for start in range(0, len(to_say), 100):  # clips of all lines at once would fill the memory
            yield from pool.map(clip, to_say[start : start + 100])


def judged(made: Studio, to_say: Sequence[Line], outcome: Outcome) -> None:
    """Speaks the lines and enters what comes of them."""
    good: set[bytes] = set()
    for line, found in spoken(made, to_say):
        if isinstance(found, Refused):
            outcome.refused[re.sub(r"\d+([.,]\d+)?", "N", str(found))] += 1
        elif isinstance(found, Clip):
            outcome.accepted += 1
            if wrong := flaws_of(found, line):
                outcome.flawed.append((line.text, " and ".join(wrong)))
            else:
                good.add(blake2b(found.pcm.tobytes(), digest_size=16).digest())
    outcome.distinct = len(good)


def flaws_of(clip: Clip, line: Line) -> list[str]:
    """What is wrong with an accepted clip: its sound, and its words."""
    words = line.text.split()
    found = flaws(clip.pcm, len(words))
    if [word.text for word in clip.words] != words or clip.words[-1].end > clip.pcm.size:
        found.append("other words, or words outside the clip")
    return found


def studio(folder: Path, engine: Engine, config: KindConfig, speakers: Sequence[Voice]) -> tuple[Studio, Overheard]:
    """A studio with the default rules and a bank."""
    ear = Ear()
    overheard = Overheard(engine, ear)
    stage = synthesize.Config(tts=config, voices=tuple(speakers), bank=Bank(), seed=SEED)
    return Studio(stage, overheard, ear, None, Folder(str(folder / "bank"))), overheard


@contextmanager
def timed(
    folder: Path, engine: Engine, config: KindConfig, number: int
) -> Iterator[tuple[Outcome, Studio, list[Line]]]:
    """An outcome to be filled, with the studio and the lines; calls and time are entered at the end."""
    speakers = voices(folder)
    for voice in speakers:
        engine.check_voice(voice)
    made, overheard = studio(folder, engine, config, speakers)
    outcome, started = Outcome(), time.perf_counter()
    yield outcome, made, list(lines(number, speakers))
    outcome.calls, outcome.seconds = overheard.calls, time.perf_counter() - started


def served(
    folder: Path, number: int, share: float, timeout_s: float, kind: str, of: Callable[[Any], tuple[KindConfig, Engine]]
) -> Outcome:
    """Through a server; ``of`` makes an engine of settings."""
    with running(share, SEED) as server:
        config, engine = of(
            {
                "kind": kind,
                "model": "bursts@1",
                "url": server.url,
                "timeout_s": timeout_s,
                "concurrency": CONCURRENCY,
                "backoff_s": 0.01,
            }
        )
        with timed(folder, engine, config, number) as (outcome, made, to_say):
            judged(made, to_say, outcome)
        outcome.served = Counter(server.counts())
    outcome.kinds = frozenset(faults(kind == "openai_speech"))
    return outcome


def through_cosyvoice_http(folder: Path, number: int, share: float, timeout_s: float) -> Outcome:
    """CosyVoice's own protocol: raw samples."""

    def of(settings: Any) -> tuple[KindConfig, Engine]:
        config = cosyvoice_http.Config.model_validate(settings)
        return config, cosyvoice_http.make(config)

    return served(folder, number, share, timeout_s, "cosyvoice_http", of)


def through_openai_speech(folder: Path, number: int, share: float, timeout_s: float) -> Outcome:
    """OpenAI's protocol: WAV files of floats."""

    def of(settings: Any) -> tuple[KindConfig, Engine]:
        config = openai_speech.Config.model_validate(settings)
        return config, openai_speech.make(config)

    return served(folder, number, share, timeout_s, "openai_speech", of)


def through_cosyvoice2(folder: Path, number: int, share: float, timeout_s: float) -> Outcome:
    """A process of the model's."""
    config = checkout.config(folder, {"faulty": str(share)}, timeout_s=timeout_s)
    engine = cosyvoice2.make(config)
    try:
        with timed(folder, engine, config, number) as (outcome, made, to_say):
            judged(made, to_say, outcome)
    finally:
        engine.close()
    outcome.served = checkout.troubles(folder)
    outcome.kinds = frozenset(checkout.TROUBLES)
    return outcome


def through_batch(folder: Path, number: int, share: float, timeout_s: float) -> Outcome:
    """Rounds of requests and of the tool's work until nothing is missing, then all lines as in a build.

    A round asks again for the lines that are not settled yet; the real command walks all of them, to the same end.
    """
    exchange = folder / "exchange"
    config = batch.Config(kind="batch", path=str(exchange), model="bursts@1")
    with timed(folder, batch.make(config), config, number) as (outcome, made, to_say):
        open_lines = to_say
        for turn in range(MAX_ROUNDS):
            waiting = [(line, found) for line, found in spoken(made, open_lines) if isinstance(found, NotYet)]
            wanted: dict[str, Mapping[str, Any]] = {
                request["key"]: request for _, found in waiting for request in found.requests
            }
            todo = write_requests(str(exchange), wanted.values())
            if todo is None:
                break
            outcome.served += batch_tool.run(todo, turn, share, SEED)
            open_lines = [line for line, _ in waiting]
        judged(made, to_say, outcome)
    outcome.kinds = frozenset(batch_tool.KINDS)
    return outcome


ROUTES: Mapping[str, Callable[[Path, int, float, float], Outcome]] = {
    "cosyvoice_http": through_cosyvoice_http,
    "openai_speech": through_openai_speech,
    "cosyvoice2": through_cosyvoice2,
    "batch": through_batch,
}


def all_routes(folder: Path) -> Iterator[Result]:
    """One line per route."""
    for name, route in ROUTES.items():
        (folder / name).mkdir()
        outcome = route(folder / name, UTTERANCES, SHARE, TIMEOUT_S)
        met = is_met(outcome, UTTERANCES)
        asked = "0 bad accepted, in = out + refused, every kind of fault met"
        yield Result(f"{UTTERANCES:,} utterances by {name}, {SHARE:.0%} faulty", asked, told(outcome), met)


def is_met(outcome: Outcome, number: int) -> bool:
    """No bad clip accepted, no line lost, and every kind of fault has occurred."""
    balanced = outcome.accepted + outcome.refused.total() == number
    return not outcome.flawed and balanced and outcome.kinds <= outcome.faulty.keys()


def told(outcome: Outcome) -> str:
    """The outcome in a line."""
    met = ", ".join(f"{kind} {outcome.faulty[kind]}" for kind in sorted(outcome.kinds))
    reasons = "; ".join(f"{count}x {reason[:80]}" for reason, count in outcome.refused.most_common())
    bad = "; ".join(f"{text!r}: {wrong}" for text, wrong in outcome.flawed[:6])
    return (
        f"{outcome.accepted} accepted + {outcome.refused.total()} refused ({reasons or 'none'}) in "
        f"{outcome.seconds:.0f} s; {len(outcome.flawed)} bad accepted ({bad or 'none'}); {outcome.calls} calls, "
        f"{outcome.served['good']} good answers for {outcome.distinct} different good clips, "
        f"{outcome.faulty.total()} faulty ({met})"
    )
