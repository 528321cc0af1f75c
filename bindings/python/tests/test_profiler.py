"""The profiler, Ctrl-C in a backward pass, and the table of a model."""

import json
import os
import signal
import threading
import time

import pytest

import taper as torch
import taper.nn as nn
from taper.profiler import ProfilerActivity, profile, record_function, schedule
from taper.utils import summary


def test_a_profile_of_a_step(device, tmp_path):
    net = nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 2)).to(device)
    x = torch.rand(3, 4, device=device)
    with profile(activities=[ProfilerActivity.CPU], record_shapes=True, profile_memory=True) as p:
        with record_function("a step"):
            net(x).sum().backward()
    torch.exp(x)
    averages = {e.key: e for e in p.key_averages()}
    assert averages["linear"].count == 2 and averages["linear"].flops == 2 * (3 * 4 * 8 + 3 * 8 * 2)
    assert averages["tanh"].count == 1 and averages["a step"].is_user_annotation and "exp" not in averages
    assert any("Backward" in name for name in averages) and "backward" in averages
    step = averages["a step"]
    assert step.cpu_time_total >= sum(averages[n].self_cpu_time_total for n in ("linear", "tanh", "backward"))
    assert step.self_cpu_time_total <= step.cpu_time_total
    text = p.key_averages(group_by_input_shape=True).table(sort_by="cpu_time_total", row_limit=4)
    assert "Self CPU time total" in text and "[3, 4], [8, 4], [8]" in p.key_averages(True).table()
    assert text.splitlines()[3].split()[0] == "a"
    p.export_chrome_trace(str(tmp_path / "trace.json"))
    events = json.loads((tmp_path / "trace.json").read_text())["traceEvents"]
    assert {"a step", "linear", "tanh"} <= {e["name"] for e in events} and all(e["ph"] == "X" for e in events)


def test_a_schedule_takes_some_steps():
    taken = []
    action = schedule(wait=1, warmup=1, active=2, repeat=1)
    with profile(schedule=action, on_trace_ready=lambda p: taken.append(p.key_averages())) as p:
        for _ in range(6):
            torch.ones(2).exp()
            p.step()
    assert len(taken) == 1 and {e.key: e.count for e in taken[0]}["exp"] == 2


def test_ctrl_c_ends_a_backward_pass():
    x = torch.ones(1, requires_grad=True)
    y = x
    for _ in range(200_000):
        y = y + 1
    # What is started in the background has it ignored.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        began = time.time()
        threading.Timer(0.05, os.kill, (os.getpid(), signal.SIGINT)).start()
        with pytest.raises(KeyboardInterrupt):
            while time.time() - began < 20:
                y.backward(retain_graph=True)
    finally:
        signal.signal(signal.SIGINT, before)
    torch.ones(2).exp()


def test_a_model_as_a_table():
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv, self.fc = nn.Conv2d(1, 2, 3), nn.Linear(8, 3)

        def forward(self, x):
            return self.fc(self.conv(x).relu().flatten(1))

    net = Net()
    assert summary(net, torch.ones(5, 1, 4, 4)).splitlines() == [
        "Module          Output shape  Parameters  Multiply-adds",
        "=======================================================",
        "Net             [5, 3]                47            480",
        "  conv: Conv2d  [5, 2, 2, 2]          20            360",
        "  fc: Linear    [5, 3]                27            120",
        "=======================================================",
        "Parameters: 47 (47 trainable)",
        "Multiply-adds: 480",
    ]
    assert net.training
