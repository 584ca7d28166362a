"""Errors of the machine, as opposed to those of a record: which ones end a run, and what to do about them."""

from __future__ import annotations

import errno

REMEDIES = {
    errno.ENOSPC: "make room",
    errno.EDQUOT: "make room or have the quota raised",
    errno.EROFS: "choose a folder that can be written to",
    errno.EACCES: "check who may read and write there",
    errno.EPERM: "check who may read and write there",
    errno.ENOTDIR: "choose a path whose folders are folders",
}
"""Trying again would end in the same way, for every other shard too."""


class Halt(RuntimeError):
    """The run cannot go on before somebody has done something; nothing is lost. One line says what."""


class BudgetReached(Halt):
    """The money a run may spend is spent. Nothing is lost: with a higher budget the same command goes on."""


def is_fatal(error: BaseException) -> bool:
    """Whether the run should end now. Lost connections and the like may pass."""
    return isinstance(error, Halt) or (isinstance(error, OSError) and error.errno in REMEDIES)


def told(error: OSError) -> str:
    """The error with its file and its remedy, as far as they are known."""
    if error.errno is None and error.filename is None:  # a kind's own words, which end with the remedy
        return " ".join(str(error).split()) or type(error).__name__
    if error.errno == errno.EACCES and error.filename is None:  # a service, not a file
        return " ".join((error.strerror or str(error)).split())
    what = error.strerror or str(error) or type(error).__name__
    where = f"{error.filename}: " if error.filename else ""
    return f"{where}{what}; {REMEDIES.get(error.errno or 0, 'check the path and the connection')}"
