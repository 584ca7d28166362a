"""The CosyVoice process: loads the model and speaks what it is asked to, until its worker wants no more or is gone.

First message: what to load (see ``_cosyvoice_model.load``). Answer: ``ready`` or ``refused``. Then, for every request
(see ``Model.say``), ``spoken`` with float32 samples, or ``failed``; ``broken`` says that the process cannot be trusted
any more. Standard library at import, Python 3.9 or newer.
"""

from __future__ import annotations

import logging
import os
import threading
import time
import traceback
from functools import partial
from typing import Any, BinaryIO

from datagen.tts._cosyvoice_frames import packed, received
from datagen.tts._cosyvoice_model import Model, is_broken, load, one_line

LOOK_EVERY_S = 0.25
"""How often to look whether the worker still lives; the end of the pipe tells it too, but not during an utterance."""


def main() -> None:
    """Serves the pipes that the process was started with; does not return."""
    requests, replies = _pipes()
    threading.Thread(target=_end_with, args=(os.getppid(),), daemon=True).start()
    # The checkout turns on debug messages of all libraries with basicConfig, which does nothing the second time.
    logging.basicConfig(level=logging.ERROR)
    read = partial(_exactly, requests)
    try:
        model, answer = _loaded(received(read)[0])
        _send(replies, answer)
        while model is not None:
            _send(replies, *_spoken(model, received(read)[0]))
    except (EOFError, BrokenPipeError):
        pass
    os._exit(0)  # at once: threads of the model and of the GPU's driver may never end


def _pipes() -> tuple[BinaryIO, BinaryIO]:
    """Standard input and output for the messages alone: what libraries print goes to standard error."""
    requests, replies = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(2, 1)
    return requests, replies


def _end_with(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(LOOK_EVERY_S)
    os._exit(1)


def _exactly(pipe: BinaryIO, size: int) -> bytes:
    data = pipe.read(size)
    if len(data) < size:
        raise EOFError
    return data


def _send(pipe: BinaryIO, message: dict[str, Any], payload: bytes = b"") -> None:
    pipe.write(packed(message, payload))
    pipe.flush()


def _loaded(settings: dict[str, Any]) -> tuple[Model | None, dict[str, Any]]:
    """The model, or None, and what to say of it. ``missing`` names a module that could not be imported."""
    try:
        model = load(**settings)
    except Exception as error:  # the end of this process: told to the worker
        traceback.print_exc()
        missing = error.name if isinstance(error, ModuleNotFoundError) else None
        return None, {"refused": one_line(error), "broken": is_broken(error), "missing": missing}
    return model, {"ready": model.rate, "notes": model.notes}


def _spoken(model: Model, request: dict[str, Any]) -> tuple[dict[str, Any], bytes]:
    try:
        samples = model.say(**request)
    except Exception as error:  # the boundary of an utterance: told to the worker
        traceback.print_exc()
        return {"failed": one_line(error), "broken": is_broken(error)}, b""
    return {"spoken": len(samples)}, samples.astype("<f4").tobytes()
