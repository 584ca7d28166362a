"""Laws of ``speakable``: one line, every word says something, nothing left to do, no word lost."""

from __future__ import annotations

import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from datagen.core import textnorm
from datagen.core.textnorm import NothingToSay, speakable
from datagen.core.types import CONTROL

PIECES = (
    *("hello", "I", "don't", "3", "40", "1,000", "New", "x", "día", "été", "你好", "e.g.", "Mr.", "U.S.", "a_b", "x<y"),
    *("नमस्ते", "می\u200cروم", " ", "  ", "\n", "\t", "\xa0", "\u200b", "\ufeff", "\u200d", "\ufe0f", "\x00", "\u0301"),
    *(".", "..", "...", "…", ",", "!", "?", "?!", ";", ":", "-", "--", "–", "—", "/", "(", ")", "[", "]", "¿", "¡"),
    *("'", '"', "“", "”", "’", "`", "*", "**", "_", "~", "#", "# ", "> ", "- ", "|", "\\", "\\n", "<", ">", "^", "="),
    *("&", "&amp;", "&amp;lt;", "&lt;b&gt;", "&#39;", "&nbsp;", "<b>", "</b>", "<br/>", '<a href="x">', ":)", ":D"),
    *("%", "$", "€", "@", "°", "+", "<3", "😀", "👨\u200d👩\u200d👧", "1\ufe0f\u20e3", "㎏", "℃", "™"),
    *(
        "\n- ",
        "\n1. ",
        "\n2) ",
        "\n\n",
        "\r\n",
        "\n---\n",
        "\n===",
        "[x](/y)",
        "(www.x.y)",
        "[1]",
        "<li>",
        "<p>",
        "<br>",
    ),
    *("√", "→", ":tada:", "1234567", "9" * 9, "aB3" * 5, "。", "：", "$$", "x^2", "import os\n", "\\pi", "《书》"),
)
pieces = st.lists(st.sampled_from(PIECES), max_size=14).map("".join)
texts = st.one_of(pieces, st.text(max_size=40))
ENGLISH = (("&", " and "), ("%", " percent"), ("+", " plus "), ("=", " equals "), ("e.g.", "for example"))


def _try(text: str, pairs: tuple[tuple[str, str], ...] = ()) -> str | None:
    try:
        return speakable(text, pairs)
    except ValueError as error:
        reason = str(error)
    assert reason.startswith("cannot be spoken: ")
    assert "\n" not in reason
    return None


@given(texts)
@example("&amp;amp;amp;lt;b&gt;x")
@example("a . . . b")
@example("-- -- a -- -- b")
def test_a_second_time_changes_nothing(text: str) -> None:
    for pairs in ((), ENGLISH):
        if (once := _try(text, pairs)) is not None:
            assert speakable(once, pairs) == once


@given(texts)
def test_one_line_of_words_that_say_something(text: str) -> None:
    if (said := _try(text)) is None:
        return
    assert not CONTROL.search(said)
    assert said == " ".join(said.split())
    for word in said.split():
        assert any(c.isalnum() or c in "&+=%@<>±×÷" or not c.isascii() or c in "$^" for c in word), word


@given(st.lists(st.from_regex(r"[A-Za-z]{2,8}", fullmatch=True), min_size=1, max_size=8), st.data())
def test_no_word_is_lost_or_made_up(words: list[str], data: st.DataObject) -> None:
    marks = ("{}", "**{}**", "*{}*", "<b>{}</b>", "“{}”", "({})", "{} 😀", "{}!", "{}…", "_{}_", "{} —", "{} :)")
    wrap = st.sampled_from(marks)
    space = st.sampled_from((" ", "  ", "\n", "\xa0", "\t", " - ", " — ", "&nbsp;"))
    text = data.draw(space).join(data.draw(wrap).format(word) for word in words)
    if len({"\t", "\n"} & set(text)) < 2:
        assert re.findall(r"[A-Za-z]+", speakable(text)) == words


tokens = st.tuples(
    st.sampled_from(("", "", "$", '"', "(")),
    st.sampled_from(("word", "I'm", "A", "3", "1,000.5", "8:30", "re-do", "x2", "www", "U")),
    st.sampled_from(("", "", "%")),
    st.sampled_from(("", "", '"', ")")),
    st.sampled_from(("", ",", "!", "?", ".", "...")),
    st.sampled_from(("", "", '"')),
).map("".join)


@given(st.lists(tokens, min_size=1, max_size=8).map(" ".join))
def test_the_short_cut_skips_only_what_would_do_nothing(text: str) -> None:
    assert textnorm._NOTHING_TO_DO.fullmatch(text)
    assert textnorm._once(text) == text


def test_long_text_with_many_quotes_ends() -> None:
    assert speakable('so" ' * 60 + "é") == 'so" ' * 60 + "é"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("Did you?I  did,twice.Then it\nrained", "Did you? I did, twice. Then it rained"),
        ("Wait..what", "Wait... what"),
        ("Hmm…..", "Hmm..."),
        ("It’s “fine” – really", 'It\'s "fine", really'),
        ("22–24 December, 45--35, 3 - 1", "22-24 December, 45-35, 3-1"),
        ("That´s it , right ?", "That's it, right?"),
        ("at 6:40 pm .Cost is $ 20", "at 6:40 pm. Cost is $20"),
        ("amazon.com and the U.S.A. at 8:30, 1,000.5 e.g.this", "amazon.com and the U.S.A. at 8:30, 1,000.5 e.g.this"),
        ("Texas A &amp; M <b>won</b>", "Texas A & M won"),
        ("# Title\n- **one**\n- `two`", "Title. one. two"),
        ("Great! :) 😀👍🏽 Bye <3", "Great! Bye"),
        ("¿ Qué ?", "¿Qué?"),
        ("5㎏ at 20℃", "5kg at 20°C"),
        ("5 > 3 and x<y and y>z", "5 > 3 and x<y and y>z"),
        ("cafe\u0301", "café"),
        ("می\u200cروم", "می\u200cروم"),
    ],
)
def test_examples(text: str, said: str) -> None:
    assert speakable(text) == said


