"""Questions of tests: "say this number", with an answer that shows whether it belongs to the question."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, Field

from datagen.core.asking import Ask

KEY = "AIza-never-to-be-seen-in-any-file"


class Said(BaseModel):
    """The answer: the question's number and a word."""

    index: int
    word: str = Field(min_length=1)


def question(number: int, **changes: Any) -> Ask:
    """Asks for a number."""
    ask = Ask(
        id=f"record-{number}",
        purpose="write",
        system="You say numbers.",
        prompt=f"number {number}",
        answer_schema=Said.model_json_schema(),
        max_output_tokens=64,
        seed=number,
    )
    return ask.model_copy(update=changes)


def right(prompt: str, word: str = "yes") -> str:
    """The right answer to a question's prompt."""
    return Said(index=int(prompt.split()[-1]), word=word).model_dump_json()


def read(ask: Ask, text: str) -> Said:
    """An answer; ValueError unless it is to this question."""
    said = Said.model_validate_json(text)
    if said.index != ask.seed:
        raise ValueError(f"index: {said.index} is not the number asked for")
    return said


def questions(count: int) -> list[Ask]:
    """Asks for the numbers from 0."""
    return [question(n) for n in range(count)]


def numbers(count: int) -> list[Said]:
    """The right answers to them."""
    return [Said(index=n, word="yes") for n in range(count)]
