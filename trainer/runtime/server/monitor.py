"""What the server counts, for Prometheus: sessions, turns by outcome, latencies, refusals, errors."""

from __future__ import annotations

import math
from collections.abc import Mapping

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from trainer.runtime.events import Ended, Failed, Told, Trace

_Data = Mapping[str, float | str | bool | None]

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_ONSET_S = (0.02, 0.04, 0.08, 0.16, 0.24, 0.32, 0.48, 0.64, 0.96, 1.28, 1.92, 2.56, 5.12)
_SHORT_S = (0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5)
_MARGIN_S = (-2.0, -1.0, -0.5, -0.2, -0.1, 0.0, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0)
"""From 0 on the handover is seamless."""

RECORD = {
    "onset_ms": ("relay_onset_seconds", "Turn detection to the first words to synthesise", _ONSET_S),
    "audible_ms": ("relay_audible_seconds", "Turn detection to the first sound, without transport", _ONSET_S),
    "draft_ms": ("relay_draft_seconds", "Turn detection to the drafted prefix", _ONSET_S),
    "margin_ms": ("relay_margin_seconds", "Prefix playout end minus the slow path's first audio", _MARGIN_S),
    "underrun_ms": ("relay_underrun_seconds", "Silence inside a response", _ONSET_S),
}
"""Key of ``Ended.record`` (milliseconds) -> histogram, help, buckets."""
TRACE = {
    ("tick", "lateness_ms"): ("relay_tick_lateness_seconds", "How late a tick ran", _SHORT_S),
    ("fork", "ms"): ("relay_fork_seconds", "Forking the main stream", _SHORT_S),
}
"""``Trace.what`` and key of its data (milliseconds) -> histogram, help, buckets."""


class Monitor:
    """Counters of one server; registered with itself alone, so that several servers can share a process."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.open = Gauge("relay_sessions_open", "Sessions open now", registry=self.registry)
        self.sessions = Counter("relay_sessions", "Sessions opened", registry=self.registry)
        self.closed = Counter("relay_closed", "Sessions closed, by why", ["why"], registry=self.registry)
        self.refused = Counter("relay_refused", "Connections refused, by why", ["why"], registry=self.registry)
        self.turns = Counter("relay_turns", "Responses over", ["kind", "outcome"], registry=self.registry)
        self.errors = Counter("relay_errors", "Error events sent, by code", ["code"], registry=self.registry)
        self.heard = Counter("relay_heard_seconds", "Audio received", registry=self.registry)
        self._record = {key: self._histogram(*made) for key, made in RECORD.items()}
        self._trace = {key: self._histogram(*made) for key, made in TRACE.items()}

    def tell(self, told: Told) -> None:
        """Count what a session tells."""
        if isinstance(told, Ended):
            self.turns.labels(told.kind, told.outcome).inc()
            if told.kind == "turn":
                for key, histogram in self._record.items():
                    _observe(histogram, told.record, key)
        elif isinstance(told, Trace):
            for (what, key), histogram in self._trace.items():
                if told.what == what:
                    _observe(histogram, told.data, key)
        elif isinstance(told, Failed):
            self.errors.labels(told.code[:64]).inc()

    def text(self) -> bytes:
        """Everything in Prometheus' text format."""
        return generate_latest(self.registry)

    def _histogram(self, name: str, help: str, buckets: tuple[float, ...]) -> Histogram:
        return Histogram(name, help, buckets=buckets, registry=self.registry)


def _observe(histogram: Histogram, data: _Data, key: str) -> None:
    value = data.get(key)
    if isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value):
        histogram.observe(value / 1000)
