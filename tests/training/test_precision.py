"""Mixed precision: what runs in sixteen bits, what it gives, how it resumes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from idskit.data.dataset import Dataset
from idskit.errors import RunError
from idskit.training.fit import build_network, fit
from idskit.training.members.network_member import NetworkMember
from idskit.training.members.novelty_member import NoveltyMember
from idskit.training.settings import TrainingSettings

Same = Callable[[object, object], bool]
HALVES = {"bf16": torch.bfloat16, "fp16": torch.float16}


def loop_of(toy: Dataset, settings: TrainingSettings) -> NetworkMember:
    whole = settings.resolved()
    torch.manual_seed(0)
    return NetworkMember(build_network(toy, whole), toy, whole)


def types_seen(network: nn.Module, run: Callable[[], object]) -> dict[str, torch.dtype]:
    """The type of what every product of the network returns, by name."""
    seen: dict[str, torch.dtype] = {}
    for name, module in network.named_modules():
        if isinstance(module, (nn.Conv2d, nn.Linear, nn.BatchNorm1d)):

            def note(_: nn.Module, __: object, result: Tensor, name: str = name) -> None:
                seen[name] = result.dtype

            module.register_forward_hook(note)
    run()
    return seen


@pytest.mark.parametrize("precision", HALVES)
def test_the_body_computes_in_sixteen_bits_and_the_front_end_in_thirty_two(
    toy: Dataset, tiny: TrainingSettings, precision: str
):
    loop = loop_of(toy, replace(tiny, precision=precision))  # type: ignore[arg-type]
    seen = types_seen(loop.network, lambda: loop.logits(loop.train.rows.signals[:64]))
    assert seen.pop("frontend.standardise") == torch.float32
    assert set(seen.values()) == {HALVES[precision]}
    assert {p.dtype for p in loop.network.parameters()} == {torch.float32}


@pytest.mark.parametrize("precision", HALVES)
def test_a_step_is_nearly_that_of_thirty_two_bits(
    toy: Dataset, tiny: TrainingSettings, precision: str
):
    plain = loop_of(toy, tiny)
    mixed = loop_of(toy, replace(tiny, precision=precision))  # type: ignore[arg-type]
    for loop in (plain, mixed):
        loop.network.train()
        loss = loop.logits(loop.train.rows.signals[:256]).logsumexp(dim=1).mean()
        loop.scaler.scale(loss).backward()
        loop.scaler.unscale_(loop.optimizer)
    first, second = (
        torch.cat([p.grad.flatten() for p in loop.logits.parameters() if p.grad is not None])
        for loop in (plain, mixed)
    )
    closeness = torch.cosine_similarity(first, second, dim=0)
    assert closeness > {"bf16": 0.8, "fp16": 0.98}[precision]  # 8 and 11 bits
    assert not first.equal(second)


@pytest.mark.parametrize("precision", HALVES)
def test_a_killed_run_of_mixed_precision_resumes_to_the_same_weights(
    toy: Dataset,
    tiny: TrainingSettings,
    same_state: Same,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    precision: str,
):
    settings = replace(tiny, precision=precision)  # type: ignore[arg-type]
    whole = fit(toy, settings)
    with monkeypatch.context() as patch:
        patch.setattr(NoveltyMember, "fit", _stop)
        with pytest.raises(KeyboardInterrupt):
            fit(toy, settings, folder=tmp_path)
    assert same_state(whole.network, fit(toy, settings, folder=tmp_path, resume=True).network)


def _stop(_: object) -> None:
    raise KeyboardInterrupt


def test_another_precision_does_not_resume(toy: Dataset, tiny: TrainingSettings, tmp_path: Path):
    fit(toy, replace(tiny, epochs=1), folder=tmp_path)
    with pytest.raises(RunError, match="precision is 'bf16' and was 'fp32'"):
        fit(toy, replace(tiny, epochs=1, precision="bf16"), folder=tmp_path, resume=True)


def test_an_unknown_precision_is_refused(toy: Dataset, tiny: TrainingSettings):
    with pytest.raises(RunError, match="precision 'int8' was asked for, but the choices are fp32"):
        fit(toy, replace(tiny, precision="int8"))  # type: ignore[arg-type]
