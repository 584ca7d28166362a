"""Laws of folds: nothing on both sides, nothing lost, balanced, and a clear word where there are too few groups."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import HealthCheck, given, reject, settings
from hypothesis import strategies as st

from datagen.core.rng import stream
from datagen.core.types import whole_of
from trainer.folds import Crossing, Folds, Member, Voices, draw_folds, groups_of

LAWS = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.filter_too_much])
VOICES: list[Voices] = ["heard", "both"]
CROSSINGS: list[Crossing] = ["refuse", "drop"]


@st.composite
def conversations(draw: st.DrawFn) -> list[Member]:
    """Dialogues in parts among people who talk to their neighbours on an island, and some who travel."""
    islands, people = st.integers(0, draw(st.integers(1, 12))), st.integers(0, 3)
    travels = st.sampled_from([False] * 19 + [True])

    def voice(home: int) -> str:
        return f"v{draw(islands) if draw(travels) else home}-{draw(people)}"

    found: list[Member] = []
    for number in range(draw(st.integers(6, 30))):
        parts, home = draw(st.sampled_from([1, 1, 1, 2, 3])), draw(islands)
        names = [f"d{number:02d}"] if parts == 1 else [f"d{number:02d}-p{part}" for part in range(parts)]
        found += [Member(id=name, user_voice=voice(home), assistant_voice=voice(home)) for name in names]
    return found


def drawn(members: list[Member], k: int, seed: int, voices: Voices, crossing: Crossing) -> Folds:
    """The folds; examples that allow none are set aside."""
    try:
        return draw_folds(members, k, seed, voices, crossing)
    except ValueError:
        return reject()


def pool(count: int, voices: int, seed: int = 0) -> list[Member]:
    """Conversations as the embedded data set casts them: two different voices of one pool, drawn at random."""
    rng = stream(seed, "pool", "test")
    pairs = [rng.choice(voices, size=2, replace=False) for _ in range(count)]
    return [Member(id=f"c{i:03d}", user_voice=f"v{u}", assistant_voice=f"v{a}") for i, (u, a) in enumerate(pairs)]


@pytest.mark.parametrize("voices", VOICES)
@pytest.mark.parametrize("crossing", CROSSINGS)
@LAWS
@given(members=conversations(), k=st.integers(2, 4), seed=st.integers(0, 3))
def test_no_dialogue_and_no_voice_is_on_both_sides(members, k, seed, voices, crossing):
    folds = drawn(members, k, seed, voices, crossing)
    for fold in range(k):
        held, trained = folds.held_out(fold), folds.training(fold)
        assert held
        assert trained
        assert not {whole_of(m.id) for m in held} & {whole_of(m.id) for m in trained}
        assert not {m.user_voice for m in held} & {m.user_voice for m in trained}
        if voices == "both":
            sides = [{v for m in part for v in (m.user_voice, m.assistant_voice)} for part in (held, trained)]
            assert not sides[0] & sides[1]


@pytest.mark.parametrize("voices", VOICES)
@pytest.mark.parametrize("crossing", CROSSINGS)
@LAWS
@given(members=conversations(), k=st.integers(2, 4))
def test_every_conversation_is_held_out_once_or_dropped(members, k, voices, crossing):
    folds = drawn(members, k, 0, voices, crossing)
    held = Counter(m.id for fold in range(k) for m in folds.held_out(fold))
    assert set(held.values()) == {1}
    assert sorted([*held, *(m.id for m in folds.dropped)]) == sorted(m.id for m in members)
    for fold, size in enumerate(folds.sizes()):
        assert size.held_out == len(folds.held_out(fold))
        assert size.held_out + size.training + size.aside == len(members)
    if crossing == "refuse" or voices == "heard":
        assert folds.dropped == ()
    if crossing == "refuse":
        assert {size.aside for size in folds.sizes()} == {0}


@pytest.mark.parametrize("voices", VOICES)
@LAWS
@given(members=conversations(), k=st.integers(2, 4), seed=st.integers(0, 3))
def test_folds_differ_by_at_most_the_largest_group(members, k, seed, voices):
    folds = drawn(members, k, seed, voices, "refuse")
    sizes = [size.held_out for size in folds.sizes()]
    assert max(sizes) - min(sizes) <= len(groups_of(members, voices)[0])


@LAWS
@given(conversations(), st.sampled_from(VOICES), st.sampled_from(CROSSINGS), st.data())
def test_names_and_seed_decide_not_the_order(members, voices, crossing, data):
    folds = drawn(members, 2, 7, voices, crossing)
    assert draw_folds(data.draw(st.permutations(members)), 2, 7, voices, crossing) == folds


def test_another_seed_draws_other_folds():
    members = pool(200, 64)
    one, same, other = (draw_folds(members, 5, seed) for seed in (1, 1, 2))
    assert one == same
    assert one.fold_of != other.fold_of


@LAWS
@given(conversations(), st.sampled_from(VOICES))
def test_groups_are_what_a_search_from_conversation_to_conversation_finds(members, voices):
    left, found = {m.id: m.atoms(voices) for m in members}, []
    while left:
        start, reached = left.popitem()
        group = {start}
        while linked := [name for name, atoms in left.items() if atoms & reached]:
            group.update(linked)
            reached = reached.union(*(left.pop(name) for name in linked))
        found.append(tuple(sorted(group)))
    assert sorted(groups_of(members, voices)) == sorted(found)


def test_the_embedded_data_set_has_folds_by_the_voice_that_is_heard():
    """540 conversations of 64 voices: five folds of 108 by the user's voice, nothing lost."""
    sizes = draw_folds(pool(540, 64), 5, 42).sizes()
    assert [size.held_out for size in sizes] == pytest.approx([108] * 5, abs=2)
    assert {size.held_out + size.training for size in sizes} == {540}


