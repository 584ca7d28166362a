"""A fast path that drafts one sentence, whatever it hears: each token leads to the next by the head's weights alone."""

from __future__ import annotations

from functools import cache
from itertools import pairwise

import torch
from torch import nn

from tests.trainer.tiny_preset import tiny
from trainer.model._llm import RandomLlm
from trainer.model.encoder import EncoderConfig
from trainer.model.fastpath import FastPath
from trainer.model.tower import TowerConfig

SENTENCE = "Sure, I can help you with that right now."
WIDTH = 64


@cache
def parrot(sentence: str = SENTENCE) -> FastPath:
    """In evaluation mode; read it only."""
    tower = TowerConfig(encoder=EncoderConfig(width=16, blocks=2, heads=2, ffn=32, left=2), inner=24, out=WIDTH)
    llm = RandomLlm(hidden=WIDTH, layers=2, heads=2, kv_heads=1, ffn=32)
    fast = FastPath.begin(tiny(tower=tower, llm=llm, vocabulary=300), [sentence] * 50, seed=1).eval()
    ids = [fast.tokens.bos, *fast.encode(sentence), fast.tokens.eos]
    assert len(set(ids)) == len(ids), "a token that comes twice has two successors"
    duplex = fast.duplex
    with torch.no_grad():
        for name, weight in duplex.llm.named_parameters():
            if name.endswith(("o_proj.weight", "down_proj.weight")):
                weight.zero_()
        duplex.embedding.weight.normal_(generator=torch.Generator().manual_seed(2))
        table_VD = duplex.embedding.weight.detach()
        head_VD = torch.zeros_like(table_VD)
        for token, following in pairwise(ids):
            head_VD[following] = table_VD[token]
    duplex.head.weight = nn.Parameter(head_VD)
    return fast
