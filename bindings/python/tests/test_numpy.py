"""Memory shared with NumPy and through DLPack."""

import gc
import weakref

import numpy as np
import pytest

import taper as torch

shared = pytest.mark.cpu_only("the memory of other devices is not shared")
DTYPES = ["uint8", "int8", "int16", "int32", "int64", "float16", "float32", "float64", "bool"]


@pytest.mark.parametrize("name", DTYPES)
def test_round_trip_shares_memory(name):
    a = np.array([[0, 1, 2], [3, 4, 5]], dtype=name)
    t = torch.from_numpy(a)
    assert t.dtype is getattr(torch, name) and t.shape == (2, 3)
    assert t.tolist() == a.tolist()
    a[0, 0] = 1
    assert t[0, 0].item() == a[0, 0]
    t[1, 2] = 0
    assert a[1, 2] == 0
    back = t.numpy()
    assert back.dtype == a.dtype and np.shares_memory(back, a)
    back[0, 1] = 0
    assert t[0, 1].item() == 0


def test_strided_arrays_are_shared():
    a = np.arange(24.0).reshape(4, 6)
    t = torch.from_numpy(a[::2, 1::2])
    assert t.stride() == (12, 2)
    t += 100
    assert a[2, 3] == 115 and a[1, 1] == 7
    assert np.array_equal(torch.from_numpy(a.T).numpy(), a.T)


@shared
def test_numpy_of_a_view():
    t = torch.arange(12.0).view(3, 4)
    a = t[1:, ::2].numpy()
    a[0, 0] = -1
    assert t[1, 0].item() == -1
    assert t.T.numpy().strides == (4, 16)


@shared
def test_array_outlives_the_tensor():
    t = torch.arange(1000.0)
    a = t.numpy()
    del t
    gc.collect()
    for _ in range(20):
        torch.zeros(1000)
    assert a.sum() == 999 * 500


def test_tensor_outlives_the_array_and_lets_it_go():
    class Array(np.ndarray):
        pass

    a = np.arange(10.0).view(Array)
    gone = weakref.ref(a)
    t = torch.from_numpy(a)
    v = t[2:]
    del a, t
    gc.collect()
    assert gone() is not None and v.sum().item() == 44
    del v
    gc.collect()
    assert gone() is None


def test_deleter_runs_also_when_creation_fails():
    from taper import _c
    from taper._convert import from_buffer

    before = len(_c.held)
    with pytest.raises(RuntimeError, match="negative"):
        from_buffer(bytearray(16), torch.float32, (-1,))
    assert len(_c.held) == before


def test_odd_addresses():
    a = np.frombuffer(bytearray(33), dtype="u1", offset=1, count=32).view("<f8")
    a[:] = [1, 2, 3, 4]
    with pytest.warns(UserWarning, match="is a copy"):
        t = torch.from_numpy(a)
    assert (t * 2).tolist() == [2, 4, 6, 8]
    with pytest.warns(UserWarning, match="is a copy"):
        t = torch.from_numpy(a[::2])
    assert t.tolist() == [1, 3]
    with pytest.warns(UserWarning, match="is a copy"):
        t = torch.frombuffer(bytearray(b"\0\1\0\0\0\2\0\0\0"), dtype=torch.int32, offset=1)
    assert t.tolist() == [1, 2]


@shared
def test_array_protocol():
    t = torch.tensor([[1.0, 2.0]])
    assert np.asarray(t).tolist() == [[1.0, 2.0]]
    assert np.array(t, dtype=np.int32).dtype == np.int32
    assert np.sqrt(t).dtype == torch.float32
    assert isinstance(np.mean(t.numpy()), np.floating)
    copy = np.array(t)
    copy[0, 0] = 9
    assert t[0, 0].item() == 1.0


@shared
def test_arithmetic_with_arrays():
    t, a = torch.tensor([1.0, 2.0]), np.array([3.0, 4.0])
    assert (t + a).tolist() == [4.0, 6.0]


