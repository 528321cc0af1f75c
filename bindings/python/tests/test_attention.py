"""Attention: the product, all heads, layers of the Transformer. Values and errors are PyTorch's (fixtures/attention.py)."""

import copy
import importlib.util
import io
import json
import os
import pickle
import warnings

import pytest

import taper as torch
from taper import nn
from taper.nn.attention import SDPBackend, sdpa_kernel

HERE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "fixtures")
spec = importlib.util.spec_from_file_location("attention_cases", os.path.join(HERE, "attention.py"))
recorded = importlib.util.module_from_spec(spec)
spec.loader.exec_module(recorded)
with open(os.path.join(HERE, "attention.json")) as f:
    FOUND = json.load(f)


@pytest.fixture(autouse=True)
def quiet():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def same(ours, theirs):
    if theirs is None or isinstance(theirs, str):
        return ours == theirs
    (shape, values), (wanted, numbers) = recorded.told(ours), theirs
    return shape == wanted and values == pytest.approx(numbers, rel=2e-4, abs=2e-5, nan_ok=True)


@pytest.mark.cpu_only("recorded draws are the CPU's")
def test_values_gradients_keys_and_texts_are_pytorchs():
    for name, call in recorded.CASES.items():
        ours, theirs = call(torch), FOUND["cases"][name]
        assert len(ours) == len(theirs), name
        for i, (a, b) in enumerate(zip(ours, theirs)):
            assert same(a, b), f"{name}, result {i}: {a if isinstance(a, str) else recorded.told(a)} is not {b}"


@pytest.mark.parametrize("name", recorded.ERRORS)
def test_errors_are_pytorchs(name):
    assert recorded.error(torch, recorded.ERRORS[name]) == FOUND["errors"][name]


def small(**k):
    torch.manual_seed(4)
    return nn.Transformer(8, 2, 1, 1, 16, dropout=0.0, **k)


def test_copies_pickles_and_state_dicts_keep_the_values():
    m, src, tgt = small(activation="gelu"), torch.randn(4, 2, 8), torch.randn(3, 2, 8)
    wanted = m(src, tgt)
    for other in (copy.deepcopy(m), pickle.loads(pickle.dumps(m))):
        assert torch.equal(other(src, tgt), wanted)
    other = nn.Transformer(8, 2, 1, 1, 16, dropout=0.0, activation="gelu")
    assert other.load_state_dict(m.state_dict()) == ([], [])
    assert torch.allclose(other(src, tgt), wanted)
    file = io.BytesIO()
    torch.save(m.state_dict(), file)
    file.seek(0)
    assert list(torch.load(file)) == list(m.state_dict())
    older = m.encoder.layers[0].self_attn
    state = dict(older.__dict__)
    del state["_qkv_same_embed_dim"]
    new = nn.MultiheadAttention.__new__(nn.MultiheadAttention)
    new.__setstate__(state)
    assert new._qkv_same_embed_dim


@pytest.mark.cpu_only("it looks at addresses")
def test_layers_of_a_stack_are_copies():
    first = nn.TransformerEncoderLayer(8, 2, 16)
    m = nn.TransformerEncoder(first, 3)
    weights = [layer.linear1.weight for layer in m.layers]
    assert len({w.data_ptr() for w in (*weights, first.linear1.weight)}) == 4
    assert all(torch.equal(w, first.linear1.weight) for w in weights)
    assert m.norm is None and "norm" not in dict(m.named_children())


def test_subclasses_may_change_a_block():
    class Plain(nn.TransformerEncoderLayer):
        def _ff_block(self, x):
            return torch.zeros_like(x)

        def forward(self, src, src_mask=None, src_key_padding_mask=None, is_causal=False):
            self.seen = is_causal
            return super().forward(src, src_mask, src_key_padding_mask, is_causal)

    m = nn.TransformerEncoder(Plain(8, 2, 16, dropout=0.0), 2)
    m(torch.randn(4, 1, 8), mask=nn.Transformer.generate_square_subsequent_mask(4))
    assert [layer.seen for layer in m.layers] == [True, True]
    m(torch.randn(4, 1, 8), mask=torch.zeros(4, 4))
    assert [layer.seen for layer in m.layers] == [False, False]


def test_custom_parts_take_the_place_of_the_stacks():
    class Memory(nn.Module):
        def forward(self, src, mask=None, src_key_padding_mask=None, is_causal=None):
            return src * 2

    m = nn.Transformer(8, 2, 1, 1, 16, dropout=0.0, custom_encoder=Memory())
    assert not [k for k in m.state_dict() if k.startswith("encoder")]
    src, tgt = torch.randn(4, 1, 8), torch.randn(3, 1, 8)
    assert torch.allclose(m(src, tgt), m.decoder(tgt, src * 2))


def test_dropout_follows_the_mode():
    torch.manual_seed(0)
    m, x = nn.TransformerEncoderLayer(8, 2, 16, dropout=0.5), torch.randn(3, 2, 8)
    assert not torch.equal(m(x), m(x))
    m.eval()
    assert torch.equal(m(x), m(x))
    assert m.self_attn.dropout == 0.5 and m.dropout1.p == 0.5


def test_warnings_tell_of_masks_and_of_nested_tensors():
    m, x = nn.MultiheadAttention(8, 2), torch.randn(3, 2, 8)
    with pytest.warns(UserWarning, match="Support for mismatched key_padding_mask and attn_mask is deprecated"):
        m(x, x, x, key_padding_mask=torch.zeros(2, 3), attn_mask=torch.zeros(3, 3, dtype=torch.bool))
    for layer, why in (
        (nn.TransformerEncoderLayer(8, 2, 16), r"encoder_layer.self_attn.batch_first was not True\(use"),
        (nn.TransformerEncoderLayer(8, 2, 16, norm_first=True), "encoder_layer.norm_first was True"),
        (nn.TransformerEncoderLayer(8, 1, 16, batch_first=True), "encoder_layer.self_attn.num_heads is odd"),
        (nn.Linear(2, 2), "encoder_layer was not TransformerEncoderLayer"),
    ):
        with pytest.warns(UserWarning, match=why):
            assert nn.TransformerEncoder(layer, 1).use_nested_tensor is False


def test_named_kernels_are_kept_and_give_the_same():
    q = torch.randn(2, 3, 4)
    wanted = nn.functional.scaled_dot_product_attention(q, q, q)
    assert [b.name for b in SDPBackend] == [
        "ERROR", "MATH", "FLASH_ATTENTION", "EFFICIENT_ATTENTION", "CUDNN_ATTENTION", "OVERRIDEABLE"
    ]  # fmt: skip
    for named in (SDPBackend.MATH, [SDPBackend.FLASH_ATTENTION, SDPBackend.MATH]):
        with sdpa_kernel(named, set_priority=True):
            assert torch.equal(nn.functional.scaled_dot_product_attention(q, q, q), wanted)
            assert nn.attention._cur_sdpa_kernel_backends() == (named if isinstance(named, list) else [named])
    assert len(nn.attention._cur_sdpa_kernel_backends()) == 5
    with pytest.raises(AssertionError, match="Backend must be an instance of SDPBackend or a list .* got str"):
        with sdpa_kernel("math"):
            pass
