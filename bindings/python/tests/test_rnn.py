"""Recurrent layers, their cells, and packed sequences. Values, keys and printed forms: tests/fixtures/layers_run.txt."""

import copy
import pickle
import warnings

import pytest

import taper as torch
from taper import nn
from taper.nn.utils import rnn as R

KINDS = [
    lambda **k: nn.RNN(3, 4, **k),
    lambda **k: nn.RNN(3, 4, nonlinearity="relu", **k),
    lambda **k: nn.GRU(3, 4, **k),
    lambda **k: nn.LSTM(3, 4, **k),
    lambda **k: nn.LSTM(3, 5, proj_size=4, **k),
]


def parts(state):
    return state if isinstance(state, tuple) else (state,)


def close(a, b):
    return torch.allclose(a, b, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("make", KINDS)
@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("batch_first", [False, True])
def test_a_packed_batch_is_its_sequences_one_by_one(make, bidirectional, batch_first):
    torch.manual_seed(3)
    m = make(num_layers=2, bidirectional=bidirectional, batch_first=batch_first)
    lengths = [2, 5, 1, 5]
    alone = [torch.randn(n, 3) for n in lengths]
    padded = R.pad_sequence(alone, batch_first=batch_first, padding_value=9.0)
    packed = R.pack_padded_sequence(padded, lengths, batch_first=batch_first, enforce_sorted=False)
    out, state = m(packed)
    assert type(out) is R.PackedSequence
    out, counts = R.pad_packed_sequence(out, batch_first=batch_first, padding_value=-1.0)
    assert counts.tolist() == lengths
    for i, x in enumerate(alone):
        own, last = m(x)
        row = out[i] if batch_first else out[:, i]
        assert close(row[: len(x)], own) and (row[len(x) :] == -1).all()
        for both, single in zip(parts(state), parts(last)):
            assert close(both[:, i], single)


@pytest.mark.parametrize("make", KINDS)
def test_gradients_flow_through_a_packed_batch_as_through_its_sequences(make):
    torch.manual_seed(4)
    m = make(num_layers=2, bidirectional=True)
    alone = [torch.randn(n, 3) for n in (4, 2, 1)]

    def slopes(loss):
        m.zero_grad()
        loss.backward()
        return [p.grad.clone() for p in m.parameters()]

    out, state = m(R.pack_sequence(alone))
    wanted = 0
    for x in alone:
        own, last = m(x)
        wanted = wanted + own.sin().sum() + sum((s * s).sum() for s in parts(last))
    packed = out.data.sin().sum() + sum((s * s).sum() for s in parts(state))
    for a, b in zip(slopes(packed), slopes(wanted)):
        assert close(a, b)


@pytest.mark.parametrize("make", KINDS)
def test_a_given_state_goes_on_where_a_sequence_stopped(make):
    torch.manual_seed(5)
    m = make(num_layers=2)
    x = torch.randn(6, 2, 3)
    whole, last = m(x)
    first, state = m(x[:4])
    second, state = m(x[4:], state)
    assert close(torch.cat([first, second]), whole)
    assert all(close(a, b) for a, b in zip(parts(state), parts(last)))


@pytest.mark.parametrize("layer, cell", [(nn.RNN, nn.RNNCell), (nn.GRU, nn.GRUCell), (nn.LSTM, nn.LSTMCell)])
def test_a_cell_is_a_layer_step_by_step(layer, cell):
    m, c = layer(3, 4), cell(3, 4)
    for name, p in c.named_parameters():
        p.data.copy_(getattr(m, name + "_l0").data)
    x, state = torch.randn(5, 2, 3), None
    out, _ = m(x)
    for t in range(5):
        state = c(x[t], state)
        assert close(parts(state)[0], out[t])
    assert parts(c(x[0, 0]))[0].shape == (4,)


def test_dropout_acts_between_layers_and_in_training_alone():
    torch.manual_seed(0)
    m = nn.LSTM(3, 4, 2, dropout=0.5)
    x = torch.randn(5, 2, 3)
    assert not close(m(x)[0], m(x)[0])
    m.eval()
    assert close(m(x)[0], m(x)[0])
    with pytest.warns(UserWarning, match="non-zero dropout expects num_layers greater than 1"):
        nn.GRU(3, 4, dropout=0.2)


def test_copies_pickles_and_states():
    m = nn.GRU(3, 4, 2, bidirectional=True)
    x = torch.randn(5, 2, 3)
    for other in (copy.deepcopy(m), pickle.loads(pickle.dumps(m))):
        assert close(other(x)[0], m(x)[0])
    fresh = nn.GRU(3, 4, 2, bidirectional=True)
    fresh.load_state_dict(m.state_dict())
    assert close(fresh(x)[0], m(x)[0])
    # A weight that is put in the place of another is the one that is used.
    m.weight_ih_l0 = nn.Parameter(torch.zeros(12, 3))
    assert not close(fresh(x)[0], m(x)[0])
    assert [len(w) for w in m.all_weights] == [4] * 4 and len(m._flat_weights) == 16
    m.flatten_parameters()


def test_packing():
    p = R.pack_padded_sequence(torch.arange(12.0).reshape(3, 2, 2), [3, 2])
    assert p.data.tolist() == [[0, 1], [2, 3], [4, 5], [6, 7], [8, 9]]
    assert p.batch_sizes.tolist() == [2, 2, 1] and p.sorted_indices is None
    q = R.pack_padded_sequence(torch.zeros(3, 2, 2), torch.tensor([2, 3]), enforce_sorted=False)
    assert q.sorted_indices.tolist() == [1, 0] and q.unsorted_indices.tolist() == [1, 0]
    assert q.double().data.dtype == torch.float64 and q.to(torch.float32) is q and q.is_cuda == q.data.is_cuda
    rows, lengths = R.pad_packed_sequence(q, batch_first=True, padding_value=-1.0, total_length=5)
    assert rows.shape == (2, 5, 2) and lengths.tolist() == [2, 3] and (rows[0, 2:] == -1).all()
    assert [s.tolist() for s in R.unpack_sequence(R.pack_sequence([torch.ones(3), torch.zeros(1)]))] == [[1, 1, 1], [0]]


@pytest.mark.parametrize(
    "kind, text, f",
    [
        (RuntimeError, "must be sorted in decreasing order", lambda: R.pack_padded_sequence(torch.zeros(3, 2, 2), [2, 3])),
        (RuntimeError, "greater than 0", lambda: R.pack_padded_sequence(torch.zeros(3, 2, 2), [2, 0])),
        (RuntimeError, "equal to batch_size, but got 1", lambda: R.pack_padded_sequence(torch.zeros(3, 2, 2), [3])),
        (RuntimeError, "at most the 3 steps of input, but got 4", lambda: R.pack_padded_sequence(torch.zeros(3, 2, 2), [4, 1])),
        (ValueError, "total_length=2", lambda: R.pad_packed_sequence(R.pack_sequence([torch.zeros(3)]), total_length=2)),
        (ValueError, "Unknown nonlinearity 'sig'", lambda: nn.RNN(3, 4, nonlinearity="sig")),
        (ValueError, "proj_size argument is only supported for LSTM", lambda: nn.GRU(3, 4, proj_size=2)),
        (ValueError, "proj_size has to be smaller than hidden_size", lambda: nn.LSTM(3, 4, proj_size=4)),
        (ValueError, "dropout should be a number in range", lambda: nn.GRU(3, 4, dropout=2)),
        (TypeError, "hidden_size should be of type int, got: float", lambda: nn.GRU(3, 4.5)),
        (ValueError, "num_layers must be greater than zero", lambda: nn.GRU(3, 4, 0)),
        (ValueError, "LSTM: Expected input to be 2D or 3D, got 4D instead", lambda: nn.LSTM(3, 4)(torch.zeros(2, 2, 2, 3))),
        (RuntimeError, "equal to input_size. Expected 3, got 7", lambda: nn.LSTM(3, 4)(torch.zeros(5, 2, 7))),
        (RuntimeError, r"Expected hidden size \(1, 2, 4\), got \[1, 3, 4\]",
         lambda: nn.RNN(3, 4)(torch.zeros(5, 2, 3), torch.zeros(1, 3, 4))),
        (RuntimeError, "For batched 3-D input, hx should also be 3-D",
         lambda: nn.RNN(3, 4)(torch.zeros(5, 2, 3), torch.zeros(2, 4))),
        (RuntimeError, "larger than 0 in RNN", lambda: nn.GRU(3, 4)(torch.zeros(0, 2, 3))),
        (ValueError, "does not match weight dtype", lambda: nn.GRU(3, 4)(torch.zeros(5, 2, 3, dtype=torch.float64))),
        (ValueError, "RNNCell: Expected input to be 1D or 2D", lambda: nn.RNNCell(3, 4)(torch.zeros(2, 2, 3))),
        (RuntimeError, "got 5 expected 3", lambda: nn.RNNCell(3, 4)(torch.zeros(2, 5))),
        (RuntimeError, "batch size 2 doesn't match hidden0 batch size 3",
         lambda: nn.GRUCell(3, 4)(torch.zeros(2, 3), torch.zeros(3, 4))),
        (RuntimeError, "got 5, expected 4", lambda: nn.GRUCell(3, 4)(torch.zeros(2, 3), torch.zeros(2, 5))),
        (TypeError, "must be tuple of Tensors", lambda: nn.LSTMCell(3, 4)(torch.zeros(2, 3), torch.zeros(2, 4))),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_refused(kind, text, f):
    with pytest.raises(kind, match=text):
        f()


def test_an_op_says_what_its_weights_lack():
    x, h = torch.zeros(5, 2, 3), torch.zeros(1, 2, 4)
    good = [torch.zeros(12, 3), torch.zeros(12, 4), torch.zeros(12), torch.zeros(12)]
    with pytest.raises(RuntimeError, match="take 4 parameters each, but got 3"):
        torch.gru(x, h, good[:3], True, 1, 0.0, False, False, False)
    with pytest.raises(RuntimeError, match="b_hh must be"):
        torch.gru(x, h, good[:3] + [torch.zeros(5)], True, 1, 0.0, False, False, False)
    with pytest.raises(RuntimeError, match=r"w_hh must be \(12, 3\), got \[12, 4\]"):
        torch.lstm(x, (h, h), good, True, 1, 0.0, False, False, False)
    for other in (torch.float64, torch.float16, torch.int64):
        with pytest.raises(RuntimeError, match="not the same dtype"):
            torch.lstm(
                x, (h, h.to(other)), [torch.zeros(16, 3), torch.zeros(16, 4)], False, 1, 0.0, False, False, False
            )
    with pytest.raises(RuntimeError, match="must sum to the rows of data"):
        torch.gru(torch.zeros(4, 3), torch.tensor([2, 1]), h, good, True, 1, 0.0, False, False)
    with pytest.raises(RuntimeError, match="must not grow"):
        torch.gru(torch.zeros(3, 3), torch.tensor([1, 2]), h, good, True, 1, 0.0, False, False)


def test_long_sequences_cost_memory_once():
    # A gradient of the whole input for each of its steps would be 800 MB.
    m = nn.GRU(4, 8)
    x = torch.randn(2000, 1, 4, requires_grad=True)
    m(x)[0].sum().backward()
    assert x.grad.shape == x.shape and x.grad.isfinite().all()


def test_second_derivatives():
    m = nn.LSTM(2, 3).double()
    x = torch.randn(4, 1, 2, dtype=torch.float64, requires_grad=True)
    (g,) = torch.autograd.grad(m(x)[0].sin().sum(), x, create_graph=True)
    (gg,) = torch.autograd.grad((g * g).sum(), x)
    step = torch.zeros_like(x)
    step[1, 0, 1] = 1e-5

    def slope(at):
        at = at.detach().requires_grad_()
        (s,) = torch.autograd.grad(m(at)[0].sin().sum(), at)
        return (s * s).sum()

    difference = (slope(x + step) - slope(x - step)) / 2e-5
    assert abs(difference - gg[1, 0, 1]) < 1e-6


def test_automatic_casts():
    m = nn.LSTM(3, 4)
    x = torch.randn(5, 2, 3)
    with torch.autocast(x.device.type, dtype=torch.bfloat16):
        out, _ = m(x)
    assert out.dtype == torch.bfloat16
    assert (out.float() - m(x)[0]).abs().max() < 0.05


@pytest.mark.cpu_only("recorded draws are the CPU's")
def test_an_lstm_learns_as_pytorchs():
    torch.manual_seed(1)
    m, head = nn.LSTM(1, 8, batch_first=True), nn.Linear(8, 1)
    optimizer = torch.optim.Adam([*m.parameters(), *head.parameters()], lr=0.05)
    x = (torch.rand(64, 10, 1) > 0.5).float()
    y, losses = x.sum(1), []
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for _ in range(51):
            optimizer.zero_grad()
            loss = ((head(m(x)[0][:, -1]) - y) ** 2).mean()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
    # PyTorch 2.15 with the same seed.
    assert [losses[0], losses[10], losses[50]] == pytest.approx(
        [30.15325164794922, 4.418670177459717, 2.998727321624756], rel=1e-5
    )
