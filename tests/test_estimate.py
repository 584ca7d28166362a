"""Estimates: the arithmetic holds, the paper comes out as it was, and what is missing is said instead of guessed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from datagen import kinds
from datagen.core.prices import Price, Prices
from datagen.core.types import Dialogue, Turn, Unreadable
from datagen.estimate import Estimate, Route, TokenModel, Work, estimate, route_table, tables, work_of
from datagen.kinds import KindConfig
from datagen.recipe import Recipe, RecipeError, Spending, load
from datagen.stages import listening, write
from datagen.stages.write import Writing
from datagen.tts import espeak
from tests.helpers import ROOT, samples
from tests.strategies import english
from tests.tiny import dialogue, write_recipe

ROUTES = route_table()
SMALL, LARGE = Price(input=0.5, output=4, batch=0.5, source="here"), Price(input=2, output=12, source="here")
PRICES = Prices(date="2026-01-02", models={"small": SMALL, "large": LARGE})
WORK = Work(basis="given", conversations=1_000, turns=8, words_per_turn=15, words_per_minute=170)
COSYVOICE = {
    "official PyTorch fp32": 1_039,
    "official vLLM bf16, flow fp16": 356,
    "FlashCosyVoice bf16, flow fp32": 183,
    "FlashCosyVoice bf16, flow fp16": 117,
    "Triton offline, concurrency 1": 190,
    "Triton offline, concurrency 4": 130,
    "offline HF, batch 1": 532,
    "offline HF, batch 16": 175,
    "offline TRT-LLM, batch 16": 82,
    "offline TRT-LLM, DiT token2wav": 62,
    "CosyVoice3 TRT-LLM, batch 16": 107,
    "LightTTS CosyVoice3, 1 worker": 277,
    "LightTTS CosyVoice3, 8 workers": 100,
    "async_cosyvoice, fastest": 213,
    "async_cosyvoice, slowest": 320,
}
"""GPU hours for 2,133 hours of audio, worked out by hand from each route's published speed."""


class Model(KindConfig):
    """A language model, as far as an estimate is concerned."""

    kind: Literal["model"] = "model"
    model: str
    batch: bool = False


class Named(KindConfig):
    """Any kind."""

    kind: str


@lru_cache(maxsize=1)
def laptop() -> Recipe:
    return load(str(ROOT / "recipes" / "assistant.yaml"))


def english_recipe(**changes: Any) -> Recipe:
    """The recipe of a laptop with other keys in it; its source is not read where the work is given."""
    return laptop().model_copy(update=changes)


def of(work: Work = WORK, prices: Prices | None = PRICES, retries: float = 0.08, **changes: Any) -> Estimate:
    return estimate(english_recipe(**changes), prices, ROUTES, work=work, retries=retries)


def titles(found: Estimate) -> list[str]:
    return [title.partition(",")[0] for title, _, _ in tables(found)]


def notes(found: Estimate) -> str:
    """The last table as one line."""
    title, _, rows = tables(found)[-1]
    assert title == "Notes"
    return " ".join(cell.removeprefix("- ").strip() for (cell,) in rows)


# -- arithmetic ------------------------------------------------------------------------------------------------------


WORKS = st.builds(
    Work,
    basis=st.just("given"),
    conversations=st.integers(1, 10**7),
    turns=st.floats(1, 60),
    words_per_turn=st.floats(1, 100),
    words_per_minute=st.floats(100, 250),
    outlines=st.floats(0, 1),
    outline_words=st.floats(0, 500),
)


@given(WORKS, st.integers(2, 50))
def test_everything_grows_with_the_number_of_conversations(work: Work, times: int) -> None:
    asked: dict[str, Any] = {"writer": Model(model="small"), "annotator": Model(model="large", batch=True)}
    asked |= {"writing": Writing(rewrite=True), "asr": Named(kind="faster_whisper"), "tts": Named(kind="cosyvoice2")}
    once = of(work, **asked)
    often = of(work.model_copy(update={"conversations": work.conversations * times}), **asked)
    assert often.work.hours == pytest.approx(times * once.work.hours)
    assert often.disk_bytes == pytest.approx(times * once.disk_bytes)
    for group in ("synthesis", "others", "hearing"):
        pairs = list(zip(getattr(once, group), getattr(often, group), strict=True))
        assert pairs
        assert all(more.hours == pytest.approx(times * one.hours) for one, more in pairs)
        assert all(more.hours_most == pytest.approx(times * one.hours_most) for one, more in pairs)
    one_token = 12e-6 * times
    assert often.usd == pytest.approx(times * once.usd, abs=6 * one_token)
    assert often.usd_most == pytest.approx(times * once.usd_most, abs=6 * one_token)


