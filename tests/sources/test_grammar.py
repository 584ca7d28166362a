"""Laws of the grammar source: purity, content, and messages."""

from __future__ import annotations

import re
import statistics
from functools import lru_cache
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from datagen import kinds
from datagen.core.types import Dialogue, Unreadable
from datagen.sources.grammar import GRAMMARS, Config, GrammarSource, make
from tests.sources.grammar_folders import FOOD, SHARED, write

NAMES = sorted(path.name for path in GRAMMARS.iterdir() if path.is_dir())
ENDS = (".", "!", "?")
WORDS_PER_MINUTE = 170


@lru_cache
def source(name: str) -> GrammarSource:
    return make(Config(grammar=name))


@lru_cache
def sample(name: str) -> tuple[Dialogue, ...]:
    return tuple(d for d in source(name).read(0, 3000, 7) if isinstance(d, Dialogue))


def seconds(dialogue: Dialogue) -> float:
    return sum(len(turn.words) for turn in dialogue.turns) * 60 / WORDS_PER_MINUTE


def texts(name: str) -> list[str]:
    return [turn.text for dialogue in sample(name) for turn in dialogue.turns]


# -- reading -------------------------------------------------------------------------------------------------


@given(st.integers(0, 10_000_000), st.integers(0, 2**63), st.sampled_from(NAMES))
@settings(max_examples=40, deadline=None)
def test_a_dialogue_depends_on_seed_and_index_alone(index: int, seed: int, name: str) -> None:
    alone = next(source(name).read(index, index + 1, seed))
    before, among, after = source(name).read(max(index - 1, 0), max(index - 1, 0) + 3, seed)
    assert alone == (among if index else before)
    assert alone == next(GrammarSource(Config(grammar=name), source(name)._grammar).read(index, index + 1, seed))
    assert isinstance(after, Dialogue)


def test_seeds_differ() -> None:
    one, two = (next(source("en").read(0, 1, seed)) for seed in (0, 1))
    assert isinstance(one, Dialogue)
    assert isinstance(two, Dialogue)
    assert one.id == two.id == "grammar-en-0000000"
    assert one.turns != two.turns


@pytest.mark.parametrize("name", NAMES)
def test_fields_are_filled(name: str) -> None:
    assert source(name).size() is None
    for dialogue in sample(name)[:100]:
        assert (dialogue.language, dialogue.source, dialogue.licence) == (name, "grammar", "Apache-2.0")


def test_the_folder_is_a_kind() -> None:
    config = kinds.parse("sources", {"kind": "grammar", "grammar": "es", "domains": ["tiempo"]})
    got = kinds.make("sources", config)
    assert {d.domain for d in got.read(0, 50, 0)} == {"tiempo"}


def test_turns_are_restricted() -> None:
    short = make(Config(turns=(2, 4)))
    assert all(isinstance(d, Dialogue) and 2 <= len(d.turns) <= 4 for d in short.read(0, 200, 0))
    with pytest.raises(ValueError, match=r"turns: none of 500 walks had .*; widen the range"):
        make(Config(turns=(900, 999)))
    with pytest.raises(ValueError, match="two rising numbers"):
        Config(turns=(4, 2))


def test_a_dialogue_that_cannot_be_found_is_reported_at_its_place(tmp_path: Path) -> None:
    rare = FOOD.replace("hours:\n", "hours:\n    weight: 0.0001\n    steps:\n").replace(
        "    - user: when", "      - user: when"
    )
    rare = rare.replace("    - assistant: we open", "      - assistant: we open")
    source = make(Config(grammar=str(write(tmp_path, food=rare)), turns=(8, 9)))
    assert all(isinstance(d, Dialogue | Unreadable) for d in source.read(0, 20, 0))
    assert len(list(source.read(5, 25, 0))) == 20


# -- content -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "least"), [("en", 14), ("es", 6)])
def test_every_domain_speaks_and_every_template_is_reachable(name: str, least: int) -> None:
    grammar = source(name)._grammar
    assert grammar.unused == ()
    assert len(grammar.domains) >= least
    assert {dialogue.domain for dialogue in sample(name)} == set(grammar.domains)
    assert all(sum(topic.domain == domain for topic in grammar.topics) >= 4 for domain in grammar.domains)


@pytest.mark.parametrize("name", NAMES)
def test_turns_are_spoken_lines(name: str) -> None:
    for text in texts(name):
        assert text == " ".join(text.split())
        assert text.endswith(ENDS)
        assert not re.search(r"[\d()\[\]{}<>$|/&%#@*_]", text), text
        assert not re.search(r" [,.?!]|[,.?!][,.]|[,.!][?]|\w[A-ZÁÉÍÓÚ]\w*[a-z][A-Z]", text), text
        assert not re.search(r"(?i)\b(\w+) \1\b", text), text
        assert re.match(r"[¿¡]?[A-ZÁÉÍÓÚ]", text), text


def test_english_articles_agree() -> None:
    wrong = re.compile(r"\b[Aa] (?=[aeio]|u(?!ni|se|s[eu]))|\b[Aa]n (?=[^aeiouhAEIOUH])")
    assert [text for text in texts("en") if wrong.search(text)] == []


def test_spanish_marks_pair_and_articles_contract() -> None:
    for text in texts("es"):
        assert text.count("¿") == text.count("?"), text
        assert text.count("¡") == text.count("!"), text
        assert not re.search(r"\b(de|a) el\b|\bla el\b|\bel la\b", text), text


@pytest.mark.parametrize("name", NAMES)
def test_dialogues_are_distinct(name: str) -> None:
    assert len({dialogue.turns for dialogue in sample(name)}) >= 0.99 * len(sample(name))


