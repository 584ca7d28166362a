from __future__ import annotations

import subprocess
import sys

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from datagen.core.rng import key, stream

NAMES = st.text(st.characters(blacklist_categories=["Cs"], blacklist_characters="\x1f"), max_size=20)
KEYS = st.tuples(st.integers(-(2**63), 2**63), NAMES, NAMES)


@given(KEYS)
def test_a_name_gives_the_same_numbers_each_time(name: tuple[int, str, str]) -> None:
    assert 0 <= key(*name) < 2**64
    assert np.array_equal(stream(*name).integers(0, 2**62, 8), stream(*name).integers(0, 2**62, 8))


@given(KEYS, KEYS)
def test_different_names_give_different_streams(left: tuple[int, str, str], right: tuple[int, str, str]) -> None:
    assert (key(*left) == key(*right)) == (left == right)


def test_parts_of_a_name_do_not_run_together() -> None:
    assert len({key(1, "ab", "c"), key(1, "a", "bc"), key(11, "ab", "c"), key(1, "", "abc")}) == 4


def test_streams_of_one_conversation_are_not_correlated() -> None:
    numbers = np.array([stream(1, "c-1", f"purpose/{n}").standard_normal(2_000) for n in range(20)])
    correlations = np.corrcoef(numbers) - np.eye(20)
    assert np.abs(correlations).max() < 5 / np.sqrt(2_000)


def test_neighbouring_conversations_draw_evenly() -> None:
    first = np.array([stream(1, f"c-{n}", "offsets").random() for n in range(4_000)])
    assert np.abs(np.histogram(first, bins=10, range=(0, 1))[0] - 400).max() < 5 * np.sqrt(400)


def test_numbers_do_not_depend_on_the_process() -> None:
    """The streams of published datasets: these numbers must never change."""
    code = "from datagen.core.rng import key, stream; print(key(1, 'c-1', 'plan'), stream(1, 'c-1', 'plan').random())"
    found = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env={"PYTHONHASHSEED": "7"}
    )
    assert found.stdout.split() == ["4159883157215608140", "0.6084650586754254"]
