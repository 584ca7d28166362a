"""Whether a dataset may be made public, by the licences it carries."""

from __future__ import annotations

import re
from collections.abc import Iterable
from fnmatch import fnmatchcase

WITHHELD = (
    (r"\b(ND|NoDerivatives|NoDerivs)\b", "forbids passing on adaptations, and speech made from a text is one"),
    (r"VoxCeleb", "gives the voices for research only; their speakers were not asked"),
    (r"LicenseRef-TAU", "lets nobody pass on what was made with the recordings"),
    (
        r"all rights reserved|proprietary|confidential|\binternal\b|unlicen[cs]ed|no licen[cs]e given",
        "keeps all rights",
    ),
    (r"^(unknown|none|noassertion|not verified\b.*|\?|)$", "does not say that anything may be passed on"),
)
"""Pattern of a licence (any case) and why audio under it must not be made public: the entries of ``manifests/`` with
``publishable: false`` that forbid it altogether, and what other teams write where nothing is allowed. A licence that
allows it under conditions (attribution, share alike, no commerce) is not here: the card passes the conditions on."""


def withheld(licences: Iterable[str], forbidden: Iterable[str] = ()) -> str:
    """Why the first licence that forbids it does so; empty where all may be published.

    Args:
        licences: those of the whole dataset.
        forbidden: patterns of ``forbid_licences`` in the dataset's recipe.
    """
    forbidden = tuple(forbidden)
    for licence in licences:
        own = next((p for p in forbidden if fnmatchcase(licence, p)), None)
        if own is not None:
            return f"the licence {licence!r} is forbidden by the recipe (forbid_licences: {own!r})"
        reason = next((why for pattern, why in WITHHELD if re.search(pattern, licence, re.IGNORECASE)), None)
        if reason is not None:
            return f"the licence {licence!r} {reason}"
    return ""
