"""What a response took, from the times at which its stages were reached. Pure.

Marks are milliseconds on the session's clock. ``record`` is what ``response.done``, the replay and the page show.
"""

from __future__ import annotations

from dataclasses import dataclass

from trainer import timing

Record = dict[str, float | str | bool | None]


@dataclass
class Marks:
    """When a response reached its stages; None: never."""

    detected: float
    """[BOS] or [BOC] fired, the end point was found, or the client asked."""
    drafted: float | None = None
    """The draft shows its N-th word, or its last."""
    judged: float | None = None
    transcribed: float | None = None
    slow_text: float | None = None
    """The slow path's first piece."""
    slow_words: float | None = None
    """The slow path's N-th word, or its last."""
    audio: float | None = None
    """The first audio was there: heard from then on."""
    slow_audio: float | None = None
    """The slow path's first audio was there."""
    prefix_ends: float | None = None
    """The committed prefix has been heard."""

    def since(self, mark: str) -> float | None:
        """Milliseconds from detection to a mark."""
        at: float | None = getattr(self, mark)
        return None if at is None else at - self.detected


def record(
    marks: Marks,
    *,
    mode: str,
    outcome: str,
    commit: bool | None,
    probability: float | None,
    underrun_ms: float,
    underruns: int,
    reason: str = "",
) -> Record:
    """Of one response; latencies in milliseconds after detection.

    ``onset_ms`` is the paper's (``trainer.timing``), ``audible_ms`` includes synthesis but not the transport.
    """
    margin = None
    if marks.prefix_ends is not None and marks.slow_audio is not None:
        margin = timing.margin_ms(marks.prefix_ends, marks.slow_audio)
    found: Record = {
        "mode": mode,
        "outcome": outcome,
        "committed": commit,
        "probability": probability,
        "onset_ms": onset(marks, commit),
        "audible_ms": marks.since("audio"),
        "draft_ms": marks.since("drafted"),
        "verdict_ms": marks.since("judged"),
        "transcript_ms": marks.since("transcribed"),
        "slow_first_ms": marks.since("slow_text"),
        "slow_words_ms": marks.since("slow_words"),
        "margin_ms": margin,
        "underrun_ms": underrun_ms,
        "underruns": float(underruns),
        "detected_ms": marks.detected,
        "reason": reason,
    }
    return {key: round(value, 3) if isinstance(value, float) else value for key, value in found.items()}


def onset(marks: Marks, commit: bool | None) -> float | None:
    """The paper's onset latency of one response; None where no words came.

    >>> onset(Marks(detected=100.0, drafted=130.0, judged=132.0, slow_words=900.0), commit=True)
    32.0
    >>> onset(Marks(detected=100.0, drafted=130.0, judged=132.0, slow_words=900.0), commit=False)
    800.0
    """
    drafted, judged, slow = marks.since("drafted"), marks.since("judged"), marks.since("slow_words")
    if commit is None and drafted is not None:
        return drafted
    if commit and drafted is not None:
        return timing.onset_ms(True, drafted, None if judged is None else judged - drafted, slow or 0.0)
    return slow