@pytest.mark.parametrize("name", NAMES)
def test_lengths_are_those_of_short_spoken_dialogues(name: str) -> None:
    lengths = [seconds(dialogue) for dialogue in sample(name)]
    assert min(lengths) >= 3
    assert 36 <= statistics.mean(lengths) <= 48
    assert 32 <= statistics.median(lengths) <= 43
    assert sum(length > 160 for length in lengths) <= 0.005 * len(lengths)
    assert sum(length < 9 for length in lengths) >= 0.03 * len(lengths)
    assert sum(length > 90 for length in lengths) >= 0.02 * len(lengths)


@pytest.mark.parametrize("name", NAMES)
def test_turns_leave_room_for_interruptions_and_backchannels(name: str) -> None:
    turns = [turn for dialogue in sample(name) for turn in dialogue.turns]
    user = [turn for turn in turns if turn.speaker == "user"]
    assistant = [turn for turn in turns if turn.speaker == "assistant"]
    assert sum(len(turn.words) >= 20 and "," in turn.text for turn in user) >= 0.15 * len(user)
    assert sum(len(turn.words) >= 25 for turn in assistant) >= 0.15 * len(assistant)
    assert max(len(turn.words) for turn in turns) <= 85
    starts = sum(dialogue.turns[0].speaker == "user" for dialogue in sample(name))
    assert 0.78 <= starts / len(sample(name)) <= 0.92


@pytest.mark.parametrize("name", NAMES)
def test_nobody_is_left_without_an_answer(name: str) -> None:
    for dialogue in sample(name):
        assert dialogue.turns[-1].speaker == "assistant"
        assert not dialogue.turns[-1].text.endswith("?"), dialogue


def test_what_was_corrected_stays_corrected(tmp_path: Path) -> None:
    source = make(Config(grammar=str(write(tmp_path))))
    corrected = 0
    for dialogue in source.read(0, 300, 0):
        assert isinstance(dialogue, Dialogue)
        for before, after in zip(dialogue.turns, dialogue.turns[1:], strict=False):
            if moved := re.match(r"Sorry, not (\w+), (\w+)\.", before.text):
                corrected += 1
                assert moved[1] != moved[2]
                assert f"on {moved[2]}" in after.text
            if dish := re.search(r"your (pizza|soup) .* takes (.*)\.", after.text):
                assert dish[2] == {"pizza": "ten minutes", "soup": "an hour"}[dish[1]]
    assert corrected > 20


# -- mistakes ------------------------------------------------------------------------------------------------


def test_unknown_grammars_and_domains_are_listed() -> None:
    with pytest.raises(ValueError, match=r"no grammar 'xx'; there are: en, es, or the path"):
        make(Config(grammar="xx"))
    with pytest.raises(ValueError, match=r"there is no 'wether' in en; there are: banking, calendar"):
        make(Config(domains=("wether",)))


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (
            "<sure>, for which",
            "<shure>, for which",
            "mini/food.yaml: topics.order.1.steps.0.assistant: there is no phrase 'shure'; did you mean 'sure'",
        ),
        ("$dish.time", "$dish.tome", "there is no field of slot 'dish' called 'tome'; did you mean 'time'"),
        ("some) $dish", "some) $dihs", "mini/food.yaml: topics.order.0.user: there is no slot 'dihs'"),
        ("flow: bye", "flow: by", "mini/food.yaml: topics.order.4.flow: there is no flow 'by'"),
        ("we open at ten", "we open at 10", "'1' in 'we open at 10.' cannot be spoken"),
        ("we open at ten.", "we (open|", "a '(' is never closed"),
        ("we open at ten.", "we open) at ten", "')' without a '('"),
        ("we open at ten.", "(|um,)", "the text can be empty"),
        ("we open at ten.", "we $ open", "stray '$'"),
        ("pizza | ten minutes", "pizza", "mini/food.yaml: slots.dish: row 'pizza' has 1 columns, fields name 2"),
        ("weight: 2", "wieght: 2", "mini/food.yaml: topics.order.wieght: Extra inputs"),
        ("maybe: 0.4", "maybe: 1.4", "mini/food.yaml: topics.order.steps.2.maybe: "),
        ("{day: new_day}", "{day: dish}", "'day' and 'dish' have different tables"),
        ("{like: day}", "{like: dya}", "mini/food.yaml: slots.new_day: there is no slot 'dya'"),
        ("- user: when do", "- user: hello\n      assistant: when do", "a step has exactly one of"),
        ("slots:\n", "phrases:\n  sure: [yes]\nslots:\n", "mini/food.yaml: phrases.sure: also in shared.yaml"),
        ("slots:\n", "phrases:\n  a: <b>\n  b: <a>\nslots:\n", ""),
        ("weight: 2", "weight: 2\n    weight: 3", "food.yaml:7: key 'weight' appears twice (first on line 6)"),
    ],
)
def test_mistakes_name_file_and_key(tmp_path: Path, old: str, new: str, message: str) -> None:
    food = FOOD.replace(old, new, 1)
    assert food != FOOD
    if not message:
        food, message = food.replace("we open", "<a>"), "<a> -> <b> -> <a> goes round in a circle"
    with pytest.raises(ValueError) as caught:  # noqa: PT011
        make(Config(grammar=str(write(tmp_path, food=food))))
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_grammar_needs_its_shared_file_and_a_start(tmp_path: Path) -> None:
    path = write(tmp_path, shared=SHARED.replace("start:", "begin:"))
    with pytest.raises(ValueError, match=r"mini/shared.yaml: flows: there is no flow 'start'"):
        make(Config(grammar=str(path)))
    (path / "shared.yaml").unlink()
    with pytest.raises(ValueError, match=r"holds no shared.yaml"):
        make(Config(grammar=f"{path}/"))
