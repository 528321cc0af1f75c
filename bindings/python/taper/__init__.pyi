"""Types of the package for editors and type checkers; the ops come from the generated `_ops_gen.pyi`."""

from collections.abc import Sequence
from typing import Any

from . import accelerator as accelerator
from . import amp as amp
from . import ao as ao
from . import array_api as array_api
from . import autograd as autograd
from . import backends as backends
from . import checkpoint as checkpoint
from . import compiler as compiler
from . import cpu as cpu
from . import cuda as cuda
from . import distributed as distributed
from . import distributions as distributions
from . import fft as fft
from . import func as func
from . import functional as functional
from . import futures as futures
from . import fx as fx
from . import hub as hub
from . import jit as jit
from . import library as library
from . import linalg as linalg
from . import mps as mps
from . import multiprocessing as multiprocessing
from . import nn as nn
from . import onnx as onnx
from . import opencl as opencl
from . import optim as optim
from . import overrides as overrides
from . import profiler as profiler
from . import provide_torch as provide_torch
from . import random as random
from . import safetensors as safetensors
from . import serialization as serialization
from . import signal as signal
from . import special as special
from . import storage as storage
from . import torch_version as torch_version
from . import testing as testing
from . import types as types
from . import utils as utils
from . import version as version
from ._custom_ops import ops as ops
from ._convert import from_numpy as from_numpy
from ._dlpack import from_dlpack as from_dlpack
from ._dtype import Size as Size
from ._dtype import bfloat16 as bfloat16
from ._dtype import bool as bool
from ._dtype import channels_last as channels_last
from ._dtype import channels_last_3d as channels_last_3d
from ._dtype import contiguous_format as contiguous_format
from ._dtype import device as device
from ._dtype import double as double
from ._dtype import dtype as dtype
from ._dtype import float as float
from ._dtype import float16 as float16
from ._dtype import float32 as float32
from ._dtype import cdouble as cdouble
from ._dtype import cfloat as cfloat
from ._dtype import complex64 as complex64
from ._dtype import complex128 as complex128
from ._dtype import float64 as float64
from ._dtype import half as half
from ._dtype import int as int
from ._dtype import int8 as int8
from ._dtype import int16 as int16
from ._dtype import int32 as int32
from ._dtype import int64 as int64
from ._dtype import layout as layout
from ._dtype import long as long
from ._dtype import memory_format as memory_format
from ._dtype import preserve_format as preserve_format
from ._dtype import short as short
from ._dtype import sparse_coo as sparse_coo
from ._dtype import strided as strided
from ._dtype import uint8 as uint8
from ._errors import Error as Error
from ._errors import OutOfMemoryError as OutOfMemoryError
from ._grad_mode import enable_grad as enable_grad
from ._grad_mode import inference_mode as inference_mode
from ._grad_mode import is_grad_enabled as is_grad_enabled
from ._grad_mode import no_grad as no_grad
from ._grad_mode import set_grad_enabled as set_grad_enabled
from ._limits import finfo as finfo
from ._limits import iinfo as iinfo
from ._linalg import cholesky as cholesky
from ._linalg import eig as eig
from ._linalg import lstsq as lstsq
from ._linalg import lu as lu
from ._linalg import matrix_rank as matrix_rank
from ._linalg import nuclear_norm as nuclear_norm
from ._linalg import pca_lowrank as pca_lowrank
from ._linalg import qr as qr
from ._linalg import solve as solve
from ._linalg import svd_lowrank as svd_lowrank
from ._linalg import symeig as symeig
from ._ops_gen import *
from ._dtype import dtype as _dtype
from ._ops_gen import _bool, _Device, _float, _int, _Ints, _Number, _str, _values_indices
from ._random import Generator as Generator
from ._random import default_generator as default_generator
from ._random import get_rng_state as get_rng_state
from ._random import initial_seed as initial_seed
from ._random import manual_seed as manual_seed
from ._random import seed as seed
from ._random import set_rng_state as set_rng_state
from ._seldom import adjoint as adjoint
from ._seldom import affine_grid_generator as affine_grid_generator
from ._seldom import alias_copy as alias_copy
from ._seldom import as_strided_copy as as_strided_copy
from ._seldom import compiled_with_cxx11_abi as compiled_with_cxx11_abi
from ._seldom import cond as cond
from ._seldom import conj as conj
from ._seldom import conj_physical as conj_physical
from ._seldom import detach_copy as detach_copy
from ._seldom import diagonal_copy as diagonal_copy
from ._seldom import expand_copy as expand_copy
from ._seldom import get_deterministic_debug_mode as get_deterministic_debug_mode
from ._seldom import get_device as get_device
from ._seldom import grid_sampler_2d as grid_sampler_2d
from ._seldom import grid_sampler_3d as grid_sampler_3d
from ._seldom import histogramdd as histogramdd
from ._seldom import init_num_threads as init_num_threads
from ._seldom import is_conj as is_conj
from ._seldom import is_distributed as is_distributed
from ._seldom import is_inference as is_inference
from ._seldom import is_neg as is_neg
from ._seldom import is_signed as is_signed
from ._seldom import is_vulkan_available as is_vulkan_available
from ._seldom import is_warn_always_enabled as is_warn_always_enabled
from ._seldom import isreal as isreal
from ._seldom import native_channel_shuffle as native_channel_shuffle
from ._seldom import permute_copy as permute_copy
from ._seldom import real as real
from ._seldom import resize_as_ as resize_as_
from ._seldom import resolve_conj as resolve_conj
from ._seldom import resolve_neg as resolve_neg
from ._seldom import select_copy as select_copy
from ._seldom import set_deterministic_debug_mode as set_deterministic_debug_mode
from ._seldom import set_warn_always as set_warn_always
from ._seldom import slice_copy as slice_copy
from ._seldom import slice_inverse as slice_inverse
from ._seldom import split_copy as split_copy
from ._seldom import split_with_sizes_copy as split_with_sizes_copy
from ._seldom import squeeze_copy as squeeze_copy
from ._seldom import sym_float as sym_float
from ._seldom import sym_int as sym_int
from ._seldom import sym_ite as sym_ite
from ._seldom import sym_max as sym_max
from ._seldom import sym_min as sym_min
from ._seldom import sym_not as sym_not
from ._seldom import sym_sqrt as sym_sqrt
from ._seldom import sym_sum as sym_sum
from ._seldom import t_copy as t_copy
from ._seldom import transpose_copy as transpose_copy
from ._seldom import unbind_copy as unbind_copy
from ._seldom import unfold_copy as unfold_copy
from ._seldom import unsafe_chunk as unsafe_chunk
from ._seldom import unsafe_split as unsafe_split
from ._seldom import unsafe_split_with_sizes as unsafe_split_with_sizes
from ._seldom import unsqueeze_copy as unsqueeze_copy
from ._seldom import view_copy as view_copy
from ._seldom import while_loop as while_loop
from ._settings import *
from ._tensor import Tensor as Tensor
from .amp import autocast as autocast
from .amp.autocast_mode import clear_autocast_cache as clear_autocast_cache
from .amp.autocast_mode import get_autocast_cpu_dtype as get_autocast_cpu_dtype
from .amp.autocast_mode import get_autocast_dtype as get_autocast_dtype
from .amp.autocast_mode import get_autocast_gpu_dtype as get_autocast_gpu_dtype
from .amp.autocast_mode import is_autocast_cache_enabled as is_autocast_cache_enabled
from .amp.autocast_mode import is_autocast_cpu_enabled as is_autocast_cpu_enabled
from .amp.autocast_mode import is_autocast_enabled as is_autocast_enabled
from .amp.autocast_mode import set_autocast_cache_enabled as set_autocast_cache_enabled
from .amp.autocast_mode import set_autocast_cpu_dtype as set_autocast_cpu_dtype
from .amp.autocast_mode import set_autocast_cpu_enabled as set_autocast_cpu_enabled
from .amp.autocast_mode import set_autocast_dtype as set_autocast_dtype
from .amp.autocast_mode import set_autocast_enabled as set_autocast_enabled
from .amp.autocast_mode import set_autocast_gpu_dtype as set_autocast_gpu_dtype
from .nn.functional import (
    adaptive_avg_pool1d as adaptive_avg_pool1d,
    bilinear as bilinear,
    celu as celu,
    hardshrink as hardshrink,
    pairwise_distance as pairwise_distance,
    prelu as prelu,
    selu as selu,
    threshold as threshold,
)
from .nn.functional import (
    alpha_dropout as alpha_dropout,
)
from .nn.functional import (
    feature_alpha_dropout as feature_alpha_dropout,
)
from .nn.functional import (
    avg_pool1d as avg_pool1d,
)
from .nn.functional import (
    batch_norm as batch_norm,
)
from .nn.functional import (
    conv1d as conv1d,
)
from .nn.functional import (
    conv2d as conv2d,
)
from .nn.functional import (
    conv3d as conv3d,
)
from .nn.functional import (
    conv_transpose1d as conv_transpose1d,
)
from .nn.functional import (
    conv_transpose2d as conv_transpose2d,
)
from .nn.functional import (
    conv_transpose3d as conv_transpose3d,
)
from .nn.functional import (
    cosine_similarity as cosine_similarity,
)
from .nn.functional import (
    dropout as dropout,
)
from .nn.functional import (
    dropout_ as dropout_,
)
from .nn.functional import (
    feature_dropout as feature_dropout,
)
from .nn.functional import (
    group_norm as group_norm,
)
from .nn.functional import (
    instance_norm as instance_norm,
)
from .nn.functional import (
    layer_norm as layer_norm,
)
from .nn.functional import (
    max_pool1d as max_pool1d,
)
from .nn.functional import (
    max_pool2d as max_pool2d,
)
from .nn.functional import (
    max_pool3d as max_pool3d,
)
from .nn.functional import (
    pixel_shuffle as pixel_shuffle,
)
from .nn.functional import (
    rms_norm as rms_norm,
)
from .serialization import load as load
from .serialization import save as save
from .storage import UntypedStorage as UntypedStorage
from .func import vmap as vmap

