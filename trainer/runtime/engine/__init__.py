"""The fast path, live: many conversations on one model, their drafts and their transcriptions."""

from trainer.runtime.engine.drafts import Drafting
from trainer.runtime.engine.engine import Engine
from trainer.runtime.engine.work import Closed, Full

__all__ = ["Closed", "Drafting", "Engine", "Full"]
