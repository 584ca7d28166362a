"""The model card of a bundle: what it is, its figures, where its data come from, how it is loaded."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from datagen.core.units import FRAME_MS
from trainer.evaluate.evaluation import Evaluation
from trainer.model.fastpath import FastPath
from trainer.model.verifier import VerifierCard
from trainer.runtime.bundle import Defaults

OPEN = {"cc0-1.0", "cc-by-4.0", "cc-by-sa-4.0", "mit", "apache-2.0"}
"""Licences that the Hub knows by these names."""


def card(
    name: str, run: Path, fast: FastPath, gate: VerifierCard | None, figures: Evaluation | None, defaults: Defaults
) -> str:
    """README.md with the Hub's metadata at its head."""
    licences = _licences(run)
    parts = [
        _metadata(licences, defaults),
        _about(name, fast, gate, defaults),
        _figures(figures),
        _gate(gate),
        _data(licences),
        _use(),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _metadata(licences: tuple[str, ...], defaults: Defaults) -> str:
    known = [name.lower() for name in licences if name.lower() in OPEN]
    lines = ["---", f"license: {known[0] if len(licences) == len(known) == 1 else 'other'}"]
    lines += [] if len(licences) == len(known) == 1 else ["license_name: several"]
    lines += ["language:", f"- {defaults.language}", "pipeline_tag: audio-to-audio", "tags:"]
    return "\n".join([*lines, "- full-duplex", "- turn-taking", "- spoken-dialogue", "- relays2s", "---"])


def _about(name: str, fast: FastPath, gate: VerifierCard | None, defaults: Defaults) -> str:
    size = sum(p.numel() for p in fast.parameters())
    judged = (
        f"A verifier decides whether the first {gate.words} words are said"
        if gate
        else "There is no verifier: in mode `relay` every draft falls back to the slow path"
    )
    return (
        f"# {name}\n\n"
        f"The fast path of a forked relay (RelayS2S): a full-duplex speech model that hears the user every {FRAME_MS} "
        f'ms, decides when to speak, when to stop and when to say "mm-hmm", and drafts the first words of an answer '
        f"while a slow path writes the rest. {judged}. Preset `{fast.preset.name}`, {size:,} parameters, default mode "
        f"`{defaults.mode}`, language `{defaults.language}`."
    )


def _figures(found: Evaluation | None) -> str:
    if found is None or found.turn_taking is None:
        return "## Figures\n\nNot evaluated."
    lines = [
        f"## Figures\n\nOn {found.test.conversations:,} conversations of the test split; thresholds chosen on "
        "validation, nothing on test.",
        found.turn_taking.free.markdown(),
    ]
    if found.costs is not None:
        tower, model = found.costs.tick_tower, found.costs.tick_model
        costs = (
            f"On {found.costs.machine}, {found.costs.threads} threads, P50 / P90 in ms: speech tower {_two(tower)}, "
            f"language model {_two(model)} of the {FRAME_MS} a tick lasts"
        )
        lines.append(costs + (f"; a draft {_two(found.costs.draft)}." if found.costs.draft else "."))
    return "\n\n".join(lines)


def _two(pair: tuple[float, float]) -> str:
    return f"{pair[0]:.1f} / {pair[1]:.1f}"


def _gate(gate: VerifierCard | None) -> str:
    if gate is None:
        return ""
    known = "".join(f"\n- {name}: {value:.3f}" for name, value in gate.validation.items())
    return (
        f"## Verifier\n\nTrained on prefixes of {gate.words} words, labelled by {gate.judge}; commits from a "
        f"calibrated probability of {gate.threshold:.3f} on. On validation drafts:{known}"
    )


def _data(licences: tuple[str, ...]) -> str:
    listed = "\n".join(f"- {name}" for name in licences) or "- unknown: the dataset's manifest is not at hand"
    return f"## Licences of the training data\n\nText, voices and noise.\n\n{listed}"


def _use() -> str:
    return (
        "## Use\n\n```python\nfrom trainer.runtime.relaying import Relay\n\n"
        'relay = Relay.from_pretrained("FOLDER or owner/name")\n'
        "session = relay.session()    # inside a running event loop\n```\n\n"
        "Loading compares every file with its SHA-256, and what the model computes with a recorded trace "
        "(`golden.safetensors`)."
    )


def _licences(run: Path) -> tuple[str, ...]:
    """Of the dataset that the run was trained on, where its manifest can be read here."""
    try:
        data = json.loads((run / "plan.json").read_text(encoding="utf-8"))["fit"]["data"]
        manifest = json.loads((Path(data) / "manifest.json").read_text(encoding="utf-8"))
    except (OSError, ValueError, KeyError, TypeError):
        return ()
    return tuple(_names(manifest.get("licences")))


def _names(found: Any) -> Iterator[str]:
    yield from sorted(str(name) for name in found or ())
