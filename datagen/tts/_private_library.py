"""A private copy of a C library whose static memory can be put back to the moment after loading.

For libraries that keep state between calls and cannot forget it. What the library allocated it must have freed before
it is put back (its own "terminate" call), because the pointers to it are forgotten too.
"""

from __future__ import annotations

import _ctypes
import ctypes
import mmap
import os
import sys
import tempfile
import weakref
from pathlib import Path

_PT_LOAD, _PT_GNU_RELRO, _PF_W = 1, 0x6474E552, 2

IN_PLACE = sys.platform == "linux" and ctypes.sizeof(ctypes.c_void_p) == 8
"""Where the memory can be put back in place and nothing need be written to disk."""


class PrivateLibrary:
    """A copy of a library file that no other code in the process shares.

    In place (Linux), the copy is a file in memory, and putting the static memory back costs a memory copy. Otherwise
    the copy is a temporary file, removed when the process ends, and is unloaded and loaded again.
    """

    def __init__(self, library: Path, in_place: bool = IN_PLACE) -> None:
        if in_place:
            descriptor = os.memfd_create(library.name)
            self._path = f"/proc/self/fd/{descriptor}"
            weakref.finalize(self, os.close, descriptor)
        else:
            descriptor, self._path = tempfile.mkstemp(suffix=library.suffix)
            weakref.finalize(self, _remove, self._path, os.getpid())
        with open(descriptor, "wb", closefd=not in_place) as file:
            file.write(library.read_bytes())
        self._loaded: ctypes.CDLL | None = None
        self._image: list[tuple[int, bytes]] | None = None
        self._in_place = in_place

    def fresh(self) -> ctypes.CDLL:
        """The library as if it had just been loaded; what an earlier call returned is no longer valid."""
        if self._loaded and self._image is not None:
            for address, content in self._image:
                ctypes.memmove(address, content, len(content))
            return self._loaded
        if self._loaded:
            _ctypes.dlclose(self._loaded._handle)
        self._loaded = ctypes.CDLL(self._path)
        if self._in_place:
            # Unload before the descriptor is closed: a later copy with the same number would get this one.
            weakref.finalize(self, _ctypes.dlclose, self._loaded._handle).atexit = False
            self._image = [(address, ctypes.string_at(address, size)) for address, size in _writable(self._path)]
        return self._loaded


class _ProgramHeader(ctypes.Structure):
    """Elf64_Phdr."""

    _fields_ = [
        ("type", ctypes.c_uint32),
        ("flags", ctypes.c_uint32),
        ("offset", ctypes.c_uint64),
        ("address", ctypes.c_uint64),
        ("physical", ctypes.c_uint64),
        ("file_size", ctypes.c_uint64),
        ("size", ctypes.c_uint64),
        ("align", ctypes.c_uint64),
    ]


class _ObjectInfo(ctypes.Structure):
    """The beginning of dl_phdr_info."""

    _fields_ = [
        ("base", ctypes.c_uint64),
        ("name", ctypes.c_char_p),
        ("headers", ctypes.POINTER(_ProgramHeader)),
        ("count", ctypes.c_uint16),
    ]


_Visitor = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(_ObjectInfo), ctypes.c_size_t, ctypes.c_void_p)


def _writable(path: str) -> list[tuple[int, int]]:
    """Address and size of the memory that a loaded library can write to, except what the loader has made read-only."""
    found: list[tuple[int, int]] = []

    def visit(info: ctypes._Pointer[_ObjectInfo], _size: int, _data: int | None) -> int:
        library = info.contents
        if library.name != path.encode():
            return 0
        headers = [library.headers[index] for index in range(library.count)]
        relro = [h.address + h.size for h in headers if h.type == _PT_GNU_RELRO]
        read_only_until = max(relro, default=0) // mmap.PAGESIZE * mmap.PAGESIZE
        for header in headers:
            if header.type == _PT_LOAD and header.flags & _PF_W:
                start = max(header.address, read_only_until)
                found.append((library.base + start, header.address + header.size - start))
        return 1

    ctypes.CDLL(None).dl_iterate_phdr(_Visitor(visit), None)
    return found


def _remove(path: str, owner: int) -> None:
    """Remove a temporary file, unless this process is a fork of the one that made it."""
    if os.getpid() == owner:
        Path(path).unlink(missing_ok=True)
