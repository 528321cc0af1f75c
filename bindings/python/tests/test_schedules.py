"""Schedulers against PyTorch's numbers, which tests/fixtures/make_schedules.py recorded for all languages."""

import pickle
import sys
import warnings
from pathlib import Path

import pytest

import taper as torch

FIXTURES = Path(__file__).parents[3] / "tests/fixtures"
pytestmark = pytest.mark.skipif(not FIXTURES.exists(), reason="outside a checkout")
lr = torch.optim.lr_scheduler


def test_forty_epochs_are_pytorchs_to_the_last_bit():
    sys.path.insert(0, str(FIXTURES))
    import make_schedules

    make_schedules.use("taper")
    warnings.simplefilter("ignore")
    for line in (FIXTURES / "schedules.txt").read_text().splitlines():
        name, *want = line.split()
        assert make_schedules.recorded(name) == [float(v) for v in want], name


def optimizer():
    return torch.optim.SGD([torch.nn.Parameter(torch.ones(1))], lr=0.1)


def test_schedulers_of_schedulers():
    o = optimizer()
    inner = lr.SequentialLR(o, [lr.ConstantLR(o, 0.5, 2), lr.StepLR(o, 2)], milestones=[3])
    outer = lr.SequentialLR(o, [inner, lr.ExponentialLR(o, 0.9)], milestones=[8])
    assert isinstance(outer, lr.LRScheduler) and isinstance(lr.ChainedScheduler([inner]), lr.LRScheduler)
    rates = []
    for _ in range(6):
        o.step()
        outer.step()
        rates.append(outer.get_last_lr()[0])
    # PyTorch's: the inner one's own epoch is not taken back.
    assert rates == [0.05, 0.1, 0.1, 0.010000000000000002, 0.010000000000000002, 0.0010000000000000002]
    plateau = lr.ReduceLROnPlateau(o)
    for make in (lambda s: lr.SequentialLR(o, [s], []), lambda s: lr.ChainedScheduler([s], o)):
        with pytest.raises(ValueError, match="does not support `ReduceLROnPlateau`"):
            make(plateau)
        with pytest.raises(ValueError, match="to belong to the same optimizer"):
            make(lr.StepLR(optimizer(), 2))


def test_plateau_has_pytorchs_state():
    o = optimizer()
    s = lr.ReduceLROnPlateau(o, patience=0, min_lr=0.01)
    keys = "factor default_min_lr min_lrs patience cooldown eps mode threshold threshold_mode mode_worse last_epoch"
    assert set(s.state_dict()) == {*keys.split(), "_last_lr", "best", "cooldown_counter", "num_bad_epochs"}
    o.add_param_group({"params": [torch.nn.Parameter(torch.ones(1))]})
    s.step(1.0)
    s.step(1.0)
    assert [g["lr"] for g in o.param_groups] == [0.1 * 0.1] * 2 and s.min_lrs == [0.01, 0.01]
    with pytest.raises(RuntimeError, match="differs from when `ReduceLROnPlateau` was initialized"):
        s = lr.ReduceLROnPlateau(o, patience=0, min_lr=[0.0, 0.0])
        o.add_param_group({"params": [torch.nn.Parameter(torch.ones(1))]})
        s.step(1.0)
        s.step(1.0)


def test_generated_classes_are_of_the_module():
    assert pickle.loads(pickle.dumps(lr.StepLR)) is lr.StepLR
    assert lr.StepLR.__module__ == lr.LRScheduler.__module__ == lr.__name__

    class Mine(lr.StepLR):
        def get_lr(self):
            return [2 * r for r in super().get_lr()]

    s = Mine(optimizer(), 5)
    assert s.get_last_lr() == [0.2] and s.state_dict()["step_size"] == 5


def test_states_hold_no_functions_and_have_pytorchs_keys():
    o = torch.optim.SGD([torch.nn.Parameter(torch.ones(1))], lr=0.1, momentum=0.9)
    common = "base_lrs last_epoch _step_count _is_initial _last_lr".split()
    cyclic = lr.CyclicLR(o, 0.01, 0.2, step_size_up=4, scale_fn=lambda x: 0.5)
    keys = "max_lrs total_size step_ratio mode gamma scale_mode cycle_momentum use_beta1 base_momentums max_momentums"
    assert set(cyclic.state_dict()) == {*common, *keys.split(), "_scale_fn_custom"}
    cyclic.load_state_dict(pickle.loads(pickle.dumps(cyclic.state_dict())))
    assert cyclic.scale_fn(3) == 0.5
    one = lr.OneCycleLR(o, 0.1, 10, base_momentum=[0.7])
    keys = "total_steps _schedule_phases _anneal_func_type cycle_momentum use_beta1"
    assert set(one.state_dict()) == {*common, *keys.split()} and o.param_groups[0]["base_momentum"] == 0.7
    assert one.state_dict()["_schedule_phases"][1]["end_step"] == 9
    for message, make in {
        "max_lr has 2 values, param_groups has 1": lambda: lr.OneCycleLR(o, [0.1, 0.2], 10),
        "Expected float between 0 and 1 pct_start, but got 2.0": lambda: lr.OneCycleLR(o, 0.1, 10, pct_start=2.0),
        "Expected positive integer epochs, but got 0": lambda: lr.OneCycleLR(o, 0.1, epochs=0, steps_per_epoch=3),
        "You must define either total_steps OR": lambda: lr.OneCycleLR(o, 0.1, epochs=2),
        "base_lr has 2 values": lambda: lr.CyclicLR(o, [0.1, 0.2], 0.3),
        "swa_lr has 3 values": lambda: torch.optim.swa_utils.SWALR(o, [0.1] * 3),
    }.items():
        with pytest.raises(ValueError, match=message):
            make()


def test_averages_of_lists():
    swa = torch.optim.swa_utils
    net = torch.nn.Linear(2, 1, bias=False)
    mean = swa.AveragedModel(net, multi_avg_fn=swa.get_swa_multi_avg_fn())
    for value in (1.0, 3.0, 8.0):
        with torch.no_grad():
            net.weight.fill_(value)
        mean.update_parameters(net)
    assert mean.module.weight.tolist() == [[4.0, 4.0]] and mean.n_averaged == 3
