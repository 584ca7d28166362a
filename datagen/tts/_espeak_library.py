"""The C library of espeak-ng behind one call: text and voice in, samples and events out, nothing carried over.

The library keeps state in static variables that no call resets (the phase of the flutter, filters, random numbers
seeded with the clock), so a second utterance would depend on the first. Here every utterance is spoken by a private
copy whose memory was put back to the moment after loading, and that is initialised anew. Both together take 0.3 ms of
CPU: the files it reads are cached by the system, and the voice is set by file. (A fresh library that is given a name
with capitals, "gmw/en-US", first reads all 245 voice files, which takes 1.2 ms more.)
"""

from __future__ import annotations

import ctypes
import os
import threading
import weakref
from functools import partial
from pathlib import Path
from struct import Struct
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from datagen.tts._private_library import IN_PLACE, PrivateLibrary

NATIVE_RATE = 22_050
"""Samples per second of espeak-ng's own output."""

WORD, PHONEME = 1, 7
"""The types of event that are returned (espeak_EVENT_TYPE in speak_lib.h)."""

_SYNCHRONOUS, _BUFFER_MS = 2, 200
"""Longer buffers are not faster, and a voice with an echo fills the rest of a buffer with it: pauses would grow."""
_PHONEME_EVENTS, _DO_NOT_EXIT = 0x0001, 0x8000
_UTF8 = 1
_RATE, _PITCH, _RANGE = 1, 3, 4
_C_EVENT = Struct("iIiiiiP8s")
"""espeak_EVENT: type, identifier, text position, length, milliseconds, sample, user data, id."""

_INT = ctypes.sizeof(ctypes.c_int)
_int, _uint, _str, _ptr = ctypes.c_int, ctypes.c_uint, ctypes.c_char_p, ctypes.c_void_p
_Callback = ctypes.CFUNCTYPE(_int, _ptr, _int, ctypes.POINTER(_int))
_PROTOTYPES = {
    "espeak_ng_GetSampleRate": ctypes.CFUNCTYPE(_int),
    "espeak_Initialize": ctypes.CFUNCTYPE(_int, _int, _int, _str, _int),
    "espeak_SetSynthCallback": ctypes.CFUNCTYPE(None, _Callback),
    "espeak_ng_SetVoiceByFile": ctypes.CFUNCTYPE(_int, _str),
    "espeak_ng_SetVoiceByName": ctypes.CFUNCTYPE(_int, _str),
    "espeak_SetParameter": ctypes.CFUNCTYPE(_int, _int, _int, _int),
    "espeak_ng_SetRandSeed": ctypes.CFUNCTYPE(_int, ctypes.c_long),
    "espeak_Synth": ctypes.CFUNCTYPE(_int, _str, ctypes.c_size_t, _uint, _int, _uint, _uint, _ptr, _ptr),
    "espeak_Terminate": ctypes.CFUNCTYPE(_int),
}


class Style(NamedTuple):
    """What sets one voice apart: a base and a variant file of espeak-ng, and three numbers."""

    base: str
    variant: str
    pitch: int
    range: int
    rate_wpm: int


class Event(NamedTuple):
    """The start of a word (``position``: its first character, from 0) or of a phoneme, in samples at NATIVE_RATE."""

    kind: int
    position: int
    sample: int
    name: bytes


class Library:
    """Speaks with private copies of the library, one per process, so that it is safe to use after a fork.

    ``data`` is the folder espeak-ng-data. See PrivateLibrary for ``in_place``.
    """

    def __init__(self, library: Path, data: Path, in_place: bool = IN_PLACE) -> None:
        self._make = partial(_Copy, library, data, in_place)
        self._copies: dict[int, _Copy] = {}

    def speak(self, text: str, style: Style, seed: int, max_samples: int) -> tuple[npt.NDArray[np.int16], list[Event]]:
        """Samples at NATIVE_RATE and events in order, both a function of the arguments alone.

        Stops soon after ``max_samples``: more samples than that mean that the text was cut. Any thread may call.
        """
        pid = os.getpid()
        copy = self._copies.get(pid) or self._copies.setdefault(pid, self._make())
        return copy.speak(text, style, seed, max_samples)