def test_mixed_arithmetic():
    t = torch.tensor([1.0, 2.0])
    assert (np.float32(2) * t).tolist() == [2.0, 4.0]
    assert (t * np.int64(3)).tolist() == [3.0, 6.0]
    assert t[np.array([1])].tolist() == [2.0]
    assert t[np.int64(1)].item() == 2.0
    assert t[np.array([True, False])].tolist() == [1.0]
    assert torch.zeros(np.int64(2), np.int32(3)).shape == (2, 3)
    assert t.sum(np.int64(0)).item() == 3.0
    t[np.array([0])] = np.array([7.0])
    assert t.tolist() == [7.0, 2.0]


@shared
def test_empty_and_scalar_arrays():
    assert torch.from_numpy(np.zeros((0, 3))).shape == (0, 3)
    assert torch.zeros(2, 0).numpy().shape == (2, 0)
    assert torch.from_numpy(np.array(5)).item() == 5
    assert torch.tensor(3.5).numpy() == 3.5


def test_read_only_arrays_warn():
    a = np.arange(3.0)
    a.flags.writeable = False
    with pytest.warns(UserWarning, match="not writable"):
        torch.from_numpy(a)


@shared
def test_grad_is_an_error():
    t = torch.ones(2, requires_grad=True)
    for export in (lambda: t.numpy(), lambda: np.asarray(t)):
        with pytest.raises(RuntimeError, match="requires grad"):
            export()
    with pytest.raises(BufferError, match="require gradient"):
        t.__dlpack__()
    assert t.detach().numpy().tolist() == [1.0, 1.0]
    assert t.numpy(force=True).tolist() == [1.0, 1.0]


@shared
def test_dlpack_both_ways():
    a = np.arange(6.0).reshape(2, 3)
    t = torch.from_dlpack(a)
    a[0, 0] = 5
    assert t[0, 0].item() == 5
    u = torch.arange(4.0)
    b = np.from_dlpack(u)
    u[1] = 8
    assert b[1] == 8
    v = torch.from_dlpack(u)
    v[0] = 3
    assert u[0].item() == 3
    assert u.__dlpack_device__() == (1, 0)


@shared
def test_dlpack_capsules_are_consumed_once():
    capsule = torch.arange(3.0).__dlpack__()
    assert torch.from_dlpack(capsule).tolist() == [0.0, 1.0, 2.0]
    with pytest.raises(RuntimeError, match="consumed only once"):
        torch.from_dlpack(capsule)
    # A capsule that nobody takes frees its tensor.
    from taper import _c

    before = _c.tensor_handle_count()
    for _ in range(100):
        torch.arange(3.0).__dlpack__()
        torch.arange(3.0).__dlpack__(max_version=(1, 0))
    assert _c.tensor_handle_count() == before


def test_frombuffer():
    data = bytearray(b"\x01\x00\x00\x00\x02\x00\x00\x00")
    t = torch.frombuffer(data, dtype=torch.int32)
    assert t.tolist() == [1, 2]
    t[0] = 7
    assert data[0] == 7
    assert torch.frombuffer(data, dtype=torch.int32, offset=4).tolist() == [2]
    with pytest.raises(ValueError, match="multiple of element size"):
        torch.frombuffer(data, dtype=torch.int32, offset=2)


def test_dtype_of_nested_arrays():
    # The arrays' dtypes count, and promote with numbers beside them.
    def dtype(data):
        return torch.tensor(data).dtype

    assert dtype([np.ones(2), np.zeros(2)]) is torch.float64
    assert dtype([np.ones(2, np.float32), np.zeros(2, np.float32)]) is torch.float32
    assert dtype([np.ones(1, np.int32), [1]]) is torch.int64
    assert dtype([np.ones(1, np.int32), [1.5]]) is torch.float32
    assert dtype([[np.float32(1), np.float64(2)]]) is torch.float64
    assert dtype([np.array([True]), [True]]) is torch.bool
    assert dtype([torch.ones(1, dtype=torch.float16), torch.ones(1, dtype=torch.float16)]) is torch.float16
    assert dtype([np.int16(1), 2.5]) is torch.float32
    assert dtype([np.array([])]) is torch.float64
