"""The two optimisers as one: every weight learns once, a saved state goes on to the same weights."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn
from torch.optim import AdamW, Optimizer
from torch.optim.lr_scheduler import LambdaLR

from trainer.stages.optimizer import Both, Muon, optimizer


class Small(nn.Module):
    """An embedding that is also the head, a hidden matrix, a narrow one, a norm."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(100, 64)
        self.hidden, self.norm, self.narrow = nn.Linear(64, 96), nn.LayerNorm(96), nn.Linear(96, 64)
        self.few = nn.Linear(64, 5)
        self.head = nn.Linear(64, 100, bias=False)
        self.head.weight = self.embedding.weight

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        x = self.narrow(torch.relu(self.norm(self.hidden(self.embedding(ids)))))
        return self.head(x).square().mean() + self.few(x).square().mean()


def model() -> Small:
    torch.manual_seed(1)
    return Small()


def steps(net: Small, optimiser: Optimizer, count: int) -> None:
    draw = torch.Generator().manual_seed(2)
    for _ in range(count):
        optimiser.zero_grad()
        net(torch.randint(100, (8,), generator=draw)).backward()
        optimiser.step()


@pytest.mark.parametrize("muon", [False, True])
def test_every_weight_that_learns_is_moved_by_one_of_them(muon: bool) -> None:
    net = model()
    net.few.requires_grad_(False)
    made = optimizer(net, 1e-2, 0.0, muon)
    listed = [p for group in made.param_groups for p in group["params"]]
    assert len(listed) == len({id(p) for p in listed}) == sum(p.requires_grad for p in net.parameters())
    before = copy.deepcopy(net.state_dict())
    steps(net, made, 2)
    moved = {name for name, value in net.state_dict().items() if not torch.equal(value, before[name])}
    assert moved == {name for name in before if not name.startswith("few.")}


def test_muon_takes_the_matrices_between_hidden_states_alone() -> None:
    net = model()
    made = optimizer(net, 1e-2, 0.0, muon=True)
    assert isinstance(made, Both)
    hidden = {id(p) for group in made.parts[0].param_groups for p in group["params"]}
    assert hidden == {id(net.hidden.weight), id(net.narrow.weight)}


def test_updates_are_orthogonal_and_as_long_as_adamws() -> None:
    draw = torch.Generator().manual_seed(1)
    tall, wide, kernel = (nn.Parameter(torch.zeros(shape)) for shape in ((96, 64), (64, 96), (64, 32, 3)))
    for weight in (tall, wide, kernel):
        weight.grad = torch.randn(weight.shape, generator=draw)
    Muon([tall, wide, kernel], lr=1.0).step()
    for weight in (tall, wide, kernel):
        update = weight.detach().flatten(1)
        values = torch.linalg.svdvals(update) / (0.2 * 96**0.5)
        assert values.min() > 0.5
        assert values.max() < 1.4
        assert update.square().mean().sqrt().item() == pytest.approx(0.2, rel=0.2)


def test_biases_and_norms_do_not_decay() -> None:
    net = model()
    made = optimizer(net, 1e-2, 0.1, muon=True)
    decaying = {id(p) for group in made.param_groups if group["weight_decay"] for p in group["params"]}
    assert decaying == {id(p) for p in net.parameters() if p.ndim > 1}


def test_small_models_have_adamw_alone() -> None:
    assert isinstance(optimizer(nn.Linear(8, 8), 1e-2, 0.0, muon=True), AdamW)


def test_a_saved_state_goes_on_to_the_same_weights() -> None:
    whole, resumed = model(), model()
    one = optimizer(whole, 1e-2, 0.01, muon=True)
    steps(whole, one, 3)
    kept, weights = copy.deepcopy(one.state_dict()), copy.deepcopy(whole.state_dict())
    other = optimizer(resumed, 5e-1, 0.5, muon=True)
    resumed.load_state_dict(weights)
    other.load_state_dict(kept)
    for net, made in ((whole, one), (resumed, other)):
        steps(net, made, 3)
    for name, value in whole.state_dict().items():
        assert torch.equal(value, resumed.state_dict()[name]), name


def test_a_schedule_sees_the_rates_of_both() -> None:
    net = model()
    made = optimizer(net, 1e-2, 0.0, muon=True)
    schedule = LambdaLR(made, lambda step: 0.5**step)
    steps(net, made, 1)
    schedule.step()
    assert isinstance(made, Both)
    assert {group["lr"] for part in made.parts for group in part.param_groups} == {5e-3}