class _Copy:
    """A private copy of the library and short names for its files. One utterance at a time."""

    def __init__(self, library: Path, data: Path, in_place: bool) -> None:
        self._library = PrivateLibrary(library, in_place)
        self._data, self._in_place = data, in_place
        self._data_path = self._short(data).encode()
        self._bases: dict[str, str] = {}
        self._lock = threading.Lock()

    def speak(self, text: str, style: Style, seed: int, max_samples: int) -> tuple[npt.NDArray[np.int16], list[Event]]:
        recorder = _Recorder(max_samples)
        with self._lock:
            library = self._library.fresh()
            call = {name: prototype((name, library)) for name, prototype in _PROTOTYPES.items()}
            self._say(call, text.encode(), style, seed, _Callback(recorder.receive))
        return recorder.samples(), recorder.events()

    def _say(self, call: dict[str, Any], text: bytes, style: Style, seed: int, callback: Any) -> None:
        """One utterance with a fresh library."""
        if call["espeak_ng_GetSampleRate"]() != 0:  # espeak_Initialize sets it and nothing resets it
            raise RuntimeError("espeak-ng still holds its last utterance's state; its results would depend on it")
        options = _PHONEME_EVENTS | _DO_NOT_EXIT
        if call["espeak_Initialize"](_SYNCHRONOUS, _BUFFER_MS, self._data_path, options) != NATIVE_RATE:
            raise RuntimeError("espeak-ng cannot read its data; run: pip install --force-reinstall espeakng-loader")
        try:
            call["espeak_SetSynthCallback"](callback)
            if self._set_voice(call, style) != 0:
                raise ValueError(f"espeak-ng does not know the voice {style.base}+{style.variant}")
            for parameter, value in ((_RATE, style.rate_wpm), (_PITCH, style.pitch), (_RANGE, style.range)):
                call["espeak_SetParameter"](parameter, value, 0)
            call["espeak_ng_SetRandSeed"](seed & 0x7FFF_FFFF)
            call["espeak_Synth"](text, len(text) + 1, 0, 1, 0, _UTF8, None, None)
        finally:
            call["espeak_Terminate"]()

    def _set_voice(self, call: dict[str, Any], style: Style) -> int:
        variant = f"+{style.variant}" if style.variant else ""
        if not self._in_place:
            return call["espeak_ng_SetVoiceByName"](f"{style.base}{variant}".encode())
        if style.base not in self._bases:
            self._bases[style.base] = self._short(self._data / "lang" / style.base)
        return call["espeak_ng_SetVoiceByFile"](f"{self._bases[style.base]}{variant}".encode())

    def _short(self, path: Path) -> str:
        """A name for a file or folder that is short and has no capitals, which espeak-ng's fixed buffers need."""
        if not self._in_place:
            return str(path)
        descriptor = os.open(path, os.O_RDONLY)
        weakref.finalize(self, os.close, descriptor)
        return f"/proc/self/fd/{descriptor}"


class _Recorder:
    """Collects what the library hands to its callback."""

    def __init__(self, max_samples: int) -> None:
        self._left = max_samples
        self._chunks: list[bytes] = []
        self._raw_events: list[bytes] = []

    def receive(self, samples: int | None, count: int, events: Any) -> int:
        """The callback (t_espeak_callback): a list of events ends with one of type 0; returning 1 stops the speech."""
        if samples and count:
            self._chunks.append(ctypes.string_at(samples, 2 * count))
        size = 0
        while events[size // _INT]:
            size += _C_EVENT.size
        self._raw_events.append(ctypes.string_at(events, size))
        self._left -= count
        return int(self._left < 0)

    def samples(self) -> npt.NDArray[np.int16]:
        return np.frombuffer(b"".join(self._chunks), np.int16)

    def events(self) -> list[Event]:
        fields = _C_EVENT.iter_unpack(b"".join(self._raw_events))
        return [
            Event(kind, position - 1, sample, name.split(b"\0", 1)[0])
            for kind, _, position, _, _, sample, _, name in fields
            if kind in (WORD, PHONEME)
        ]
