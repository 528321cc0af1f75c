"""Reads the pickles of `load`.

`untrusted` runs the opcodes that PyTorch's and Taper's files consist of. A name in the file is looked up in a fixed table;
a call is made only to a function of that table; attributes are set only on instances of classes the user has
allowed. Whatever else stands in a file is an error, so a file can execute nothing.
"""

import struct
from collections import Counter, OrderedDict, defaultdict, deque

from . import _dtype
from ._tensor import Tensor
from .serialization import STORAGE_DTYPES, StorageType, _safe_globals, rebuild_tensor


class UnpicklingError(RuntimeError):
    """The file holds what `load` does not execute."""


def _parameter(data, requires_grad, hooks=None):
    from .nn.parameter import Parameter

    return Parameter(data, requires_grad)


def _parameter_with_state(data, requires_grad, hooks, state):
    p = _parameter(data, requires_grad)
    if isinstance(state, dict):
        p.__dict__.update(state)
    return p


def _bytearray(*args):
    return bytearray(*args)


def _encode(text, encoding):
    """How protocol 2 writes bytes: as latin-1 text."""
    if encoding != "latin1" or not isinstance(text, str):
        raise UnpicklingError(f"unexpected call of _codecs.encode with {encoding!r}")
    return text.encode("latin1")


def _ordered_dict(*args):
    return OrderedDict(*args)


def _table():
    known = {
        "collections.OrderedDict": _ordered_dict,
        "collections.Counter": Counter,
        "collections.deque": deque,
        "torch._utils._rebuild_tensor_v2": rebuild_tensor,
        "torch._utils._rebuild_tensor": rebuild_tensor,
        "torch._utils._rebuild_parameter": _parameter,
        "torch._utils._rebuild_parameter_with_state": _parameter_with_state,
        "torch.nn.parameter.Parameter": _parameter,
        "torch.Size": _dtype.Size,
        "torch.device": _dtype.device,
        "_codecs.encode": _encode,
        "builtins.set": set,
        "builtins.frozenset": frozenset,
        "builtins.complex": complex,
        "builtins.bytearray": _bytearray,
        "builtins.slice": slice,
        "builtins.range": range,
        "__builtin__.set": set,
        "__builtin__.complex": complex,
        "__builtin__.bytearray": _bytearray,
    }
    for name, dtype in STORAGE_DTYPES.items():
        known["torch." + name] = StorageType(dtype)
    for dtype in _dtype._by_code.values():
        known["torch." + dtype.name] = dtype
    for name in ("strided", "contiguous_format", "channels_last", "preserve_format"):
        known["torch." + name] = getattr(_dtype, name)
    # default_factory of a defaultdict: types, which are called only for missing keys.
    for cls in (int, float, list, dict, bool, str, tuple):
        known["builtins." + cls.__name__] = cls
        known["__builtin__." + cls.__name__] = cls
    known["collections.defaultdict"] = _default_dict
    return known


def _default_dict(factory=None, *args):
    if factory not in (None, int, float, list, dict, bool, str, tuple, set, _ordered_dict):
        raise UnpicklingError("unexpected default_factory of a defaultdict")
    return defaultdict(factory, *args)


_known = None


def find(module, name):
    """What a name of the file means; an error for names that are not allowed."""
    global _known
    if _known is None:
        _known = _table()
    full = f"{module}.{name}"
    if full in _safe_globals:
        return _safe_globals[full]
    if full in _known:
        return _known[full]
    if "taper" + full[5:] in _safe_globals and full.startswith("torch."):
        return _safe_globals["taper" + full[5:]]
    raise UnpicklingError(
        f"Weights only load failed. Unsupported global: GLOBAL {full} was not an allowed global by default. Please use "
        f"`torch.serialization.add_safe_globals([{name}])` or the `torch.serialization.safe_globals([{name}])` context "
        "manager to allowlist this global if you trust this class/function, or load with weights_only=False if you trust "
        "the file."
    )


class _Mark:
    pass