@given(WORKS, st.sampled_from(["small", "large"]))
def test_a_batch_is_cheaper_where_the_table_says_so(work: Work, model: str) -> None:
    full, batch = (of(work, annotator=Model(model=model, batch=batch)) for batch in (False, True))
    assert batch.usd == pytest.approx(full.usd * PRICES.models[model].batch)
    assert batch.usd_most == pytest.approx(full.usd_most * PRICES.models[model].batch)
    assert batch.asking[0].usage == full.asking[0].usage
    assert full.usd_most >= full.usd > 0


def test_the_price_is_that_of_the_tokens() -> None:
    (asking,) = of(annotator=Model(model="large")).asking
    tokens = TokenModel()
    assert (asking.stage, asking.answers) == ("annotate", pytest.approx(1_000 * (1 + tokens.repairs)))
    assert asking.usage.prompt_tokens == round(1_050 * tokens.annotate_prompt.tokens(120, 1.35))
    assert asking.usage.output_tokens == round(1_050 * (20 + 120 * 2.5))
    assert asking.usd == pytest.approx((asking.usage.prompt_tokens * 2 + asking.usage.output_tokens * 12) / 1e6)


def test_a_recipe_that_asks_no_model_costs_nothing() -> None:
    found = of()
    assert (found.asking, found.usd) == ((), 0)
    assert titles(found) == ["Work", "Synthesis", "Disk", "Notes"]
    assert "tokens" not in notes(found)


def test_a_writer_writes_outlines_and_rewrites_the_rest_only_where_it_is_asked_to() -> None:
    half = WORK.model_copy(update={"outlines": 0.25, "outline_words": 200.0})
    asked: dict[str, Any] = {"writer": Model(model="small"), "annotator": Model(model="large")}
    answers = {a.stage: a.answers for a in of(half, **asked).asking}
    assert answers == {"write": pytest.approx(262.5), "annotate": pytest.approx(1_050)}
    answers = {a.stage: a.answers for a in of(half, writing=Writing(rewrite=True), **asked).asking}
    assert answers["rewrite"] == pytest.approx(787.5)
    assert [a.stage for a in of(WORK, **asked).asking] == ["annotate"]


def test_what_is_made_twice_takes_twice_as_long() -> None:
    once, twice = of(retries=0, asr=Named(kind="faster_whisper")), of(retries=1, asr=Named(kind="faster_whisper"))
    for group in ("synthesis", "others", "hearing"):
        for one, two in zip(getattr(once, group), getattr(twice, group), strict=True):
            assert two.hours == pytest.approx(2 * one.hours)
            assert two.hours_most == pytest.approx(2 * one.hours_most)
    assert once.disk_bytes == twice.disk_bytes


@given(WORKS)
def test_windows_are_never_less_than_the_speech_in_them(work: Work) -> None:
    assert work.window_hours >= work.hours * (1 - 1e-9)
    short = work.model_copy(update={"words_per_turn": 1.0})
    assert short.window_hours == pytest.approx(work.conversations * work.turns * 30 / 3600)


def test_eight_cores_at_work_count_as_eight() -> None:
    route = Route(name="cpu", engine="e", device="CPU core", devices=8, hardware="h", rtf=0.5, source="s")
    assert route.hours(10) == 40


# -- the paper -------------------------------------------------------------------------------------------------------


def paper(**changes: Any) -> Estimate:
    """The paper's corpus, of a source that is not here."""
    unread = {"source": Named(kind="no_such_source"), "conversations": 104_478}
    return estimate(english_recipe(**unread, **changes), None, ROUTES, retries=0)


def test_the_papers_conversations_make_the_papers_hours() -> None:
    found = paper()
    assert found.work.hours == pytest.approx(2_133, rel=0.01)
    assert found.work.basis.startswith("assumed: 73.5 s and 4.3 turns per conversation, as in the paper")
    assert "no_such_source" in notes(found)


def test_gpu_hours_are_those_worked_out_by_hand() -> None:
    found = paper(tts=Named(kind="cosyvoice2"))
    hours = {computing.route.name: computing.hours for computing in (*found.synthesis, *found.others)}
    for name, expected in COSYVOICE.items():
        assert hours.pop(name) == pytest.approx(expected, rel=0.006, abs=0.6), name
    assert hours == {}


def test_routes_that_serve_the_engine_stand_apart() -> None:
    found = paper(tts=Named(kind="cosyvoice2"))
    assert [c.route.name for c in found.synthesis] == ["official PyTorch fp32"]
    assert len(found.synthesis) + len(found.others) == len(COSYVOICE)
    small = paper(tts=espeak.Config(kind="espeak"))
    assert ([c.route.name for c in small.synthesis], small.others) == (["espeak-ng"], ())


# -- the source ------------------------------------------------------------------------------------------------------


