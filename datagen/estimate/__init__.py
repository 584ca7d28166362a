"""What a run of a recipe would take: money for language models, hours of machines, hours of audio, disk.

Everything rests on a few words per conversation, read off the source where it can be read, and on dated tables of what
others were charged and measured (``manifests/prices.yaml``, ``manifests/routes.yaml``). What is assumed is said.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from statistics import fmean

from pydantic import ValidationError

from datagen import kinds
from datagen.core.prices import Prices
from datagen.core.types import Dialogue
from datagen.estimate.effort import (
    TEXT_TOKENS,
    TEXT_TOKENS_ELSEWHERE,
    WINDOW_S,
    Asking,
    Computing,
    Estimate,
    Job,
    Route,
    Routes,
    TokenModel,
    Work,
    asked,
    computed,
)
from datagen.estimate.tables import Table, tables
from datagen.kinds import KindConfig
from datagen.recipe import Recipe, RecipeError, first_error, language
from datagen.strict_yaml import load_yaml

__all__ = [
    "Asking",
    "Computing",
    "Estimate",
    "Route",
    "Routes",
    "Table",
    "TokenModel",
    "Work",
    "estimate",
    "route_table",
    "tables",
    "work_of",
]

ROUTES = Path(__file__).parents[2] / "manifests" / "routes.yaml"
SAMPLE, CHUNKS = 50, 10
"""Dialogues looked at, and the places of the source they are from: files are often sorted by topic."""

PAPER_HOURS, PAPER_CONVERSATIONS = 2_133, 104_478
"""RelayS2S section 3.2: 73.5 s per conversation."""
PAPER_TURNS = 2 * 6_401 / 3_000
"""RelayS2S section 5: 6,401 turns of the assistant in about 3,000 held-out conversations, and as many of the user."""

RETRIES = 0.08
"""Share of utterances that are synthesised and heard once more. An assumption: no figure is published."""
BYTES_PER_SECOND = 90_000
"""Work folder and dataset together: 16-bit utterances, and two FLAC channels, held twice until
the build is done. 22,860 s of recipes/assistant.yaml: 30 + 2 x 28 kB per second."""
DATASET_BYTES_PER_SECOND = 28_000
"""Two FLAC channels, measured on recipes/assistant.yaml; see ``BYTES_PER_SECOND``."""


def route_table(path: Path = ROUTES) -> Routes:
    """A table of routes; RecipeError when it is not there or not one."""
    if not path.is_file():
        raise RecipeError(f"routes: there is no file {path}; it is manifests/routes.yaml of the project")
    try:
        return Routes.model_validate(load_yaml(path))
    except ValidationError as error:
        raise RecipeError(f"{path}: {first_error(error, Routes)}") from None


def estimate(
    recipe: Recipe,
    prices: Prices | None,
    routes: Routes,
    *,
    work: Work | None = None,
    tokens: TokenModel | None = None,
    retries: float = RETRIES,
) -> Estimate:
    """What a recipe would take. ``work`` is read off its source unless it is given."""
    work, tokens = work or work_of(recipe), tokens or TokenModel()
    asking = tuple(asked(job, prices, tokens.repairs) for job in _jobs(recipe, work, tokens))
    spoken = work.hours * (1 + retries)
    seconds = work.hours * 3600
    asr = recipe.asr.kind if recipe.asr is not None else None
    own = [r for r in routes.tts if recipe.tts.kind in r.kinds]
    others = [r for r in routes.tts if r not in own and any(r.device == mine.device == "GPU" for mine in own)]
    return Estimate(
        work=work,
        asking=asking,
        prices_date=prices.date if prices is not None else None,
        budget_usd=recipe.budget.usd if recipe.budget is not None else None,
        synthesis=tuple(computed(r, spoken) for r in own),
        others=tuple(computed(r, spoken) for r in others),
        hearing=tuple(computed(r, spoken, work.window_hours * (1 + retries)) for r in routes.asr if asr in r.kinds),
        disk_bytes=seconds * BYTES_PER_SECOND,
        dataset_bytes=seconds * DATASET_BYTES_PER_SECOND,
        assumptions=tuple(_assumptions(recipe, work, routes, asking, tokens, retries)),
    )


# -- the work --------------------------------------------------------------------------------------------------------


def work_of(recipe: Recipe) -> Work:
    """The work a recipe means: measured on a sample of its source, else assumed; ``basis`` says which."""
    wpm = language(recipe.language).words_per_minute
    try:
        size, sample = _sample(recipe)
    except (ValueError, OSError, ImportError) as error:
        return _assumed(recipe, wpm, " ".join(str(error).split()))
    if not sample:
        return _assumed(recipe, wpm, "none of the sampled records is a dialogue")
    return _measured(recipe, size, wpm, sample)


def _sample(recipe: Recipe) -> tuple[int, list[Dialogue]]:
    """How many conversations there are to be, and dialogues from all over them."""
    source: kinds.Source = kinds.make("sources", recipe.source)
    known = source.size()
    size = recipe.conversations if known is None else min(recipe.conversations, known)
    each = SAMPLE // CHUNKS
    starts = range(0, size, each) if size <= SAMPLE else [size * chunk // CHUNKS for chunk in range(CHUNKS)]
    items = [item for at in starts for item in source.read(at, min(at + each, size), recipe.seed)]
    return size, [item for item in items if isinstance(item, Dialogue)]


def _measured(recipe: Recipe, size: int, wpm: float, sample: list[Dialogue]) -> Work:
    outlines = [_words(dialogue) for dialogue in sample if dialogue.use == "outline"]
    scripts = [dialogue for dialogue in sample if dialogue.use == "script"]
    turns, words = sum(len(d.turns) for d in scripts), sum(map(_words, scripts))
    share = len(outlines) / len(sample)
    spoken: float = len(scripts)
    basis = f"measured on {len(sample)} dialogues of the source"
    if outlines and recipe.writer is None:
        size, share = round(size * (1 - share)), 0.0
        basis += f"; {len(outlines)} are outlines, rejected without a writer"
    elif outlines:
        spoken += len(outlines)
        turns += len(outlines) * _written_turns(recipe)
        words += len(outlines) * _written_words(recipe)
        basis += f"; {len(outlines)} are outlines, written as `writing` asks"
    return Work(
        basis=basis,
        conversations=size,
        turns=turns / spoken if spoken else 0.0,
        words_per_turn=words / turns if turns else 0.0,
        words_per_minute=wpm,
        outlines=share,
        outline_words=fmean(outlines) if share else 0.0,
    )


def _assumed(recipe: Recipe, wpm: float, why: str) -> Work:
    """The work without a look at the source: outlines become what the recipe asks its writer for, the rest is as in the
    paper."""
    words, turns = PAPER_HOURS * 3600 / PAPER_CONVERSATIONS * wpm / 60, PAPER_TURNS
    basis = f"{words / wpm * 60:.1f} s and {turns:.1f} turns per conversation, as in the paper"
    share = _outline_share(recipe.source) if recipe.writer is not None else 0.0
    outline_words = words if share else 0.0
    if share:
        words += share * (_written_words(recipe) - words)
        turns += share * (_written_turns(recipe) - turns)
        basis += f"; {share:.0%} are outlines, written as `writing` asks"
    return Work(
        basis=f"assumed: {basis} (the source cannot be read: {why})",
        conversations=recipe.conversations,
        turns=turns,
        words_per_turn=words / turns,
        words_per_minute=wpm,
        outlines=share,
        outline_words=outline_words,
    )


def _outline_share(source: KindConfig) -> float:
    """How much of a source are outlines, as its config has it: the kind ``outlines`` holds nothing else, a mixture
    what its parts hold."""
    if source.kind == "outlines":
        return 1.0
    parts = getattr(source, "parts", ())
    total = sum(part.weight for part in parts)
    return sum(part.weight * _outline_share(part.source) for part in parts) / total if total else 0.0


def _words(dialogue: Dialogue) -> int:
    return sum(len(turn.words) for turn in dialogue.turns)


def _written_turns(recipe: Recipe) -> float:
    return fmean(recipe.writing.turns)


def _written_words(recipe: Recipe) -> float:
    return _written_turns(recipe) * recipe.writing.words_per_turn


# -- the questions ---------------------------------------------------------------------------------------------------


def _text_tokens(code: str) -> float:
    return TEXT_TOKENS.get(code.split("-")[0], TEXT_TOKENS_ELSEWHERE)


def _jobs(recipe: Recipe, work: Work, tokens: TokenModel) -> Iterator[Job]:
    """What the recipe's stages ask of models; nothing where they work by rule."""
    text, words, written = _text_tokens(recipe.language), work.words, _written_words(recipe)
    outlines = work.conversations * work.outlines
    least, per_word = tokens.write_room
    if recipe.writer is not None:
        prompt = tokens.write_prompt.tokens(work.outline_words, text)
        answer = tokens.write_answer.tokens(written, text)
        yield from _job("write", recipe.writer, outlines, prompt, answer, max(least, written * per_word))
    if recipe.writer is not None and recipe.writing.rewrite:
        prompt, answer = tokens.rewrite_prompt.tokens(words, text), tokens.rewrite_answer.tokens(words, text)
        scripts = work.conversations - outlines
        yield from _job("rewrite", recipe.writer, scripts, prompt, answer, max(least, words * per_word))
    prompt, answer = tokens.annotate_prompt.tokens(words, text), tokens.annotate_answer.tokens(words, text)
    most = tokens.annotate_room[0] + words * tokens.annotate_room[1]
    yield from _job("annotate", recipe.annotator, work.conversations, prompt, answer, most)


