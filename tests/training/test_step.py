import pytest
import torch

from mtag.training import step
from mtag.training.networks import Model3, initialise
from mtag.training.step import Learner, own_stream

STEPS = 8


def learned(device, warm_up, monkeypatch):
    """Parameters and their averages after some steps on two shapes of input, dropout included."""
    monkeypatch.setattr(step, "WARM_UP", warm_up)
    with own_stream(device):
        torch.manual_seed(0)
        network = Model3()
        initialise(network, -2.5)
        network = network.to(device).train()
        learner = Learner(
            network, [{"params": list(network.parameters()), "share": 1.0}], weight_decay=1e-4, clip_norm=1.0
        )
        losses = []
        for i in range(2 * STEPS):
            torch.manual_seed(i)
            inputs = torch.randn(4, 2_000 if i < STEPS else 3_000, device=device)
            loss = learner.step(inputs, torch.full((4, 50), 0.1, device=device), rate=1e-3, decay=0.9)
            losses.append(loss.item())
        values = [*learner.network.parameters(), *learner.average.parameters()]
        return losses, torch.cat([value.detach().flatten().cpu() for value in values])


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA")
def test_a_recorded_step_does_what_a_plain_one_does(monkeypatch):
    plain, recorded = (learned(torch.device("cuda"), warm_up, monkeypatch) for warm_up in (10**9, 2))
    assert recorded[0] == pytest.approx(plain[0], rel=1e-3)
    torch.testing.assert_close(recorded[1], plain[1], atol=1e-3, rtol=1e-2)


@pytest.mark.parametrize(("capability", "kind"), [("AVX512", torch.bfloat16), ("AVX2", torch.float32)])
def test_a_cpu_that_has_no_bfloat16_computes_in_float32(monkeypatch, capability, kind):
    monkeypatch.setattr("torch.backends.cpu.get_cpu_capability", lambda: capability)
    with step.autocast(torch.device("cpu")):
        assert torch.nn.functional.linear(torch.ones(1, 4), torch.ones(2, 4)).dtype is kind
