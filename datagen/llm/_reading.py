"""From what a model said to what it meant: the JSON in an answer, and what to tell it when that cannot be used."""

from __future__ import annotations

import json
import re

from pydantic import ValidationError

from datagen.llm._service import one_line

THOUGHT = re.compile(r"\A\s*<think>.*?</think>", re.DOTALL)
"""Some local servers leave a model's thinking in its answer."""
FENCED = re.compile(r"\A```\w*\s*\n(.*?)\s*```\Z", re.DOTALL)
PROBLEMS = 3
"""How many of a schema's violations an objection names."""


def unwrapped(text: str) -> str:
    """The JSON in an answer: without thinking, Markdown fence, and prose around a single object.

    What is in doubt stays as it is; whoever reads it will object.
    """
    text = THOUGHT.sub("", text).strip().lstrip("\ufeff")
    if fenced := FENCED.match(text):
        text = fenced[1].strip()
    if text.startswith("["):
        return text
    start = text.find("{")
    try:
        end = json.JSONDecoder().raw_decode(text, start)[1] if start >= 0 else 0
    except (ValueError, RecursionError):
        return text
    around = text[:start] + text[end:]
    return text[start:end] if end and not set("{}") & set(around) else text


def objection(error: Exception) -> str:
    """Why an answer cannot be used, in one line without the answer's own contents."""
    if not isinstance(error, ValidationError):
        return one_line(str(error) or type(error).__name__)
    problems = error.errors(include_url=False, include_context=False, include_input=False)
    told = [f"{'.'.join(map(str, p['loc'])) or 'answer'}: {p['msg']}" for p in problems[:PROBLEMS]]
    more = len(problems) - PROBLEMS
    return one_line("; ".join(told) + (f"; and {more} more" if more > 0 else ""))
