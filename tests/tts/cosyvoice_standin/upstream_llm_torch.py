"""Stands in for ``cosyvoice.llm.llm`` with the real transformers: a tiny model, loaded from a folder."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from transformers import Qwen2ForCausalLM


class Qwen2Encoder(torch.nn.Module):
    """Hidden states of a Qwen2 model, all at once or one by one with its cache."""

    def __init__(self, pretrain_path: str) -> None:
        super().__init__()
        self.model = Qwen2ForCausalLM.from_pretrained(pretrain_path)

    def forward_one_step(self, xs: Any, masks: Any, cache: Any = None) -> tuple[Any, Any]:
        """The documented fault: the mask is that of the new tokens alone."""
        mask = masks[:, -1, :]
        out = self.model.model(inputs_embeds=xs, attention_mask=mask, past_key_values=cache, use_cache=True)
        return out.last_hidden_state, out.past_key_values


class Qwen2LM(torch.nn.Module):
    """Holds the encoder."""

    def __init__(self, pretrain_path: str) -> None:
        super().__init__()
        self.llm = Qwen2Encoder(pretrain_path)

    @torch.inference_mode()
    def inference(self, text: str) -> Iterator[int]:
        xs, cache = torch.ones(1, 3, self.llm.model.config.hidden_size), None
        for _ in range(4 * len(text.split())):
            masks = torch.tril(torch.ones(1, xs.shape[1], xs.shape[1])).bool()
            hidden, cache = self.llm.forward_one_step(xs, masks, cache)
            yield int(1000 * hidden[0, -1, 0].abs()) % 6561
            xs = hidden[:, -1:]
