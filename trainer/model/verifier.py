"""The prefix verifier: is the opening that the fast path has drafted fit to be said? (RelayS2S section 2.4)

    hidden states and scalars of the draft's steps ─► gated tokens ─► attention pooling ─► logit of "good"

167,809 parameters at width 128 over hidden states of 896 (71,617 at width 64). ``Verifier`` is what is trained,
``Decider`` the same numbers arranged for one draft at a time. Names of tensors are those of the released checkpoint.

Shapes: B drafts, L steps of a draft (at most 15), D hidden size of the fast path, W width of the verifier.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import torch
import torch.nn.functional as F
from pydantic import Field
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from datagen.core.types import Strict
from trainer.calibration import Calibration, Rule

MAX_STEPS = 15
"""Positions of the verifier, and so the most steps it looks at."""
NUM_SCALARS = 3
"""Entropy, log-probability of the chosen token, logit margin; as they are, not normalised."""
WEIGHTS, CARD = "verifier.safetensors", "config.json"


class VerifierShape(Strict):
    """What decides the shapes of the tensors."""

    hidden_size: int = Field(default=896, ge=1)
    width: int = Field(default=128, ge=1)
    dropout: float = Field(default=0.3, ge=0, lt=1)


class VerifierCard(Strict):
    """``config.json`` beside the weights: everything a decision depends on, and where it comes from."""

    shape: VerifierShape
    words: int = Field(ge=1)
    """Length of the prefixes it was trained on, in whitespace words."""
    threshold: float = Field(ge=0, le=1)
    """Commit where the calibrated probability is at least this; chosen on validation drafts."""
    calibration: Calibration
    rule: Rule
    """How the threshold was chosen."""
    judge: str
    """Who labelled the prefixes."""
    seed: int
    data: str
    """Fingerprint of the training and validation prefixes."""
    validation: dict[str, float]
    """What was measured on the validation drafts."""


class Judged(NamedTuple):
    """What the verifier says about a batch of drafts."""

    logits_B: Tensor
    attention_BL: Tensor
    """Weights over the steps, which sum to 1; all 0 for a draft without steps."""


class Gate(nn.Module):
    """The scalars of a step scale and move its projected hidden state."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.gate = nn.Linear(NUM_SCALARS, width)
        self.bias = nn.Linear(NUM_SCALARS, width)

    def forward(self, z_BLW: Tensor, scalars_BL3: Tensor) -> Tensor:
        return z_BLW * torch.sigmoid(self.gate(scalars_BL3)) + self.bias(scalars_BL3)


