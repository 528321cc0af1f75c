"""The listings of the introduction that Taper was planned after, with their output."""

import os

import pytest

TENSORS = """
import torch
data = [[1, 2],[3, 4]]
print(data)
print(type(data))
x_data = torch.tensor(data)
print(x_data)
print(x_data.shape)
print(type(x_data))
"""
TENSORS_OUTPUT = """[[1, 2], [3, 4]]
<class 'list'>
tensor([[1, 2],
        [3, 4]])
torch.Size([2, 2])
<class 'taper.Tensor'>
"""
# The introduction was written on Windows, where NumPy's integers had 32 bits; on Linux they have 64.
NUMPY = """
import numpy as np
import torch
data = [[1, 2],[3, 4]]
np_array = np.array(data, dtype=np.int32)
print(np_array)
print(np_array.shape)
print(type(np_array))
x_np = torch.from_numpy(np_array)
print(x_np)
print(x_np.shape)
print(type(x_np))
"""
NUMPY_OUTPUT = """[[1 2]
 [3 4]]
(2, 2)
<class 'numpy.ndarray'>
tensor([[1, 2],
        [3, 4]], dtype=torch.int32)
torch.Size([2, 2])
<class 'taper.Tensor'>
"""
NUMPY_ON_LINUX = NUMPY.replace(", dtype=np.int32", "")
NUMPY_ON_LINUX_OUTPUT = NUMPY_OUTPUT.replace(", dtype=torch.int32", "")
NETWORK = """
import torch
import torch.nn as nn
import torch.nn.functional as F


class Net(nn.Module):

    def __init__(self):
        super(Net, self).__init__()
        # 1 input image channel, 6 output channels, 3x3 square convolution
        # kernel
        self.conv1 = nn.Conv2d(1, 6, 3)
        self.conv2 = nn.Conv2d(6, 16, 3)
        # an affine operation: y = Wx + b
        self.fc1 = nn.Linear(16 * 6 * 6, 120)  # 6*6 from image dimension
        self.fc2 = nn.Linear(120, 84)
        self.fc3 = nn.Linear(84, 10)

    def forward(self, x):
        # Max pooling over a (2, 2) window
        x = F.max_pool2d(F.relu(self.conv1(x)), (2, 2))
        # If the size is a square you can only specify a single number
        x = F.max_pool2d(F.relu(self.conv2(x)), 2)
        x = x.view(-1, self.num_flat_features(x))
        x = F.relu(self.fc1(x))
        x = F.relu(self.fc2(x))
        x = self.fc3(x)
        return x

    def num_flat_features(self, x):
        size = x.size()[1:]  # all dimensions except the batch dimension
        num_features = 1
        for s in size:
            num_features *= s
        return num_features


net = Net()
print(net)
print(net(torch.randn(1, 1, 32, 32)).shape)
"""
NETWORK_OUTPUT = """Net(
  (conv1): Conv2d(1, 6, kernel_size=(3, 3), stride=(1, 1))
  (conv2): Conv2d(6, 16, kernel_size=(3, 3), stride=(1, 1))
  (fc1): Linear(in_features=576, out_features=120, bias=True)
  (fc2): Linear(in_features=120, out_features=84, bias=True)
  (fc3): Linear(in_features=84, out_features=10, bias=True)
)
torch.Size([1, 10])
"""


@pytest.mark.parametrize(
    "listing, output",
    [
        (TENSORS, TENSORS_OUTPUT),
        (NUMPY, NUMPY_OUTPUT),
        (NUMPY_ON_LINUX, NUMPY_ON_LINUX_OUTPUT),
        (NETWORK, NETWORK_OUTPUT),
        (TENSORS + NUMPY_ON_LINUX + NETWORK, TENSORS_OUTPUT + NUMPY_ON_LINUX_OUTPUT + NETWORK_OUTPUT),
    ],
    ids=["tensors", "numpy", "numpy on Linux", "network", "all in one file"],
)
@pytest.mark.parametrize("way", ["import taper as torch", "taper.run"])
def test_listing(listing, output, way, run_python, tmp_path):
    script = tmp_path / "listing.py"
    if way == "taper.run":
        script.write_text(listing)
        result = run_python("-m", "taper.run", str(script))
    else:
        script.write_text(
            listing.replace("import torch\n", "import taper as torch\n").replace("import torch.", "import taper.")
        )
        result = run_python(str(script))
    assert result.stderr == ""
    assert result.stdout == output


def test_the_default_integer_of_numpy_is_kept(run_python):
    code = "import numpy as np, taper as torch; print(torch.from_numpy(np.array([1])).dtype, torch.tensor([1]).dtype)"
    assert run_python(code=code).stdout == "torch.int64 torch.int64\n"


EXAMPLES = os.path.join(os.path.dirname(__file__), "..", "..", "..", "examples", "python")


def test_the_first_fifty_losses_are_those_of_pytorch(run_python, expected):
    result = run_python("-m", "taper.run", os.path.join(EXAMPLES, "fifty_steps.py"), "--digits", "6")
    assert result.stderr == ""
    lines = [line.split() for line in result.stdout.splitlines()]
    assert [int(line[1]) for line in lines] == list(range(1, 51))
    for line, want in zip(lines, expected["fifty steps"], strict=True):
        assert float(line[3]) == pytest.approx(want, abs=5e-4), f"step {line[1]}"


def test_each_module_exists_once(run_python, tmp_path):
    script = tmp_path / "once.py"
    script.write_text(
        "import sys\nimport torch, torch.nn, torch.nn.functional as F, torch.optim.lr_scheduler, torch.utils.data\n"
        "import taper\nassert torch is taper and sys.modules['torch.nn'] is sys.modules['taper.nn']\n"
        "assert F is taper.nn.functional is sys.modules['torch.nn.functional']\n"
        "from torch.utils.data import DataLoader\nassert DataLoader is taper.utils.data.DataLoader\n"
        "from torch.optim import Adam\nassert Adam is taper.optim.Adam is torch.optim.Adam\n"
        "assert torch.__name__ == 'taper' and torch.nn.__spec__.name == 'taper.nn'\nprint('once')\n"
    )
    result = run_python("-m", "taper.run", str(script))
    assert (result.stdout, result.stderr) == ("once\n", "")
