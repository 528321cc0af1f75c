"""What packages of PyPI ask for around the tensors: attention with functions, meshes and checkpoints of one process, versions."""

import math
import os

import pytest

import taper as torch
from taper import nn
from taper.nn.attention import flex_attention as flex
from taper.torch_version import TorchVersion


def causal(b, h, q_idx, kv_idx):
    return q_idx >= kv_idx


def test_blocks_of_a_mask():
    mask = flex.create_block_mask(causal, 1, None, 300, 300)
    assert mask.shape == (1, 1, 300, 300) and mask.sparsity() == pytest.approx(100 / 3)
    assert mask.to_dense().tolist() == [[[[1, 0, 0], [1, 1, 0], [1, 1, 1]]]]
    assert mask.kv_num_blocks.tolist() == [[[1, 1, 3]]] and mask.full_kv_num_blocks.tolist() == [[[0, 1, 0]]]
    assert mask.kv_indices.tolist() == [[[[0, 1, 2], [1, 0, 2], [0, 1, 2]]]]
    assert mask.q_num_blocks.tolist() == [[[2, 2, 1]]]
    assert mask[:, :, 1:].shape == (1, 1, 172, 300) and mask._adjust(100, 100).shape == (1, 1, 100, 100)
    with pytest.raises(RuntimeError, match="Cannot use mask_mod from a sliced BlockMask"):
        mask[0].mask_mod(None, None, None, None)
    with pytest.raises(IndexError):
        mask[0, 0, 0, 0]