def _job(stage: str, config: KindConfig, answers: float, prompt: float, answer: float, most: float) -> Iterator[Job]:
    """A job, where the kind is a model and there is something to ask it."""
    model = getattr(config, "model", None)
    if model and answers:
        batch = bool(getattr(config, "batch", False))
        yield Job(stage, str(model), batch, answers, prompt=prompt, answer=answer, most=most)


# -- what is assumed -------------------------------------------------------------------------------------------------


def _assumptions(
    recipe: Recipe, work: Work, routes: Routes, asking: tuple[Asking, ...], tokens: TokenModel, retries: float
) -> Iterator[str]:
    """Everything the figures rest on, in sentences."""
    yield (
        f"{work.words_per_minute:g} words per minute (datagen/lang/{recipe.language}.yaml); gaps between turns, "
        "backchannels and pauses are not counted, so an hour of dialogue is an hour of synthesis"
    )
    yield f"{retries:.0%} of the utterances are made and heard once more"
    yield (
        f"speeds are what their authors report, on their texts (manifests/routes.yaml of {routes.date}); "
        "several devices share the hours evenly"
    )
    if recipe.asr is not None:
        yield (
            f"the second figure of recognition: every turn fills a window of {WINDOW_S} s of its own, as Whisper's "
            "models read"
        )
    if asking:
        known = "" if recipe.language.split("-")[0] in TEXT_TOKENS else ", not measured for this language"
        yield (
            f"{_text_tokens(recipe.language):g} tokens per word{known}; {tokens.repairs:.0%} of the answers are asked "
            "for once more; nothing is cached"
        )
        yield "at most: every answer as long as the stage allows; a model that thinks is charged for its thoughts"
    yield (
        f"disk: {BYTES_PER_SECOND / 1000:g} kB per second of dialogue while a build goes on, "
        f"{DATASET_BYTES_PER_SECOND / 1000:g} kB of it the dataset"
    )
