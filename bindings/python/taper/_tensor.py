"""class Tensor: a handle of the library with PyTorch's attributes. Ops become methods in `_methods.py`."""

import struct
from ctypes import addressof

from . import _c
from ._c import fail, tls
from ._dtype import Size, device_from_codes, from_code, strided

_unpack = [struct.Struct(f"{n}q").unpack_from for n in range(65)]
_new = object.__new__
_tuple_new = tuple.__new__
_item = tuple.__getitem__


_changes = _c.changes


# What does not change while `_changes` stays is kept with the tensor, each fact with the count before it was read: asking for
# one of them would cost as much as a call of the library.
KEPT = ("_f_size", "_f_ndim", "_f_numel", "_f_dtype", "_f_device", "_f_stride", "_f_contiguous")


def _read_size(t):
    count = _changes[0]
    size = _tuple_new(Size, dims(t._h, _c.tensor_sizes))
    t._f_size = (count, size)
    return size


def _read_ndim(t):
    count = _changes[0]
    n = _c.tensor_ndim(t._h)
    t._f_ndim = (count, n)
    return n


def _read_numel(t):
    count = _changes[0]
    n = _c.tensor_numel(t._h)
    t._f_numel = (count, n)
    return n


def _read_dtype(t):
    count = _changes[0]
    d = from_code(_c.tensor_dtype(t._h))
    t._f_dtype = (count, d)
    return d


def _read_device(t):
    count = _changes[0]
    d = _c.tensor_device(t._h)
    d = device_from_codes(d.type, d.index)
    t._f_device = (count, d)
    return d


def _read_stride(t):
    count = _changes[0]
    s = dims(t._h, _c.tensor_strides)
    t._f_stride = (count, s)
    return s


def _read_contiguous(t):
    count = _changes[0]
    c = _c.tensor_is_contiguous(t._h) == 1
    t._f_contiguous = (count, c)
    return c


def wrap(handle):
    """The Tensor that owns a handle."""
    t = _new(Tensor)
    t._h = handle
    return t


def alias(t):
    """Another handle of the same tensor."""
    out, p = tls.o
    e = _c.tensor_ref(t._h, p)
    if e:
        fail(e)
    return out.value


def dims(handle, function):
    """Sizes or strides of a tensor as a tuple's items."""
    buffer, address, count, count_address, view = tls.sizes
    e = function(handle, address, 64, count_address)
    if e:
        fail(e)
    n = count.value
    if n > 64:
        buffer = (_c.c_int64 * n)()
        e = function(handle, addressof(buffer), n, count_address)
        if e:
            fail(e)
        return tuple(buffer)
    return _unpack[n](view)


def _dimension(name, items, dim):
    """The item of one dimension, which may count from the end."""
    if not hasattr(dim, "__index__"):
        raise TypeError(f"{name}(): argument 'dim' (position 1) must be int, not {type(dim).__name__}")
    from ._slow import int64

    int64(dim)
    n = len(items)
    if not n:
        raise IndexError(f"Dimension specified as {dim} but tensor has no dimensions")
    if not -n <= dim < n:
        raise IndexError(f"Dimension out of range (expected to be in range of [{-n}, {n - 1}], but got {dim})")
    return items[dim]


