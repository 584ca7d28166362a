"""Speech made elsewhere, in batches, by a tool that reads JSON lines and writes WAV files: FlashCosyVoice's format.

    PATH/todo-00000.jsonl        {"key", "prompt_text", "text", "prompt_wav", "wav"}, one line per clip still to be made
         wavs/ab/abcd...wav      the clips, where the lines' field ``wav`` says

A clip is named by everything that decides it, so the folder may be filled in any order, by several machines, and again.
The tool takes one seed for all (``--seed``); run each round of requests with another one, since a clip that failed is
asked for anew under the key of its next seed.

    torchrun --nproc_per_node=1 --nnodes=1 `which flashcosyvoice` --model_path CosyVoice2-0.5B \
        --data_list PATH/todo-00000.jsonl --batch_size_dataloader 1024 --batch_size_flow 32 --seed 1
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Iterator, Mapping
from fnmatch import fnmatchcase
from itertools import batched
from pathlib import Path
from typing import Literal

from pydantic import Field

from datagen.core.types import Voice
from datagen.files import Folder
from datagen.kinds import KindConfig, Need, NotYet, Speech
from datagen.tts._clip import from_wav, speakable
from datagen.tts._prompts import check_prompts, prompt_of

TODO = "todo-*.jsonl"
PER_FILE = 10_000
