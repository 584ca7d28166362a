"""Every language file is usable, and a careless one is refused with a reason."""

from __future__ import annotations

from typing import Any, get_args

import pytest
from pydantic import ValidationError

from datagen.core.distributions import lowest_ms
from datagen.core.language import PAPER, Language, ProfileName, Timing, Token
from datagen.phenomena import backchannel, interruption, pause
from datagen.recipe import LANGUAGES, language
from datagen.stages import plan
from tests.strategies import annotated, chatter, plan_config, voiced

CODES = sorted(path.stem for path in LANGUAGES.glob("*.yaml"))
PROFILES: tuple[ProfileName, ...] = get_args(ProfileName)
ALL = (backchannel.Config(kind="backchannel"), pause.Config(kind="pause"), interruption.Config(kind="interruption"))


@pytest.mark.parametrize("code", CODES)
def test_a_language_file_is_complete(code: str) -> None:
    known = language(code)
    assert known.code == code
    assert "polite" in known.profiles, "the default profile"
    assert known.clauses.openers
    assert known.clauses.closed
    for tokens in (known.backchannels, known.fillers, known.interruption_openers):
        assert len({t.text for t in tokens}) == len(tokens) > 2
    assert all(reference.source and reference.text for reference in known.human)
    assert any(reference.fto_quantiles for reference in known.human)


@pytest.mark.parametrize("code", CODES)
@pytest.mark.parametrize("profile", PROFILES)
def test_every_profile_of_a_language_plans_conversations(code: str, profile: ProfileName) -> None:
    known = language(code)
    if profile not in ("paper", *known.profiles):
        with pytest.raises(ValueError, match=f"profile '{profile}' is not in lang/{code}.yaml; there are: paper, "):
            known.timing(profile)
        return
    timing = known.timing(profile)
    assert set(timing.sources) == set(Timing.model_fields) - {"sources"}
    assert all(len(citation) > 10 for citation in timing.sources.values())
    for number in range(5):
        record = voiced(annotated(chatter(number), ALL), known.words_per_minute)
        assert plan.plan(record, plan_config(ALL, timing), clips=()).timeline.segments


@pytest.mark.parametrize("code", CODES)
def test_a_polite_assistant_never_talks_over_the_user(code: str) -> None:
    assert lowest_ms(language(code).timing("polite").assistant_onset) >= 0


def test_the_paper_is_the_same_in_every_language() -> None:
    assert all(language(code).timing("paper") is PAPER for code in CODES)


def test_the_papers_constants() -> None:
    assert [PAPER.user_onset.quantile(p) for p in (0.01, 0.99)] == [200, 200]
    assert PAPER.assistant_onset == PAPER.user_onset
    assert PAPER.barge_in_overlap.quantile(0.5) == 320
    assert PAPER.barge_in_cut == (0.2, 0.6)
    assert PAPER.dyad_sd_ms == 0


def changed(**fields: Any) -> dict[str, Any]:
    return PAPER.model_dump() | fields


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        (changed(sources={"pause": "someone"}), "no citation for assistant_onset, "),
        (changed(sources=PAPER.sources | {"laughter": "someone"}), "no such field: laughter"),
        (changed(pause={"dist": "fixed", "ms": -5}), "pause can be -5 ms; raise its lower end to 1 ms"),
        (changed(barge_in_overlap={"dist": "fixed", "ms": 0}), "barge_in_overlap can be 0 ms"),
        (changed(invitation={"dist": "uniform", "low_ms": -1, "high_ms": 9}), "invitation can be -1 ms"),
        (changed(barge_in_cut=(0.5, 1.2)), "two rising shares"),
        (changed(barge_in_cut=(0.6, 0.5)), "two rising shares"),
        (changed(barge_in_cut=(0.0, 0.5)), "two rising shares"),
        (changed(dyad_sd_ms=-1), "greater than or equal to 0"),
    ],
)
def test_impossible_timings_are_refused(raw: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        Timing.model_validate(raw)


@pytest.mark.parametrize(("text", "weight"), [("", 1), ("...", 1), ("yes", 0), ("yes", float("inf"))])
def test_a_token_that_cannot_be_said_or_chosen_is_refused(text: str, weight: float) -> None:
    with pytest.raises(ValidationError):
        Token(text=text, weight=weight)


def test_an_unknown_language_names_those_there_are() -> None:
    with pytest.raises(ValueError, match=f"'tlh' is unknown; there are: {', '.join(CODES)}"):
        language("tlh")


def test_a_language_without_the_lists_is_refused() -> None:
    raw = language("en").model_dump()
    for key in ("backchannels", "fillers", "interruption_openers", "human"):
        with pytest.raises(ValidationError, match=key):
            Language.model_validate(raw | {key: []})