class Pool(nn.Module):
    """Attention over the steps from one learned query."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.query = nn.Parameter(0.02 * torch.randn(1, 1, width))
        self.W_k = nn.Linear(width, width, bias=False)
        self.W_v = nn.Linear(width, width, bias=False)
        self.norm = nn.LayerNorm(width)

    def forward(self, u_BLW: Tensor, mask_BL: Tensor) -> tuple[Tensor, Tensor]:
        scores_BL = (self.query * self.W_k(u_BLW)).sum(-1) / u_BLW.shape[-1] ** 0.5
        lowest = torch.finfo(scores_BL.dtype).min
        # A row without steps is a softmax over equal scores: the mask, once more, makes it all zero and not NaN.
        attention_BL = torch.softmax(scores_BL.masked_fill(~mask_BL, lowest), dim=-1) * mask_BL
        return self.norm((attention_BL.unsqueeze(-1) * self.W_v(u_BLW)).sum(1)), attention_BL


class Verifier(nn.Module):
    """Trained with ``trainer.stages.verifier``; runs in any floating dtype."""

    def __init__(self, shape: VerifierShape) -> None:
        super().__init__()
        self.shape = shape
        width, drop = shape.width, shape.dropout
        self.proj = nn.Sequential(nn.Linear(shape.hidden_size, width), nn.LayerNorm(width), nn.GELU(), nn.Dropout(drop))
        self.gate = Gate(width)
        self.pos = nn.Embedding(MAX_STEPS, width)
        self.token_ff = nn.Sequential(nn.Linear(width, width), nn.GELU(), nn.Dropout(drop))
        self.pool = Pool(width)
        self.head = nn.Linear(width, 1)

    def forward(self, hidden_BLD: Tensor, scalars_BL3: Tensor, mask_BL: Tensor) -> Judged:
        """``mask_BL`` is True where there is a step. L may be anything up to 15; ValueError beyond."""
        if hidden_BLD.shape[1] > MAX_STEPS:
            raise ValueError(f"drafts of {hidden_BLD.shape[1]} steps; the verifier has {MAX_STEPS} positions, cut them")
        dtype = self.head.weight.dtype
        z_BLW = self.proj(hidden_BLD.to(dtype))
        x_BLW = self.gate(z_BLW, scalars_BL3.to(dtype)) + self.pos.weight[: hidden_BLD.shape[1]]
        r_BW, attention_BL = self.pool(x_BLW + self.token_ff(x_BLW), mask_BL.bool())
        return Judged(self.head(r_BW).squeeze(-1), attention_BL)

    def num_parameters(self) -> int:
        """All of them are trained."""
        return sum(p.numel() for p in self.parameters())


class Decision(NamedTuple):
    """What is done with one draft."""

    commit: bool
    probability: float
    """Calibrated, of the prefix being good."""
    logit: float


class Decider:
    """One decision at a time, as fast as the numbers allow: no padding, no dropout, products that depend on weights
    alone taken beforehand. Holds its own float32 copy of the weights; equals ``Verifier`` to about 1e-6.
    """

    @torch.inference_mode()
    def __init__(self, verifier: Verifier, threshold: float, calibration: Calibration, device: str = "cpu") -> None:
        self.threshold, self.calibration = threshold, calibration
        state = {name: t.detach().to(device, torch.float32, copy=True) for name, t in verifier.state_dict().items()}
        self._state, self._width = state, verifier.shape.width
        self._scalar_weight = torch.cat([state["gate.gate.weight"], state["gate.bias.weight"]])
        self._scalar_bias = torch.cat([state["gate.gate.bias"], state["gate.bias.bias"]])
        # q.(W_k u) = (W_k' q).u, and the sum of a_i W_v u_i = W_v (sum of a_i u_i): a vector each instead of a matrix.
        self._key = state["pool.W_k.weight"].T @ state["pool.query"].flatten() / self._width**0.5
        self._no_hidden = torch.zeros(1, verifier.shape.hidden_size, device=device)
        self._no_scalars = torch.zeros(1, NUM_SCALARS, device=device)

    @torch.inference_mode()
    def decide(self, hidden_LD: Tensor, scalars_L3: Tensor) -> Decision:
        """About a draft's steps, cut to the prefix (``trainer.prefixes.cut``), any floating dtype.

        A prefix without steps is judged as one step of zeros, and never committed: there is nothing to say.
        """
        steps = hidden_LD.shape[0]
        hidden_LD, scalars_L3 = (hidden_LD, scalars_L3) if steps else (self._no_hidden, self._no_scalars)
        logit = float(self._logit(hidden_LD.to(self._key), scalars_L3.to(self._key)))
        probability = self.calibration.probability(logit)
        return Decision(steps > 0 and probability >= self.threshold, probability, logit)

    def _logit(self, hidden_LD: Tensor, scalars_L3: Tensor) -> Tensor:
        s, width = self._state, (self._width,)
        z_LW = F.linear(hidden_LD, s["proj.0.weight"], s["proj.0.bias"])
        z_LW = F.gelu(F.layer_norm(z_LW, width, s["proj.1.weight"], s["proj.1.bias"]))
        gate_LW, bias_LW = F.linear(scalars_L3, self._scalar_weight, self._scalar_bias).chunk(2, dim=-1)
        x_LW = torch.addcmul(bias_LW, z_LW, gate_LW.sigmoid()) + s["pos.weight"][: len(z_LW)]
        u_LW = x_LW + F.gelu(F.linear(x_LW, s["token_ff.0.weight"], s["token_ff.0.bias"]))
        pooled_W = torch.softmax(u_LW @ self._key, dim=0) @ u_LW
        r_W = F.layer_norm(s["pool.W_v.weight"] @ pooled_W, width, s["pool.norm.weight"], s["pool.norm.bias"])
        return s["head.weight"][0] @ r_W + s["head.bias"][0]


def save(folder: Path, verifier: Verifier, card: VerifierCard) -> None:
    """Weights and card into a folder; the card last."""
    folder.mkdir(parents=True, exist_ok=True)
    save_file({n: t.detach().contiguous().cpu() for n, t in verifier.state_dict().items()}, folder / WEIGHTS)
    (folder / CARD).write_text(card.model_dump_json(indent=2) + "\n", encoding="utf-8")


def load(folder: Path) -> tuple[Verifier, VerifierCard]:
    """What ``save`` wrote, in evaluation mode; ValueError where card and weights do not fit."""
    card = VerifierCard.model_validate_json((folder / CARD).read_text(encoding="utf-8"))
    return fitted(load_file(folder / WEIGHTS), card.shape, str(folder / WEIGHTS)), card


def load_released(path: Path, hidden_size: int = 896) -> Verifier:
    """The verifier of a published RelayS2S checkpoint (``best_model.pt``); it has a fixed threshold of 0.5."""
    content = torch.load(path, map_location="cpu", weights_only=True)
    try:
        state, config = content["model_state_dict"], content["model_config"]
        shape = VerifierShape(hidden_size=hidden_size, width=config["d_model"], dropout=config["dropout"])
    except (KeyError, TypeError) as error:
        raise ValueError(f"{path} is no verifier checkpoint: it lacks {error}") from error
    return fitted(state, shape, str(path))


def fitted(state: dict[str, Tensor], shape: VerifierShape, origin: str) -> Verifier:
    """A verifier with these weights, in evaluation mode; ValueError names every tensor that does not fit."""
    verifier = Verifier(shape)
    own = {name: tuple(t.shape) for name, t in verifier.state_dict().items()}
    given = {name: tuple(t.shape) for name, t in state.items()}
    wrong = [f"{n} is missing" for n in own if n not in given] + [f"{n} is unknown" for n in given if n not in own]
    wrong += [f"{n} is {given[n]}, not {own[n]}" for n in own if n in given and given[n] != own[n]]
    if wrong:
        raise ValueError(f"{origin} does not fit a verifier of {shape}: {'; '.join(wrong)}")
    verifier.load_state_dict(state)
    return verifier.eval()