def test_a_source_that_can_be_read_is_measured(tmp_path: Path) -> None:
    recipe = load(str(write_recipe(tmp_path)), ["conversations=40"])
    said = [dialogue(number)["turns"] for number in range(12)]
    words = sum(len(turn["text"].split()) for turns in said for turn in turns)
    work = work_of(recipe)
    assert work.basis == "measured on 12 dialogues of the source"
    assert (work.conversations, work.turns) == (12, 4)
    assert work.words_per_turn == pytest.approx(words / 48)
    assert work.hours == pytest.approx(words / 170 / 60)


def test_the_sample_is_from_all_over_a_sorted_source(tmp_path: Path) -> None:
    lines = [dialogue(number, turns=2 if number < 100 else 4) for number in range(200)]
    recipe = load(str(write_recipe(tmp_path, lines=lines)), ["conversations=200"])
    assert work_of(recipe).turns == pytest.approx(3)
    assert work_of(load(str(tmp_path / "tiny.yaml"), ["conversations=100"])).turns == 2


def test_an_endless_source_gives_as_many_as_are_asked_for() -> None:
    work = work_of(english_recipe(conversations=7))
    assert (work.basis, work.conversations) == ("measured on 7 dialogues of the source", 7)


def test_a_source_without_one_good_line_is_no_measure(tmp_path: Path) -> None:
    work = work_of(load(str(write_recipe(tmp_path, lines=["{}", "nonsense"]))))
    assert work.basis.endswith("(the source cannot be read: none of the sampled records is a dialogue)")


class Mixed:
    """A source of which every other dialogue is an outline of ten words."""

    def size(self) -> int:
        return 20

    def read(self, start: int, stop: int, seed: int) -> Iterator[Dialogue | Unreadable]:
        for number in range(start, stop):
            use = "outline" if number % 2 else "script"
            turns = (Turn(speaker="user", text="one two three four five six seven eight nine ten"),)
            yield Dialogue(
                id=f"d{number}", use=use, language="en", domain="d", source="s", licence="CC0-1.0", turns=turns
            )


def test_outlines_become_what_the_recipe_asks_its_writer_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kinds, "make", lambda *_: Mixed())
    asked: dict[str, Any] = {"writer": Model(model="small"), "writing": Writing(turns=(4, 8), words_per_turn=30)}
    written = work_of(english_recipe(**asked))
    assert (written.conversations, written.outlines, written.outline_words) == (20, 0.5, 10)
    assert written.turns == pytest.approx((1 + 6) / 2)
    assert written.words == pytest.approx((10 + 180) / 2)
    assert "10 are outlines, written" in written.basis
    alone = work_of(english_recipe())
    assert (alone.conversations, alone.outlines, alone.words) == (10, 0, 10)
    assert "10 are outlines, rejected without a writer" in alone.basis


@dataclass(frozen=True)
class Part:
    """A part of a mixture."""

    weight: float
    source: KindConfig


class Mixture(KindConfig):
    """A source made of others."""

    kind: Literal["no_such_mixture"] = "no_such_mixture"
    parts: tuple[Part, ...]


def test_unread_outlines_are_expected_to_become_what_the_writer_is_asked_for() -> None:
    asked: dict[str, Any] = {"writer": Model(model="small"), "writing": Writing(turns=(4, 12), words_per_turn=25)}
    whole = work_of(english_recipe(source=Named(kind="outlines"), **asked))
    assert (whole.turns, whole.words_per_turn, whole.outlines) == (8, pytest.approx(25), 1)
    parts = (Part(3, Named(kind="outlines")), Part(1, Named(kind="no_such_source")))
    mixed = work_of(english_recipe(source=Mixture(parts=parts), **asked))
    assert mixed.outlines == 0.75
    assert mixed.words == pytest.approx(0.75 * 200 + 0.25 * paper().work.words)
    assert "75% are outlines, written as `writing` asks" in mixed.basis
    assert work_of(english_recipe(source=Mixture(parts=parts))).words == pytest.approx(paper().work.words)


# -- what is said ----------------------------------------------------------------------------------------------------


def test_a_model_without_a_price_is_a_row_and_no_error() -> None:
    found = of(writer=Model(model="dear"), writing=Writing(rewrite=True), annotator=Model(model="small"))
    rewrite, annotate = found.asking
    assert (rewrite.usd, annotate.usd) == (None, pytest.approx(found.usd))
    assert "no price for model dear in the table of 2026-01-02" in notes(found)
    money = next(rows for title, _, rows in tables(found) if title.startswith("Language models"))
    assert [row[-2:] for row in money if row[1] == "dear"] == [["?", "?"]]
    assert rewrite.usage.prompt_tokens > 0