def test_two_voices_that_everybody_shares_are_refused_with_numbers_and_remedies():
    members = [Member(id=f"c{i}", user_voice="anna", assistant_voice="ben") for i in range(30)]
    with pytest.raises(ValueError, match="too few groups for 5 folds") as error:
        draw_folds(members, 5, 0)
    for word in ("30 conversations", "1 voices", "1 groups", "largest of 30", "crossing='drop'", "fewer folds"):
        assert word in str(error.value)


def test_voices_that_all_hang_together_leave_the_remedies_that_the_message_names():
    members = pool(540, 64)
    with pytest.raises(ValueError, match="540 conversations with 64 voices form 1 groups") as error:
        draw_folds(members, 5, 0, "both")
    assert "voices='heard'" in str(error.value)
    dropping = draw_folds(members, 5, 0, "both", "drop")
    kept = len(members) - len(dropping.dropped)
    assert f"would hold out {kept} of 540" in str(error.value)
    assert 0.12 < kept / 540 < 0.28, "two voices fall into one of five folds one time in five"


def test_one_giant_and_crumbs_are_no_folds():
    giant = [Member(id=f"c{i}", user_voice="anna", assistant_voice="ben") for i in range(96)]
    crumbs = [Member(id=f"x{i}", user_voice=f"v{i}", assistant_voice="ben") for i in range(4)]
    with pytest.raises(ValueError, match="the largest of 96"):
        draw_folds([*giant, *crumbs], 5, 0)


def test_parts_of_one_dialogue_stay_together():
    members = [Member(id=f"d{i}-p{p}", user_voice=f"u{i}-{p}", assistant_voice="a") for i in range(9) for p in range(3)]
    folds = draw_folds(members, 3, 0)
    assert {len({whole_of(m.id) for m in folds.held_out(f)}) for f in range(3)} == {3}
    loose = draw_folds(members, 3, 0, crossing="drop")
    assert loose.dropped == ()
    assert sum(size.aside for size in loose.sizes()) > 0, "a part whose sibling is held out is not trained on"


@pytest.mark.parametrize(
    ("members", "k", "said"),
    [
        ([("a", "v", "w"), ("a", "v", "w")], 2, "more than once, the first is 'a'"),
        ([("a", "v", "w")], 1, "at least 2"),
        ([], 2, "too few groups"),
        ([("a", "v", "w")], 2, "too few groups"),
    ],
)
def test_bad_input_is_named(members, k, said):
    with pytest.raises(ValueError, match=said):
        draw_folds([Member(id=i, user_voice=u, assistant_voice=a) for i, u, a in members], k, 0)


def test_a_conversation_without_a_voice_is_named():
    with pytest.raises(ValueError, match="'c1' names no voice"):
        Member(id="c1", user_voice="", assistant_voice="b")


def test_folds_survive_a_file():
    folds = draw_folds(pool(60, 20), 3, 0)
    assert Folds.model_validate_json(folds.model_dump_json()) == folds
    with pytest.raises(ValueError, match="outside 0 to 2"):
        Folds.model_validate(folds.model_dump() | {"fold_of": [3] * 60})
