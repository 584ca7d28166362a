"""The columns as the card tells of them: type and meaning."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from datagen.schema import features

MEANINGS = {
    "id": "name of the conversation, unique in the dataset",
    "language": "language code",
    "domain": "what the conversation is about",
    "source": "kind of text source",
    "profile": "timing profile the turns were placed with",
    "duration": "seconds",
    "num_samples": "length of both audio columns",
    "sample_rate": "samples per second",
    "user_audio": "what the assistant hears: the user's speech, a noise floor, background noise; mono FLAC",
    "assistant_audio": "what the assistant says: clean speech, digital silence elsewhere; mono FLAC",
    "segments": "turns and backchannels in order of start, times in seconds; `text` is what can be heard, `text_full` "
    "what was written, `yielded` says that the speaker was cut off",
    "events": "what happened, by whom, to which segment (`target` is its index), with which outcome; `probability` is "
    "the chance the event had at that place, given the place",
    "noise": "stretches of background noise in `user_audio`, with the signal-to-noise ratio asked for and realised",
    "voices": "the two voices, where they come from and on what terms",
    "licences": "all licences that the row's text, voices and noise carry",
    "provenance": "recipe, seed, code and engines that made the row",
    "quality": "levels and checks measured on the row",
}

IMPORTED_MEANINGS = {
    "user_audio": "the user's channel as it came, at 16 kHz; mono FLAC",
    "assistant_audio": "the assistant's channel as it came, at 16 kHz; mono FLAC",
}
"""Where the conversations were made elsewhere."""


def column_lines(imported: bool) -> list[tuple[str, str, str]]:
    """Name, type and meaning of every column; ``imported``: the conversations were made elsewhere."""
    meanings = MEANINGS | (IMPORTED_MEANINGS if imported else {})
    return [(name, type_text(feature), meanings[name]) for name, feature in features().items()]


def type_text(feature: Mapping[str, Any]) -> str:
    """A feature in one line.

    >>> type_text({"feature": {"a": {"dtype": "string", "_type": "Value"}}, "_type": "List"})
    'list of {a: string}'
    """
    kind = feature.get("_type")
    if kind == "Value":
        return feature["dtype"]
    if kind == "Audio":
        return f"Audio({feature['sampling_rate']} Hz)"
    if kind == "List":
        return f"list of {type_text(feature['feature'])}"
    return "{" + ", ".join(f"{name}: {type_text(inner)}" for name, inner in feature.items()) + "}"