_MARK = _Mark()
_CALLABLE = (type, type(find))


class _Machine:
    """A pickle machine without any power."""

    def __init__(self, data, storage):
        self.data, self.at, self.storage = data, 0, storage
        self.stack, self.memo = [], {}

    def take(self, n):
        if n < 0 or self.at + n > len(self.data):
            raise UnpicklingError("pickle data was truncated")
        part = self.data[self.at : self.at + n]
        self.at += n
        return part

    def line(self):
        end = self.data.find(b"\n", self.at)
        if end < 0:
            raise UnpicklingError("pickle data was truncated")
        part = self.data[self.at : end]
        self.at = end + 1
        return part

    def number(self, format):
        return struct.unpack(format, self.take(struct.calcsize(format)))[0]

    def items(self):
        """What stands above the last mark."""
        stack = self.stack
        for i in range(len(stack) - 1, -1, -1):
            if stack[i] is _MARK:
                part = stack[i + 1 :]
                del stack[i:]
                return part
        raise UnpicklingError("no mark on the stack")

    def call(self, function, args):
        if not isinstance(args, tuple):
            raise UnpicklingError("arguments of a call are no tuple")
        if not isinstance(function, _CALLABLE) or function not in (*_known.values(), *_safe_globals.values()):
            raise UnpicklingError(f"call of {function!r} is not allowed")
        return function(*args)

    def build(self, obj, state):
        if isinstance(obj, OrderedDict):
            if not isinstance(state, dict):
                raise UnpicklingError("unexpected state of an OrderedDict")
            obj.__dict__.update(state)
        elif type(obj) in _safe_globals.values():
            if hasattr(type(obj), "__setstate__"):
                obj.__setstate__(state)
            else:
                obj.__dict__.update(state)
        elif isinstance(obj, Tensor) and isinstance(state, dict):
            obj.__dict__.update(state)
        else:
            raise UnpicklingError(f"state of an object of {type(obj)} is not allowed")

    def add_items(self, target, pairs):
        if not isinstance(target, dict):
            raise UnpicklingError("items are set on something that is no dict")
        for k, v in zip(pairs[::2], pairs[1::2]):
            target[k] = v

    def run(self):
        stack, memo = self.stack, self.memo
        push, pop = stack.append, stack.pop
        while True:
            op = self.take(1)
            if op == b"\x80":
                version = self.take(1)[0]
                if version > 5:
                    raise UnpicklingError(f"unsupported pickle protocol {version}")
            elif op == b"\x95":
                self.take(8)
            elif op == b".":
                return pop()
            elif op == b"(":
                push(_MARK)
            elif op == b"0":
                pop()
            elif op == b"1":
                self.items()
            elif op == b"2":
                push(stack[-1])
            elif op == b"N":
                push(None)
            elif op == b"\x88":
                push(True)
            elif op == b"\x89":
                push(False)
            elif op == b"K":
                push(self.take(1)[0])
            elif op == b"M":
                push(self.number("<H"))
            elif op == b"J":
                push(self.number("<i"))
            elif op == b"\x8a":
                push(int.from_bytes(self.take(self.take(1)[0]), "little", signed=True))
            elif op == b"\x8b":
                push(int.from_bytes(self.take(self.number("<i")), "little", signed=True))
            elif op == b"G":
                push(self.number(">d"))
            elif op == b"X":
                push(self.take(self.number("<I")).decode("utf-8", "surrogatepass"))
            elif op == b"\x8c":
                push(self.take(self.take(1)[0]).decode("utf-8", "surrogatepass"))
            elif op == b"\x8d":
                push(self.take(self.number("<Q")).decode("utf-8", "surrogatepass"))
            elif op == b"C":
                push(bytes(self.take(self.take(1)[0])))
            elif op == b"B":
                push(bytes(self.take(self.number("<I"))))
            elif op == b"\x8e":
                push(bytes(self.take(self.number("<Q"))))
            elif op == b"\x96":
                push(bytearray(self.take(self.number("<Q"))))
            elif op == b"U":
                push(self.take(self.take(1)[0]).decode("latin1"))
            elif op == b"T":
                push(self.take(self.number("<i")).decode("latin1"))
            elif op == b"]":
                push([])
            elif op == b"}":
                push({})
            elif op == b")":
                push(())
            elif op == b"\x8f":
                push(set())
            elif op == b"t":
                push(tuple(self.items()))
            elif op == b"\x85":
                push((pop(),))
            elif op == b"\x86":
                b, a = pop(), pop()
                push((a, b))
            elif op == b"\x87":
                c, b, a = pop(), pop(), pop()
                push((a, b, c))
            elif op == b"l":
                push(self.items())
            elif op == b"d":
                made = {}
                self.add_items(made, self.items())
                push(made)
            elif op == b"a":
                item = pop()
                self.extend(stack[-1], [item])
            elif op == b"e":
                items = self.items()
                self.extend(stack[-1], items)
            elif op == b"s":
                v, k = pop(), pop()
                self.add_items(stack[-1], [k, v])
            elif op == b"u":
                pairs = self.items()
                self.add_items(stack[-1], pairs)
            elif op == b"\x90":
                items = self.items()
                if not isinstance(stack[-1], set):
                    raise UnpicklingError("items are added to something that is no set")
                stack[-1].update(items)
            elif op == b"\x91":
                push(frozenset(self.items()))
            elif op == b"q":
                memo[self.take(1)[0]] = stack[-1]
            elif op == b"r":
                memo[self.number("<I")] = stack[-1]
            elif op == b"\x94":
                memo[len(memo)] = stack[-1]
            elif op == b"h":
                push(self.remembered(self.take(1)[0]))
            elif op == b"j":
                push(self.remembered(self.number("<I")))
            elif op == b"c":
                module, name = self.line().decode(), self.line().decode()
                push(find(module, name))
            elif op == b"\x93":
                name, module = pop(), pop()
                push(find(module, name))
            elif op == b"R":
                args, function = pop(), pop()
                push(self.call(function, args))
            elif op == b"\x81":
                args, cls = pop(), pop()
                push(self.make(cls, args))
            elif op == b"b":
                state = pop()
                self.build(stack[-1], state)
            elif op == b"Q":
                push(self.storage(pop()))
            else:
                raise UnpicklingError(f"pickle opcode {op!r} is not allowed")

    def extend(self, target, items):
        if not isinstance(target, list) and type(target) is not deque:
            raise UnpicklingError("items are appended to something that is no list")
        target.extend(items)

    def make(self, cls, args):
        """An instance of an allowed class, made by __new__."""
        if cls is _ordered_dict or cls is _parameter or cls in (set, frozenset, _dtype.Size, Counter, deque):
            return self.call(cls, args)
        if isinstance(cls, type) and cls in _safe_globals.values():
            return cls.__new__(cls, *args)
        raise UnpicklingError(f"an instance of {cls!r} is not allowed")

    def remembered(self, key):
        try:
            return self.memo[key]
        except KeyError:
            raise UnpicklingError(f"memo {key} was never set") from None


def untrusted(data, storage):
    """Reads a pickle without executing anything from it."""
    find("collections", "OrderedDict")  # fills the table
    try:
        return _Machine(data, storage).run()
    except (IndexError, struct.error, UnicodeDecodeError, RecursionError, MemoryError, OverflowError) as error:
        raise UnpicklingError(f"the file is damaged: {type(error).__name__}: {error}") from None


def trusted(data, storage):
    """Reads a pickle of a trusted file: classes are looked up, with PyTorch's names meaning Taper's."""
    import io
    import pickle

    class Unpickler(pickle.Unpickler):
        def persistent_load(self, pid):
            return storage(pid)

        def find_class(self, module, name):
            try:
                return find(module, name)
            except UnpicklingError:
                pass
            if module == "torch" or module.startswith("torch."):
                module = "taper" + module[5:]
            return super().find_class(module, name)

    return Unpickler(io.BytesIO(data)).load()
