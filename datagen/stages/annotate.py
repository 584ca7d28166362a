"""annotate: where backchannels, pauses and interruptions are meant to happen.

The annotator finds places: by rule, or a language model is asked (``stages/listening``), all dialogues of the shard at
once. Then each phenomenon takes some of them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from pydantic import SerializeAsAny

from datagen.answers import Budget
from datagen.core.asking import Ask
from datagen.core.language import Language
from datagen.core.rng import key, stream
from datagen.core.types import Annotated, Dialogue, Ingested, Place, Script, Strict
from datagen.kinds import Annotator, KindConfig, Phenomenon, make
from datagen.llm import rules
from datagen.stages import listening
from datagen.stages.inputs import Inputs, Put

NAME = "annotate"
VERSION = 1
UPSTREAM = ("write", "ingest")
IN = Ingested


class Config(Strict):
    aside: ClassVar[frozenset[str]] = frozenset({"budget"})

    annotator: SerializeAsAny[KindConfig]
    phenomena: tuple[SerializeAsAny[KindConfig], ...]
    language: Language
    seed: int
    budget: Budget | None = None


def gather(records: Sequence[Ingested], config: Config, inputs: Inputs) -> Mapping[str, tuple[Place, ...] | ValueError]:
    """The places a language model finds in the shard's dialogues; empty where the annotator is none."""
    model: Any = make("llm", config.annotator)
    if not hasattr(model, "ask"):
        return {}
    dialogues = {r.id: r.dialogue for r in records if r.dialogue.use == "script"}

    def read(ask: Ask, text: str) -> tuple[Place, ...]:
        return listening.places(dialogues[ask.id], text)

    asks = [
        listening.places_ask(d, config.language, key(config.seed, d.id, "places") % 2**31) for d in dialogues.values()
    ]
    return dict(zip(dialogues, model.ask(asks, read, inputs.answers(config.budget)), strict=True))


def process(record: Ingested, config: Config, inputs: Inputs, put: Put) -> Annotated:
    """The dialogue with its cues: the annotator finds places, each phenomenon in turn takes some of them."""
    if record.dialogue.use == "outline":
        raise ValueError("it is an outline, not to be spoken as it is; give the recipe a writer")
    script = Script(dialogue=record.dialogue, places=_places(record.dialogue, config, inputs))
    for phenomenon_config in config.phenomena:
        phenomenon: Phenomenon = make("phenomena", phenomenon_config)
        rng = stream(config.seed, record.id, f"cue/{phenomenon_config.kind}")
        script = phenomenon.cue(script, config.language, rng)
    return Annotated(script=Script(dialogue=script.dialogue, cues=script.cues), split=record.split)


def _places(dialogue: Dialogue, config: Config, inputs: Inputs) -> tuple[Place, ...]:
    """Those the model found; by rule where the annotator works by rule, and in previews, which cost nothing."""
    found = inputs.gathered.get(dialogue.id)
    if isinstance(found, ValueError):
        raise found
    if found is not None:
        return found
    annotator: Any = make("llm", config.annotator)
    by_rule: Annotator = annotator if hasattr(annotator, "places") else rules.Rules()
    return by_rule.places(dialogue, config.language)