__version__: _str
pi: _float
e: _float
inf: _float
nan: _float
newaxis: None

def tensor(
    data: Any,
    *,
    dtype: _dtype | type[Any] | None = ...,
    device: _Device = ...,
    requires_grad: _bool = ...,
    pin_memory: _bool = ...,
) -> Tensor:
    """A tensor with a copy of data: a number, nested sequences, a NumPy array or a tensor."""

def as_tensor(data: Any, dtype: _dtype | type[Any] | None = ..., device: _Device = ...) -> Tensor:
    """Data as a tensor, without copying where a tensor or array already has the dtype and device."""

def asarray(
    obj: Any,
    *,
    dtype: _dtype | None = ...,
    device: _Device = ...,
    copy: _bool | None = ...,
    requires_grad: _bool = ...,
) -> Tensor:
    """Data as a tensor; copied when copy is True, shared when it can be otherwise."""

def frombuffer(
    buffer: Any, *, dtype: _dtype, count: _int = ..., offset: _int = ..., requires_grad: _bool = ...
) -> Tensor:
    """A one-dimensional tensor over a buffer's memory."""

def get_default_dtype() -> _dtype:
    """The dtype of tensors made from floats when none is named."""

class BFloat16Tensor(Tensor): ...
class BoolTensor(Tensor): ...
class ByteTensor(Tensor): ...
class CharTensor(Tensor): ...
class DoubleTensor(Tensor): ...
class FloatTensor(Tensor): ...
class HalfTensor(Tensor): ...
class IntTensor(Tensor): ...
class LongTensor(Tensor): ...
class ComplexFloatTensor(Tensor): ...
class ComplexDoubleTensor(Tensor): ...
class ShortTensor(Tensor): ...

