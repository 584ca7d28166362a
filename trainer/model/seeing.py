"""From the model's logits to what decides the next token. Shape suffixes: B batch, V vocabulary."""

from __future__ import annotations

import torch
from torch import Tensor

from trainer.firing import Seen
from trainer.tokens import ControlTokens


def seen(logits_BV: Tensor, tokens: ControlTokens) -> list[Seen]:
    """Of every row, in one transfer off the device."""
    logits_BV = logits_BV.float()
    whole_B = logits_BV.logsumexp(-1, keepdim=True)
    chance_B3 = (logits_BV[:, [tokens.bos, tokens.stp, tokens.boc]] - whole_B).exp()
    top_B = logits_BV.argmax(-1, keepdim=True)
    controls = torch.tensor(tokens.added, device=logits_BV.device)
    text_B = logits_BV.index_fill(-1, controls, -torch.inf).argmax(-1, keepdim=True)
    # Ids below 2^24 are exact in float32.
    rows = torch.cat([chance_B3, top_B.float(), text_B.float()], dim=1).tolist()
    return [Seen(bos, stp, boc, int(top), int(text)) for bos, stp, boc, top, text in rows]