def test_without_a_price_table_tokens_are_all_there_is() -> None:
    found = of(prices=None, annotator=Model(model="small"))
    assert (found.asking[0].usd, found.usd) == (None, 0)
    assert found.asking[0].usage.output_tokens > 0
    assert "no price table is given: tokens only" in notes(found)


def test_a_budget_that_does_not_last_is_announced() -> None:
    asked: dict[str, Any] = {"annotator": Model(model="small")}
    usd = of(**asked).usd
    short = of(**asked, budget=Spending(usd=usd / 4, prices="p"))
    assert "would stop the run after about 25% of it" in notes(short)
    assert "would stop" not in notes(of(**asked, budget=Spending(usd=usd * 2, prices="p")))


def test_a_language_that_was_not_measured_is_named() -> None:
    asked = english_recipe(annotator=Model(model="small"))
    assert "1.35 tokens per word;" in notes(estimate(asked, PRICES, ROUTES, work=WORK))
    other = asked.model_copy(update={"language": "fi"})
    assert "2 tokens per word, not measured for this language" in notes(estimate(other, PRICES, ROUTES, work=WORK))


@given(WORKS, st.text("abc-.", min_size=1, max_size=80))
def test_tables_are_even_and_fit_100_columns(work: Work, model: str) -> None:
    asked: dict[str, Any] = {"writer": Model(model=model, batch=True), "annotator": Model(model="large", batch=True)}
    asked |= {"asr": Named(kind="faster_whisper"), "tts": Named(kind="cosyvoice_http")}
    found = of(work, budget=Spending(usd=12_345, prices="p"), **asked)
    for title, header, rows in tables(found):
        assert rows
        assert len(title) <= 100
        assert {len(row) for row in rows} == {len(header)}
        widths = [max(len(cell) for cell in column) for column in zip(header, *rows, strict=True)]
        assert sum(widths) + 3 * (len(widths) - 1) <= 100, title


def test_several_devices_share_the_hours() -> None:
    work = WORK.model_copy(update={"conversations": 100_000})
    for title, header, rows in tables(of(work, tts=Named(kind="cosyvoice2"), retries=0)):
        if title == "Synthesis":
            assert header[-3:] == ["on 1", "on 4", "on 8"]
            assert rows == [["official PyTorch fp32", "H800", "0.487", "573 GPU h", "24 d", "6.0 d", "3.0 d"]]


def test_a_table_that_is_not_there_or_none_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match=r"routes: there is no file .*; it is manifests/routes\.yaml"):
        route_table(tmp_path / "none.yaml")
    (tmp_path / "odd.yaml").write_text("date: 2026-11-21\ntts: []\nasr: [{name: a, engine: b, hardware: c, rtf: -1}]\n")
    with pytest.raises(RecipeError, match=r"odd\.yaml: asr\.0\.rtf: .*greater than 0"):
        route_table(tmp_path / "odd.yaml")


# -- the prompts -----------------------------------------------------------------------------------------------------


def talks() -> list[Dialogue]:
    source: kinds.Source = kinds.make("sources", english_recipe().source)
    return [item for item in source.read(0, 50, 1) if isinstance(item, Dialogue)]


def test_token_figures_are_those_of_the_prompts_that_are_sent() -> None:
    tokenizers = pytest.importorskip("tokenizers")
    tokenizer = tokenizers.Tokenizer.from_file(str(samples() / "tokenizer" / "qwen2" / "tokenizer.json"))
    config = write.Config(writer=Model(model="m"), writing=Writing(), language=english(), seed=1)
    makers = {
        "write_prompt": lambda d: write.write_ask(d, config),
        "rewrite_prompt": lambda d: write.rewrite_ask(d, config),
        "annotate_prompt": lambda d: listening.places_ask(d, config.language, 1),
    }
    for name, make in makers.items():
        shape, sent, expected = getattr(TokenModel(), name), 0, 0.0
        for talk in talks():
            ask = make(talk)
            sent += sum(len(tokenizer.encode(t).ids) for t in (ask.system, ask.prompt, str(ask.answer_schema)))
            expected += shape.tokens(sum(len(turn.words) for turn in talk.turns), 1.35)
        assert expected == pytest.approx(sent, rel=0.2), name


def test_no_answer_may_be_longer_than_is_reckoned_with() -> None:
    config = write.Config(writer=Model(model="m"), writing=Writing(turns=(12, 12)), language=english(), seed=1)
    least, per_word = TokenModel().write_room
    fixed, for_each = TokenModel().annotate_room
    for talk in talks():
        words = sum(len(turn.words) for turn in talk.turns)
        assert write.write_ask(talk, config).max_output_tokens == max(least, 300 * per_word)
        assert write.rewrite_ask(talk, config).max_output_tokens == max(least, words * per_word)
        assert listening.places_ask(talk, config.language, 1).max_output_tokens == fixed + words * for_each