def addbmm(
    input: Tensor, batch1: Tensor, batch2: Tensor, *, beta: _Number = ..., alpha: _Number = ..., out: Any = ...
) -> Tensor: ...
def addmv(
    input: Tensor, mat: Tensor, vec: Tensor, *, beta: _Number = ..., alpha: _Number = ..., out: Any = ...
) -> Tensor: ...
def addr(
    input: Tensor, vec1: Tensor, vec2: Tensor, *, beta: _Number = ..., alpha: _Number = ..., out: Any = ...
) -> Tensor: ...
def all(input: Tensor, dim: _Ints | None = ..., keepdim: _bool = ..., *, out: Any = ...) -> Tensor: ...
def any(input: Tensor, dim: _Ints | None = ..., keepdim: _bool = ..., *, out: Any = ...) -> Tensor: ...
def arange(
    start: _Number,
    end: _Number = ...,
    step: _Number = ...,
    *,
    dtype: _dtype | None = ...,
    device: _Device = ...,
    layout: Any = ...,
    pin_memory: _bool = ...,
    requires_grad: _bool = ...,
    out: Any = ...,
) -> Tensor: ...
def argsort(
    input: Tensor, dim: _int = ..., descending: _bool = ..., stable: _bool = ..., *, out: Any = ...
) -> Tensor: ...
def atleast_1d(*tensors: Any) -> Any: ...
def atleast_2d(*tensors: Any) -> Any: ...
def atleast_3d(*tensors: Any) -> Any: ...
def block_diag(*tensors: Tensor) -> Tensor: ...
def broadcast_shapes(*shapes: Any) -> Size: ...
def broadcast_tensors(*tensors: Any) -> tuple[Tensor, ...]: ...
def can_cast(from_: _dtype, to: _dtype) -> _bool: ...
def cartesian_prod(*tensors: Tensor) -> Tensor: ...
def cdist(input: Tensor, x2: Tensor, p: _Number = ..., *, out: Any = ...) -> Tensor: ...
def chain_matmul(*matrices: Any) -> Tensor: ...
def clamp_(input: Tensor, min: Tensor | _Number | None = ..., max: Tensor | _Number | None = ...) -> Tensor: ...
def column_stack(tensors: Sequence[Tensor], *, out: Any = ...) -> Tensor: ...
def combinations(input: Tensor, r: _int = ..., with_replacement: _bool = ...) -> Tensor: ...
def count_nonzero(input: Tensor, dim: _Ints | None = ..., *, out: Any = ...) -> Tensor: ...
def cross(input: Tensor, other: Tensor, dim: _int | None = ..., *, out: Any = ...) -> Tensor: ...
def diff(
    input: Tensor,
    n: _int = ...,
    dim: _int = ...,
    prepend: Tensor | None = ...,
    append: Tensor | None = ...,
    *,
    out: Any = ...,
) -> Tensor: ...
def div(input: Tensor, other: Tensor | _Number, *, rounding_mode: _str | None = ..., out: Any = ...) -> Tensor: ...
def div_(input: Tensor, other: Tensor | _Number, *, rounding_mode: _str | None = ...) -> Tensor: ...
def dstack(tensors: Sequence[Tensor], *, out: Any = ...) -> Tensor: ...
def einsum(equation: _str, *operands: Any) -> Tensor: ...
def fliplr(input: Tensor) -> Tensor: ...
def flipud(input: Tensor) -> Tensor: ...
def hstack(tensors: Sequence[Tensor], *, out: Any = ...) -> Tensor: ...
def is_complex(input: Tensor) -> _bool: ...
def is_floating_point(input: Tensor) -> _bool: ...
def is_nonzero(input: Tensor) -> _bool: ...
def is_same_size(input: Tensor, other: Tensor) -> _bool: ...
def is_tensor(obj: Any) -> _bool: ...
def kron(input: Tensor, other: Tensor, *, out: Any = ...) -> Tensor: ...
def meshgrid(*tensors: Any, indexing: _str | None = ...) -> tuple[Tensor, ...]: ...
def movedim(input: Tensor, source: _Ints, destination: _Ints) -> Tensor: ...
def nonzero(input: Tensor, *, as_tuple: _bool = ...) -> Any: ...
def norm(
    input: Tensor,
    p: _Number | _str | None = ...,
    dim: _Ints | None = ...,
    keepdim: _bool = ...,
    out: Tensor | None = ...,
    dtype: _dtype | None = ...,
) -> Tensor: ...
def normal(
    mean: Tensor | _Number = ...,
    std: Tensor | _Number = ...,
    size: Sequence[_int] = ...,
    *,
    generator: Generator | None = ...,
    dtype: _dtype | None = ...,
    device: _Device = ...,
    requires_grad: _bool = ...,
    out: Any = ...,
) -> Tensor: ...
def numel(input: Tensor) -> _int: ...
def promote_types(type1: _dtype, type2: _dtype) -> _dtype: ...
def randint(
    *args: Any,
    low: _int = ...,
    high: _int = ...,
    size: Sequence[_int] = ...,
    generator: Generator | None = ...,
    dtype: _dtype | None = ...,
    device: _Device = ...,
    requires_grad: _bool = ...,
    out: Any = ...,
) -> Tensor: ...
def randint_like(
    input: Tensor,
    *args: _int,
    low: _int = ...,
    high: _int = ...,
    dtype: _dtype | None = ...,
    device: _Device = ...,
    requires_grad: _bool = ...,
) -> Tensor: ...
def range(
    start: _Number,
    end: _Number = ...,
    step: _Number = ...,
    *,
    dtype: _dtype | None = ...,
    device: _Device = ...,
    requires_grad: _bool = ...,
) -> Tensor: ...
def result_type(tensor1: Tensor | _Number, tensor2: Tensor | _Number) -> _dtype: ...
def rot90(input: Tensor, k: _int = ..., dims: Sequence[_int] = ...) -> Tensor: ...
def scalar_tensor(
    value: _Number, *, dtype: _dtype | None = ..., device: _Device = ..., requires_grad: _bool = ...
) -> Tensor: ...
def scatter(
    input: Tensor,
    dim: _int,
    index: Tensor,
    src: Tensor | _Number = ...,
    *,
    value: _Number = ...,
    reduce: _str | None = ...,
) -> Tensor: ...
def scatter_(
    input: Tensor,
    dim: _int,
    index: Tensor,
    src: Tensor | _Number = ...,
    *,
    value: _Number = ...,
    reduce: _str | None = ...,
) -> Tensor: ...
def sort(
    input: Tensor, dim: _int = ..., descending: _bool = ..., stable: _bool = ..., *, out: Any = ...
) -> _values_indices: ...
def split(input: Tensor, split_size_or_sections: _Ints, dim: _int = ...) -> tuple[Tensor, ...]: ...
def std(
    input: Tensor,
    dim: _Ints | None = ...,
    unbiased: _bool = ...,
    keepdim: _bool = ...,
    *,
    correction: _Number = ...,
    out: Any = ...,
) -> Tensor: ...
def std_mean(
    input: Tensor,
    dim: _Ints | None = ...,
    unbiased: _bool = ...,
    keepdim: _bool = ...,
    *,
    correction: _Number = ...,
    out: Any = ...,
) -> tuple[Tensor, Tensor]: ...
def swapaxes(input: Tensor, axis0: _int, axis1: _int) -> Tensor: ...
def tensor_split(input: Tensor, indices_or_sections: _Ints | Tensor, dim: _int = ...) -> tuple[Tensor, ...]: ...
def tensordot(input: Tensor, other: Tensor, dims: Any = ...) -> Tensor: ...
def transpose(input: Tensor, dim0: _int, dim1: _int) -> Tensor: ...
def trapezoid(y: Tensor, x: Tensor | None = ..., *, dx: _Number = ..., dim: _int = ...) -> Tensor: ...
def unique(
    input: Tensor,
    sorted: _bool = ...,
    return_inverse: _bool = ...,
    return_counts: _bool = ...,
    dim: _int | None = ...,
) -> Any: ...
def unique_consecutive(
    input: Tensor, return_inverse: _bool = ..., return_counts: _bool = ..., dim: _int | None = ...
) -> Any: ...
def var(
    input: Tensor,
    dim: _Ints | None = ...,
    unbiased: _bool = ...,
    keepdim: _bool = ...,
    *,
    correction: _Number = ...,
    out: Any = ...,
) -> Tensor: ...
def var_mean(
    input: Tensor,
    dim: _Ints | None = ...,
    unbiased: _bool = ...,
    keepdim: _bool = ...,
    *,
    correction: _Number = ...,
    out: Any = ...,
) -> tuple[Tensor, Tensor]: ...
def vstack(tensors: Sequence[Tensor], *, out: Any = ...) -> Tensor: ...
def where(condition: Tensor, input: Tensor | _Number = ..., other: Tensor | _Number = ...) -> Any: ...

subtract = sub
subtract_ = sub_
multiply = mul
multiply_ = mul_
divide = div
true_divide = div
negative = neg
negative_ = neg_
absolute = abs
absolute_ = abs_
arccos_ = acos_
arccosh_ = acosh_
arcsin_ = asin_
arcsinh_ = asinh_
arctan_ = atan_
arctanh_ = atanh_
fix_ = trunc_
true_divide_ = div_
arccos = acos
arcsin = asin
arctan = atan
arctan2 = atan2
arccosh = acosh
arcsinh = asinh
arctanh = atanh
fix = trunc
clip = clamp
greater = gt
greater_equal = ge
less = lt
less_equal = le
not_equal = ne
concat = cat
concatenate = cat
swapdims = swapaxes
moveaxis = movedim
ger = outer
vdot = dot
row_stack = vstack
trapz = trapezoid
clip_ = clamp_
divide_ = div_
