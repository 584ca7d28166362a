"""Voices the model has already heard: their prompt features stay in the model, the least recently used ones go.

``add_zero_shot_spk`` keeps ten tensors per voice, on the GPU where there is one, and never forgets. Speaking by id
gives the same audio as speaking with the prompt, and skips reading it again.
"""

from __future__ import annotations

from collections import OrderedDict
from hashlib import sha256
from typing import Any

PREFIX = "prompt-"
"""Ids begin with it, apart from any voices that came with the model."""


class Speakers:
    """At most ``limit`` prompts in ``frontend.spk2info`` of a CosyVoice model; others' entries are left alone."""

    def __init__(self, model: Any, limit: int) -> None:
        self._model, self._limit = model, limit
        self._ids: OrderedDict[str, None] = OrderedDict()

    def id_of(self, key: str, text: str, prompt: Any) -> str:
        """The id of a voice, which is added when it is new.

        ``key`` names the recording's bytes; ``prompt()`` gives what the model takes for it. The text goes through the
        model's own normaliser, switched off as in synthesis: ``add_zero_shot_spk`` leaves that to its caller.
        """
        text = self._model.frontend.text_normalize(text, split=False, text_frontend=False)
        name = PREFIX + sha256(f"{key}\n{text}".encode()).hexdigest()
        if name in self._ids:
            self._ids.move_to_end(name)
            return name
        while len(self._ids) >= self._limit:
            oldest, _ = self._ids.popitem(last=False)
            self._model.frontend.spk2info.pop(oldest, None)
        self._model.add_zero_shot_spk(text, prompt(), name)
        self._ids[name] = None
        return name