@pytest.mark.parametrize("heads", [1, 2])
def test_attention_with_functions(heads):
    torch.manual_seed(0)
    q = torch.randn(2, 2, 9, 4, dtype=torch.float64, requires_grad=True)
    k, v = (torch.randn(2, heads, 9, 4, dtype=torch.float64) for _ in range(2))
    mask = flex.create_block_mask(causal, None, None, 9, 9, BLOCK_SIZE=4)
    out, lse = flex.flex_attention(q, k, v, block_mask=mask, enable_gqa=True, return_lse=True)
    want = nn.functional.scaled_dot_product_attention(q, k, v, is_causal=True, enable_gqa=True)
    assert torch.allclose(out, want)
    scores = (q @ k.repeat_interleave(2 // heads, 1).mT) / 2
    hidden = torch.ones(9, 9).triu(1) > 0
    assert torch.allclose(lse, scores.masked_fill(hidden, -math.inf).logsumexp(-1))
    slopes = torch.tensor([0.5, 2.0], dtype=torch.float64)
    got = flex.flex_attention(q, k, v, lambda s, b, h, i, j: s + slopes[h] * (j - i), enable_gqa=True)
    bias = slopes.view(2, 1, 1) * (torch.arange(9) - torch.arange(9).unsqueeze(1))
    want = nn.functional.scaled_dot_product_attention(q, k, v, attn_mask=bias, enable_gqa=True)
    assert torch.allclose(got, want)
    first, second = (torch.autograd.grad(x.pow(2).sum(), q)[0] for x in (got, want))
    assert torch.allclose(first, second)


def test_attention_that_sees_nothing_and_errors():
    q = torch.randn(1, 1, 4, 2)
    none = flex.create_block_mask(lambda b, h, i, j: i < 0, None, None, 4, 4)
    assert flex.flex_attention(q, q, q, block_mask=none).abs().sum() == 0
    with pytest.raises(ValueError, match="same embedding dimension but got E=2 and E=1"):
        flex.flex_attention(q, q[..., :1], q)
    with pytest.raises(NotImplementedError, match="4D tensors"):
        flex.flex_attention(q[0], q, q)
    with pytest.raises(ValueError, match="Hq=1 and Hkv=2"):
        flex.flex_attention(q, q.repeat(1, 2, 1, 1), q)
    with pytest.raises(RuntimeError, match="smaller length"):
        flex.flex_attention(q.repeat(1, 1, 2, 1), q, q, block_mask=none)
    with pytest.raises(RuntimeError, match="inputs should be callable"):
        flex.and_masks(causal, 1)


DISTRIBUTED = """
import taper as torch, tempfile, os
from taper import nn
from taper.distributed.device_mesh import init_device_mesh, DeviceMesh
from taper.distributed.tensor import DTensor, Partial, Replicate, Shard, distribute_module, distribute_tensor, zeros
from taper.distributed.fsdp import FSDPModule, FullyShardedDataParallel, MixedPrecisionPolicy, fully_shard
from taper.distributed import _functional_collectives as fc
import taper.distributed.checkpoint as dcp
from taper.distributed.checkpoint.state_dict import get_state_dict, set_state_dict

mesh = init_device_mesh("cpu", (1, 1), mesh_dim_names=("a", "b"))
assert mesh.shape == (1, 1) and mesh["b"].ndim == 1 and mesh.get_local_rank("a") == 0 and mesh.get_coordinate() == [0, 0]
for bad, error in ((lambda: init_device_mesh("cpu", (2,)), RuntimeError), (lambda: mesh["c"], KeyError), (lambda: mesh.get_group(), RuntimeError)):
    try:
        bad()
    except error:
        continue
    raise AssertionError(bad)
x = distribute_tensor(torch.arange(6.0).view(2, 3).requires_grad_(), mesh["a"], [Shard(0)])
assert type(x) is DTensor and x.placements == (Shard(0),) and x.is_leaf and x.requires_grad
y = (x * 2).sum()
assert type(y) is DTensor and y.full_tensor().item() == 30
y.backward()
assert x.grad.full_tensor().tolist() == [[2.0] * 3] * 2
assert repr(Shard(1)) == "Shard(dim=1)" and str(Partial()) == "P(sum)" and x.redistribute(placements=[Replicate()]).placements[0].is_replicate()
assert zeros(2, 3, device_mesh=mesh["a"]).to_local().shape == (2, 3)
w = fc.all_reduce(torch.ones(2, requires_grad=True), "sum", mesh["a"].get_group())
w.sum().backward()

torch.manual_seed(0)
def made():
    torch.manual_seed(1)
    return nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2))
plain, cut, wrapped = made(), fully_shard(made()), FullyShardedDataParallel(made())
assert isinstance(cut, FSDPModule) and isinstance(cut, nn.Sequential) and list(wrapped.state_dict()) == list(plain.state_dict())
z = torch.randn(5, 3)
for m in (cut, wrapped):
    assert (m(z) == plain(z)).all()
wrapped.load_state_dict(plain.state_dict())
try:
    fully_shard(made(), mp_policy=MixedPrecisionPolicy(param_dtype=torch.bfloat16))
except NotImplementedError as e:
    assert "param_dtype" in str(e)
else:
    raise AssertionError
optimizer = torch.optim.Adam(plain.parameters())
plain(z).sum().backward()
optimizer.step()
with tempfile.TemporaryDirectory() as folder:
    model, optim = get_state_dict(plain, optimizer)
    assert "0.weight" in optim["state"]
    dcp.save({"model": model, "optim": optim, "step": 3}, checkpoint_id=folder)
    other = made()
    state = {"model": other.state_dict(), "step": 0}
    dcp.load(state, checkpoint_id=folder)
    assert state["step"] == 3 and (other[0].weight == plain[0].weight).all()
    fresh = torch.optim.Adam(other.parameters())
    set_state_dict(other, fresh, model_state_dict=model, optim_state_dict=optim)
    assert (fresh.state[other[0].weight]["exp_avg"] == optimizer.state[plain[0].weight]["exp_avg"]).all()
    try:
        dcp.load({"nothing": torch.ones(1)}, checkpoint_id=folder)
    except RuntimeError as e:
        assert "Missing key in checkpoint state_dict: nothing." in str(e)
    else:
        raise AssertionError
print("done")
"""


def test_one_process_has_meshes_shards_and_checkpoints(run_python):
    result = run_python(code=DISTRIBUTED)
    assert result.stdout.strip() == "done", result.stderr


def test_versions_compare_as_numbers(run_python):
    v = TorchVersion("2.15.0+cpu")
    assert (
        v > "2.9" and v >= (2, 15) and v == "2.15" and v < (2, 15, 1) and v != "2.14" and TorchVersion("2.0rc1") < "2.0"
    )
    assert isinstance(v, str) and v.startswith("2.15") and hash(v) == hash("2.15.0+cpu")
    code = (
        "import taper; own = taper.__version__; from taper.run import install; install(); import torch;"
        "assert torch.__version__ >= (2, 0) and torch.version.taper == own, torch.__version__"
    )
    result = run_python(code=code)
    assert result.returncode == 0, result.stderr


def test_numbers_in_tensors_and_dimensions_that_are_none():
    x = torch.arange(4.0).view(2, 2)
    assert torch.clamp(x, 1, torch.tensor(2.0)).tolist() == [[1, 1], [2, 2]]
    assert x.clamp(torch.tensor(1), 2).tolist() == [[1, 1], [2, 2]]
    with pytest.raises(TypeError, match="invalid combination"):
        torch.clamp(x, 0, torch.ones(2))
    with pytest.raises(TypeError, match="invalid combination"):
        torch.clamp(x, 0, torch.tensor(1.0, requires_grad=True))
    assert torch.amax(x, None) == 3 and torch.roll(x, 1, None).tolist() == [[3, 0], [1, 2]]
    with pytest.raises(TypeError, match="must be tuple of ints, not NoneType"):
        x.flip(None)


def test_limits_of_dtypes_that_can_only_be_named():
    f = torch.finfo(torch.float8_e4m3fn)
    assert (f.bits, f.max, f.min, f.eps, f.tiny, f.dtype) == (8, 448.0, -448.0, 0.125, 2.0**-6, "float8_e4m3fn")
    with pytest.raises(TypeError, match="must be torch.dtype, not Tensor"):
        torch.finfo(torch.ones(1))
    with pytest.raises(TypeError, match="must be torch.dtype, not int"):
        torch.iinfo(3)


@pytest.mark.skipif(os.environ.get("TAPER_TEST_DEVICE", "cpu") != "cpu", reason="memory of the host is looked at")
def test_storages_are_bytes(tmp_path):
    path = tmp_path / "bytes"
    path.write_bytes(bytes(range(64)))
    s = torch.UntypedStorage.from_file(str(path), shared=False, nbytes=64)
    assert (s.nbytes(), len(s), s[3], s.element_size(), s.device.type) == (64, 64, 3, 1, "cpu")
    t = torch.asarray(s[8:16], dtype=torch.uint8, device="cpu")
    t[0] = 99
    assert s[8] == 99 and path.read_bytes()[8] == 8 and s[8:10].tolist() == [99, 9]
    shared = torch.UntypedStorage.from_file(str(path), shared=True, nbytes=64)
    shared[0] = 7
    assert path.read_bytes()[0] == 7 and shared.is_shared() and not s.is_shared()
    with pytest.raises(RuntimeError, match="from_file: expected nbytes from 0 to the file's 64, got 65"):
        torch.UntypedStorage.from_file(str(path), nbytes=65)
    with pytest.raises(RuntimeError, match="step of 2"):
        s[::2]
    made = torch.UntypedStorage([1, 2, 3])
    assert made.tolist() == [1, 2, 3] and made.clone().fill_(5).tolist() == [5, 5, 5] and made == made.untyped()
    x = torch.arange(6, dtype=torch.int16).view(2, 3)
    assert x.T[1].untyped_storage().tolist() == [0, 0, 1, 0, 2, 0, 3, 0, 4, 0, 5, 0]
    assert x[1:].untyped_storage().data_ptr() == x.data_ptr() and x.untyped_storage() == x[1:].untyped_storage()
    assert torch.ones(2).view(dtype=torch.int32).tolist() == [1065353216] * 2
