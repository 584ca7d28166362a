"""What a session told, put together: the assistant's channel as it was heard, the responses, the log. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from datagen.core.units import from_ms
from trainer.runtime.events import Audio, Ended, Failed, Told, Trace, UserSaid

Pcm = npt.NDArray[np.int16]


@dataclass
class Recording:
    """Of one session; ``take`` is given everything it tells, in order."""

    log: list[Trace] = field(default_factory=list)
    responses: list[Ended] = field(default_factory=list)
    transcripts: list[UserSaid] = field(default_factory=list)
    failures: list[Failed] = field(default_factory=list)
    _audio: dict[int, list[Pcm]] = field(default_factory=dict)
    _runs: dict[int, list[tuple[float, int]]] = field(default_factory=dict)
    """Of every response, when its audio began to flow and from which sample on."""

    def take(self, told: Told) -> None:
        """One more."""
        match told:
            case Trace(at, "audio", turn, data) if turn is not None:
                self._runs.setdefault(turn, []).append((at, int(float(data["sample"] or 0))))
                self.log.append(told)
            case Trace():
                self.log.append(told)
            case Audio(turn, pcm):
                self._audio.setdefault(turn, []).append(pcm)
            case Ended():
                self.responses.append(told)
            case UserSaid():
                self.transcripts.append(told)
            case Failed():
                self.failures.append(told)

    def assistant(self, num_samples: int) -> Pcm:
        """The assistant's channel on the session's clock: each response where it was heard, as far as it was."""
        channel = np.zeros(num_samples, np.int32)
        for ended in self.responses:
            pieces = self._audio.get(ended.turn, [])
            pcm = np.concatenate(pieces)[: from_ms(ended.heard_ms)] if pieces else np.zeros(0, np.int16)
            runs = self._runs.get(ended.turn, [])
            ends = [*(first for _, first in runs[1:]), *([len(pcm)] if runs else [])]
            for (at_ms, first), end in zip(runs, ends, strict=True):
                start = from_ms(at_ms)
                length = max(0, min(end, len(pcm)) - first)
                length = min(length, num_samples - start)
                if length > 0:
                    channel[start : start + length] += pcm[first : first + length]
        return np.clip(channel, -32768, 32767).astype(np.int16)