TIPS = """Here are some tips:

1. **Eat well**: fruit (apples, pears) — and vegetables
2. Sleep at least 8 hours
   and a bit more
3. Run!

I hope this helps
"""


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            TIPS,
            "Here are some tips: Eat well: fruit (apples, pears), and vegetables. Sleep at least 8 hours and a bit "
            "more. Run! I hope this helps",
        ),
        (
            "## Uses\n\n- **Weight** control\n* [x] Sleep\n+ Energy 🎉\n\nBye",
            "Uses. Weight control. Sleep. Energy. Bye",
        ),
        ("以下是一些建议：\n\n1. 学习编程\n2.写作", "以下是一些建议： 学习编程。 写作"),
        ("नमस्ते दुनिया।\n\nठीक", "नमस्ते दुनिया। ठीक"),
        ("Title\n=====\nText\n\n---\n\nMore", "Title. Text. More"),
        ("**A title**\nand text", "A title. and text"),
        ("A. Paris\nB. London", "A. Paris. B. London"),
        ("> quoted\n> further\n\nreply", "quoted further. reply"),
        ("One\r\ntwo\r\n\r\nthree", "One two. three"),
        ('Save 40%\n\nHe said "hi"\n\nDear Jo,\n\nBye', 'Save 40%. He said "hi". Dear Jo, Bye'),
        ("<p>Hello</p><ul><li>one</li><li>two</li></ul>line<br/>end", "Hello. one. two. line end"),
        ("1. 1.5 cups\n2. 2 eggs", "1.5 cups. 2 eggs"),
        ("1️⃣ Eat\n2️⃣ Sleep", "Eat. Sleep"),
        ("1984. It was cold\nthat day", "1984. It was cold that day"),
        ("5. I think", "5. I think"),
        ("See [the WHO](https://who.int/a_(b)) (https://who.int) for it[1][2].", "See the WHO for it."),
        ("[here](http://x.y)", "here"),
        ('<a href="https://x.y">Here</a> it is', "Here it is"),
        ("Great :tada: work", "Great work"),
        ("Call +491511234567890, $$$ and $5 a_b $6", "Call +491511234567890, $$$ and $5 a b $6"),
    ],
)
def test_the_writing_of_language_models(text: str, said: str) -> None:
    assert speakable(text) == said


@given(st.lists(st.from_regex(r"[A-Za-z]{2,8}", fullmatch=True), min_size=2, max_size=6), st.sampled_from("-*+•"))
def test_every_item_of_a_list_is_a_sentence(words: list[str], bullet: str) -> None:
    said = ". ".join(words)
    assert speakable("\n".join(f"{bullet} {word}" for word in words)) == said
    assert speakable("\n".join(f"{n}. {word}" for n, word in enumerate(words, 1))) == said
    assert speakable("\n\n".join(words)) == said
    assert speakable("\n".join(words)) == " ".join(words)


def test_replacements_are_literal_and_in_order() -> None:
    assert speakable("R&D rose 40%", (("&", " and "), ("and D", "and development"))) == "R and development rose 40%"


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("see https://example.org/a", "web address"),
        ("see www.example.org", "web address"),
        ("<http://x.y>", "web address"),
        ("[http://x.y](http://x.y)", "web address"),
        ("- [A](https://a.b)\n- [B](https://b.c)", "a list of links"),
        ("Look: ![a cat](https://x.y/cat.png)", "a picture"),
        ("The area is πr^2h.", "a formula"),
        ("So $x_1 + x_2$ it is", "a formula"),
        ("\\frac{1}{2}", "a formula"),
        ("x ≥ 5", "a formula"),
        ("aGVsbG8gd29ybGQgdGhpcyBpcyBiYXNlNjQ=", "an encoded string"),
        ("550e8400-e29b-41d4-a716-446655440000", "an encoded string"),
        ("1234567890123456", "a number nobody says"),
        ("It is 3.14159265358979", "a number nobody says"),
        ("import numpy as np\nnp.zeros(3);", "code"),
        ("Run this:\ndef f(x):\n    return x", "code"),
        ("C:\\Users\\bob", "code"),
        ("a | b\n--- | ---\nc | d", "table"),
        ("```print(1)```", "code"),
        ("call `f(x)` now", "code"),
        ("if a == b then {", "code"),
        ("|a|b|\n|-|-|", "table"),
        ("a\tb\nc\td", "table"),
        ("don\ufffdt", "damaged"),
    ],
)
def test_what_cannot_be_spoken_is_refused(text: str, what: str) -> None:
    with pytest.raises(ValueError, match=f"^cannot be spoken: .*{what}"):
        speakable(text)


@pytest.mark.parametrize("text", ["", "  ", "...", "😀", ":)", "?!", "<br/>", "—", "&nbsp;", "$"])
def test_symbols_alone_are_nothing_to_say(text: str) -> None:
    with pytest.raises(NothingToSay):
        speakable(text)
