"""The playout clock of one response: how much of it has been heard, and where it ran dry. Pure.

Positions are samples at 16 kHz from the response's first sample, times milliseconds on the session's clock. Audio plays
from the moment it is there; where it runs dry, silence is heard until more comes, and that is an underrun.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from datagen.core.units import SAMPLES_PER_MS


@dataclass(frozen=True)
class Playout:
    """A value: every call gives the next one."""

    available: int = 0
    """Samples that may be played."""
    whole: bool = False
    """Nothing comes after them."""
    began_ms: float | None = None
    """When the first sample was heard."""
    underrun_ms: float = 0.0
    underruns: int = 0
    _from: int = 0
    """Played when the audio last began to flow,"""
    _since_ms: float = 0.0
    """and when that was."""

    def added(self, samples: int, now_ms: float) -> Playout:
        """More audio is there.

        >>> late = Playout().added(1600, 0).added(1600, 250)
        >>> late.underrun_ms, late.position(300)
        (150.0, 2400)
        """
        if not samples:
            return self
        if self.began_ms is None:
            return replace(self, available=samples, began_ms=now_ms, _since_ms=now_ms)
        if not self.dry(now_ms):
            return replace(self, available=self.available + samples)
        return replace(
            self,
            available=self.available + samples,
            underrun_ms=self.underrun_ms + now_ms - self.ends_ms,
            underruns=self.underruns + 1,
            _from=self.available,
            _since_ms=now_ms,
        )

    def closed(self) -> Playout:
        """Nothing comes after what is there."""
        return replace(self, whole=True)

    def stopped(self, now_ms: float) -> Playout:
        """Nothing is heard from now on."""
        return replace(self, available=self.position(now_ms), whole=True)

    @property
    def ends_ms(self) -> float:
        """When what is there will have been heard; 0 before anything is."""
        return self._since_ms + (self.available - self._from) / SAMPLES_PER_MS

    def position(self, now_ms: float) -> int:
        """Samples heard."""
        return max(0, min(self.available, self._from + int((now_ms - self._since_ms) * SAMPLES_PER_MS)))

    def dry(self, now_ms: float) -> bool:
        """Whether all that is there has been heard, and more could come."""
        return self.began_ms is not None and not self.whole and now_ms > self.ends_ms

    def over(self, now_ms: float) -> bool:
        """Whether all of a whole response has been heard."""
        return self.whole and now_ms >= self.ends_ms