class Tensor:
    """A tensor of the library: elements of one dtype, with a shape, on a device.

    ``Tensor(2, 3)`` is uninitialised, ``Tensor([1, 2])`` copies a sequence as the default float type; see also
    `taper.tensor`.
    """

    __slots__ = ("_h", *KEPT, "_grad", "__dict__", "__weakref__")
    __array_priority__ = 1000
    is_sparse = is_quantized = is_mkldnn = is_mps = is_xpu = is_nested = is_sparse_csr = False
    is_cpu = property(lambda self: self.device.type == "cpu")
    is_cuda = property(lambda self: self.device.type == "cuda")
    is_opencl = property(lambda self: self.device.type == "opencl")
    is_meta = property(lambda self: self.device.type == "meta")
    layout = strided
    names = property(lambda self: (None,) * self.ndim)
    name = None

    def __new__(cls, *args, device=None, **kwargs):
        from ._creation import legacy_new

        return legacy_new(cls, None, args, device, **kwargs)

    def __init__(self, *args, **kwargs):
        pass

    def __init_subclass__(cls, **kwargs):
        super().__init_subclass__(**kwargs)
        if not cls.__module__.startswith("taper."):
            from ._subclass import activate

            activate()

    @classmethod
    def __torch_function__(cls, func, types, args=(), kwargs=None):
        """Called for an op with an argument of a derived class; the results become instances of that class."""
        from ._subclass import default

        return default(cls, func, types, args, kwargs)

    def as_subclass(self, cls):
        """The same elements as an instance of a class derived from Tensor; gradients flow through."""
        from ._creation import adopt
        from ._subclass import Disabled

        with Disabled():
            return adopt(cls, self.alias())

    @staticmethod
    def _make_subclass(cls, data, require_grad=False):
        from ._creation import adopt
        from ._subclass import Disabled

        with Disabled():
            return adopt(cls, data.detach()).requires_grad_(require_grad)

    def __del__(self, _free=_c.tensor_free):
        try:
            _free(self._h)
        except AttributeError:  # __new__ failed
            pass

    # --- what it is --------------------------------------------------------------------------------------------------

    @property
    def shape(self):
        """The sizes, as a `taper.Size`."""
        try:
            f = self._f_size
            if f[0] == _changes[0]:
                return f[1]
        except AttributeError:
            pass
        return _read_size(self)

    def size(self, dim=None):
        """The sizes, or the size of one dimension."""
        try:
            f = self._f_size
            s = f[1] if f[0] == _changes[0] else _read_size(self)
        except AttributeError:
            s = _read_size(self)
        if dim is None:
            return s
        if type(dim) is int and -len(s) <= dim < len(s):
            return _item(s, dim)
        return _dimension("size", s, dim)

    def stride(self, dim=None):
        """The strides in elements, or the stride of one dimension."""
        try:
            f = self._f_stride
            s = f[1] if f[0] == _changes[0] else _read_stride(self)
        except AttributeError:
            s = _read_stride(self)
        return s if dim is None else _dimension("stride", s, dim)

    @property
    def ndim(self):
        """The number of dimensions."""
        try:
            f = self._f_ndim
            if f[0] == _changes[0]:
                return f[1]
        except AttributeError:
            pass
        return _read_ndim(self)

    def dim(self):
        """The number of dimensions."""
        try:
            f = self._f_ndim
            if f[0] == _changes[0]:
                return f[1]
        except AttributeError:
            pass
        return _read_ndim(self)

    ndimension = dim

    def numel(self):
        """The number of elements."""
        try:
            f = self._f_numel
            if f[0] == _changes[0]:
                return f[1]
        except AttributeError:
            pass
        return _read_numel(self)

    nelement = numel

    @property
    def dtype(self):
        """The element type."""
        try:
            f = self._f_dtype
            if f[0] == _changes[0]:
                return f[1]
        except AttributeError:
            pass
        return _read_dtype(self)

    @property
    def device(self):
        """Where the elements are."""
        try:
            f = self._f_device
            if f[0] == _changes[0]:
                return f[1]
        except AttributeError:
            pass
        return _read_device(self)

    def get_device(self):
        """The index of the device, -1 for the CPU and meta."""
        d = self.device
        return -1 if d.type in ("cpu", "meta") else d.index

    def element_size(self):
        """Bytes of one element."""
        return self.dtype.itemsize

    itemsize = property(element_size)
    nbytes = property(lambda self: self.numel() * self.element_size())

    def storage_offset(self):
        """Index of the first element in the storage."""
        return _c.tensor_storage_offset(self._h)

    def data_ptr(self):
        """Address of the first element, in the device's memory on CUDA; 0 on meta; other devices have none."""
        out, p = tls.o
        if self.is_meta:
            return 0
        e = (_c.proto("tensor_device_address") if self.is_cuda else _c.tensor_data)(self._h, p)
        if e:
            fail(e)
        return out.value or 0

    def is_contiguous(self, memory_format=None):
        """Whether the elements lie row-major without gaps."""
        try:
            f = self._f_contiguous
            if f[0] == _changes[0]:
                return f[1]
        except AttributeError:
            pass
        return _read_contiguous(self)

    def is_floating_point(self):
        """Whether the dtype is a float type."""
        return self.dtype.is_floating_point

    def is_complex(self):
        """Whether the dtype is a complex type."""
        return self.dtype.is_complex

    def is_conj(self):
        """Always False: conjugates lie in memory of their own."""
        return False

    def is_neg(self):
        return False

    def is_signed(self):
        return self.dtype.is_signed

    def is_pinned(self):
        return False

    def is_shared(self):
        return False

    def is_inference(self):
        return False

    # --- autograd ----------------------------------------------------------------------------------------------------

    @property
    def requires_grad(self):
        """Whether operations on it are recorded for backward."""
        return _c.tensor_requires_grad(self._h) == 1

    @requires_grad.setter
    def requires_grad(self, value):
        e = _c.tensor_set_requires_grad(self._h, value)
        if e:
            fail(e)

    def requires_grad_(self, requires_grad=True):
        """Sets requires_grad and returns the tensor."""
        e = _c.tensor_set_requires_grad(self._h, requires_grad)
        if e:
            fail(e)
        return self

    @property
    def is_leaf(self):
        """Whether no recorded operation made it."""
        return _c.tensor_is_leaf(self._h) == 1

    @property
    def grad(self):
        """The accumulated gradient, or None; the same object as long as it is the same tensor."""
        out, p = tls.o
        e = _c.tensor_grad(self._h, p)
        if e:
            fail(e)
        h = out.value
        if h is None:
            return None
        try:
            cached = self._grad
        except AttributeError:
            cached = None
        if cached is not None and _c.tensor_id(cached._h) == _c.tensor_id(h):
            _c.tensor_free(h)
            return cached
        g = self._grad = wrap(h)
        return g

    @grad.setter
    def grad(self, value):
        if value is not None and not isinstance(value, Tensor):
            raise TypeError(
                f"assigned grad expected to be a Tensor or None but got grad of type {type(value).__name__}"
            )
        if value is self:
            raise RuntimeError("can't assign Variable as its own grad")
        e = _c.tensor_set_grad(self._h, None if value is None else value._h)
        if e:
            fail(e)
        self._grad = value

    @grad.deleter
    def grad(self):
        self.grad = None

    @property
    def grad_fn(self):
        """The graph node that made it, or None."""
        from .autograd.graph import node_of

        return node_of(self)

    @property
    def data(self):
        """The same elements outside the graph: writes to it are unseen by autograd."""
        r = self.detach()
        return r

    @data.setter
    def data(self, source):
        if not isinstance(source, Tensor):
            raise TypeError(f"Variable data has to be a tensor, but got {type(source).__name__}")
        e = _c.tensor_set_data(self._h, source._h)
        if e:
            fail(e)

    def backward(self, gradient=None, retain_graph=None, create_graph=False, inputs=None):
        """Computes the gradients of the leaves that this tensor was made from and adds them to their `.grad`."""
        if gradient is None and inputs is None:
            h = struct.pack("Q", self._h)
            e = _c.backward(
                h, 1, None, 0, create_graph if retain_graph is None else retain_graph, create_graph, None, 0
            )
            if e:
                fail(e)
            return
        from .autograd import backward

        backward(self, gradient, retain_graph, create_graph, inputs=inputs)

    def retain_grad(self):
        """Keeps `.grad` of a tensor that is no leaf."""
        e = _c.tensor_retain_grad(self._h)
        if e:
            fail(e)

    @property
    def retains_grad(self):
        return _c.tensor_retains_grad(self._h) == 1 and not self.is_leaf

    def register_hook(self, hook):
        """Calls hook(grad) when the gradient is computed; what it returns replaces the gradient."""
        from .autograd.graph import register_tensor_hook

        return register_tensor_hook(self, hook, _c.tensor_register_hook)

    def register_post_accumulate_grad_hook(self, hook):
        """Calls hook(tensor) after backward has added to the `.grad` of a leaf."""
        from .autograd.graph import register_tensor_hook

        def call(_):
            if hook(self) is not None:
                raise RuntimeError("Tensor post accumulate grad hooks should return None.")

        return register_tensor_hook(self, call, _c.tensor_register_post_hook)

    @property
    def _version(self):
        return _c.tensor_version(self._h)

    @property
    def _base(self):
        out, p = tls.o
        e = _c.tensor_base(self._h, p)
        if e:
            fail(e)
        return None if out.value is None else wrap(out.value)

    def _is_view(self):
        return self._base is not None

    output_nr = 0

    # --- reading -----------------------------------------------------------------------------------------------------

    def item(self):
        """The value of a tensor of one element as a Python number."""
        s, p = tls.scalar
        e = _c.tensor_item(self._h, p)
        if e:
            fail(e)
        kind = s.kind
        return s.f if kind == 0 else s.i if kind == 1 else bool(s.i) if kind == 2 else _c.from_scalar(s)

    def tolist(self):
        """The elements as nested lists (a number for a tensor without dimensions)."""
        from ._convert import tolist

        return tolist(self)

    def numpy(self, *, force=False):
        """A NumPy array that shares the tensor's memory."""
        from ._convert import to_numpy

        return to_numpy(self, force)

    def __array__(self, dtype=None, copy=None):
        a = self.numpy()
        if dtype is not None and a.dtype != dtype:
            if copy is False:
                raise ValueError("Unable to avoid copy while creating an array as requested.")
            return a.astype(dtype)
        return a.copy() if copy else a

    def __array_wrap__(self, array, context=None, return_scalar=False):
        from ._convert import from_numpy

        if array.ndim == 0 and not hasattr(array, "__array_interface__"):
            return array
        return from_numpy(array)

    def __dlpack__(self, *, stream=None, max_version=None, dl_device=None, copy=None):
        from ._dlpack import to_capsule

        return to_capsule(self, max_version, dl_device, copy, stream)

    @property
    def __cuda_array_interface__(self):
        from ._dlpack import cuda_array_interface

        return cuda_array_interface(self)

    def __dlpack_device__(self):
        d = _c.tensor_device(self._h)
        return (d.type, d.index)

    def __repr__(self, *, tensor_contents=None):
        out, p = tls.o
        e = _c.tensor_to_string(self._h, p)
        if e:
            fail(e)
        text = _c.take_string(out.value)
        cls = type(self)
        if cls is Tensor or cls.__module__.startswith("taper.") or not text.startswith("tensor("):
            return text
        name = cls.__name__
        more = len(name) - 6
        text = text.replace("\n" + " " * max(0, -more), "\n" + " " * max(0, more))
        return name + text[6:]

    def __format__(self, spec):
        if self.ndim == 0 and type(self) is Tensor:
            return self.item().__format__(spec)
        return object.__format__(self, spec)

    # Loading `_indexing` replaces these three.

    def __getitem__(self, index):
        """The elements that the index selects: a view unless it holds tensors, lists or arrays."""
        from ._indexing import getitem

        return getitem(self, index)

    def __setitem__(self, index, value):
        """Writes a number, tensor, array or sequence to the elements that the index selects."""
        from ._indexing import setitem

        setitem(self, index, value)

    def __delitem__(self, index):
        raise TypeError("Tensor does not support deleting items")

    def __len__(self):
        s = self.shape
        if not s:
            raise TypeError("len() of a 0-d tensor")
        return _item(s, 0)

    def __iter__(self):
        if self.ndim == 0:
            raise TypeError("iteration over a 0-d tensor")
        return iter(self.unbind(0))

    def __reversed__(self):
        return self if self.ndim == 0 else self.flip(0)

    def __contains__(self, element):
        if isinstance(element, (Tensor, int, float, bool)):
            return bool((self == element).any().item())
        raise RuntimeError(f"Tensor.__contains__ only supports Tensor or scalar, but you passed in a {type(element)}.")

    def __bool__(self):
        n = _c.tensor_numel(self._h)
        if n != 1:
            if n == 0:
                raise RuntimeError("Boolean value of Tensor with no values is ambiguous")
            raise RuntimeError("Boolean value of Tensor with more than one value is ambiguous")
        return bool(self.item())

    def _number(self):
        if _c.tensor_numel(self._h) != 1:
            raise ValueError("only one element tensors can be converted to Python scalars")
        return self.item()

    def _real_number(self, kind):
        v = self._number()
        if type(v) is complex:
            if v.imag:
                raise RuntimeError(f"value cannot be converted to type {kind} without overflow")
            v = v.real
        return v

    def __int__(self):
        return int(self._real_number("int64_t"))

    def __float__(self):
        return float(self._real_number("double"))

    def __complex__(self):
        return complex(self._number())

    def __index__(self):
        if self.dtype.is_floating_point or self.dtype.is_complex or self.numel() != 1:
            raise TypeError("only integer tensors of a single element can be converted to an index")
        return int(self.item())

    def __hash__(self):
        return id(self)

    def __dir__(self):
        return sorted(set(object.__dir__(self)) - {"_h", "_grad"})

    # --- copies ------------------------------------------------------------------------------------------------------

    def __reduce_ex__(self, protocol):
        from ._convert import pickled

        return pickled(self)

    def __copy__(self):
        t = _new(type(self))
        plain = self.detach()
        t._h, plain._h = plain._h, 0
        t.requires_grad_(self.requires_grad)
        t.__dict__.update(self.__dict__)
        return t

    def __deepcopy__(self, memo):
        if id(self) in memo:
            return memo[id(self)]
        if not self.is_leaf:
            raise RuntimeError(
                "Only Tensors created explicitly by the user (graph leaves) support the deepcopy protocol at the "
                "moment.  If you were attempting to deepcopy a module, this may be because of a torch.nn.utils.weight_norm "
                "usage, see https://github.com/pytorch/pytorch/pull/103001"
            )
        from ._convert import deepcopied

        return deepcopied(self, memo)

    def __setstate__(self, state):
        self.__dict__.update(state)

    @property
    def T(self):
        """The dimensions in reverse order."""
        n = self.ndim
        return self.permute(tuple(range(n - 1, -1, -1)))

    @property
    def mT(self):
        """The last two dimensions swapped."""
        if self.ndim < 2:
            raise RuntimeError(
                f"tensor.mT is only supported on matrices or batches of matrices. Got {self.ndim}-D tensor."
            )
        return self.transpose(-2, -1)

    @property
    def H(self):
        """The transpose of a matrix."""
        if self.ndim not in (0, 2):
            raise RuntimeError(f"tensor.H is only supported on matrices (2-D tensors). Got {self.ndim}-D tensor.")
        return self.conj() if self.ndim == 0 else self.transpose(0, 1).conj()

    @property
    def mH(self):
        """The last two dimensions swapped, and conjugated."""
        return self.adjoint()

    @property
    def real(self):
        """The real parts, as a view; a real tensor itself."""
        from . import _ops

        return _ops.real(self)

    @real.setter
    def real(self, value):
        self.real.copy_(_as_source(value, self))

    @property
    def imag(self):
        """The imaginary parts, as a view."""
        from . import _ops

        return _ops.imag(self)

    @imag.setter
    def imag(self, value):
        self.imag.copy_(_as_source(value, self))


def _as_source(value, like):
    from ._creation import as_tensor

    return value if isinstance(value, Tensor) else as_tensor(value, device=like.device)


Tensor.__module__ = "taper"
