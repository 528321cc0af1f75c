"""Sequential, ModuleList, ModuleDict, ParameterList, ParameterDict."""

import operator
from collections import OrderedDict

from ... import _ops
from ..._tensor import Tensor
from .. import functional as F
from ..parameter import Parameter
from .activation import GELU, ReLU
from .linear import Linear
from .module import Module, _global_forward_hooks, _global_forward_pre_hooks, _indent


def _position(index, length):
    index = operator.index(index)
    if not -length <= index < length:
        raise IndexError(f"index {index} is out of range")
    return index % length


_FORWARDS = {kind: kind.forward for kind in (Linear, ReLU, GELU)}
_CALL = Module.__call__
_GELU = F.gelu


def _is_plain(module):
    """Whether calling a module is its class's forward and nothing else: no hooks, nothing replaced."""
    kind, d = type(module), module.__dict__
    return not (
        kind.forward is not _FORWARDS[kind]
        or kind.__call__ is not _CALL
        or "forward" in d
        or d["_forward_hooks"]
        or d["_forward_pre_hooks"]
        or d["_backward_hooks"]
        or d["_backward_pre_hooks"]
        or _global_forward_hooks
        or _global_forward_pre_hooks
    )


def _plain_linear():
    return F.__dict__.get("linear", _ops.linear) is _ops.linear


def _fused_activation(module):
    """Whether it is gelu (else relu) for a module that a linear op can apply; None for all others."""
    kind = type(module)
    if kind is ReLU:
        return False if _is_plain(module) else None
    if kind is GELU and module.approximate == "tanh" and _is_plain(module) and F.gelu is _GELU:
        return True
    return None


class Sequential(Module):
    """Calls its modules one after the other."""

    def __init__(self, *args):
        super().__init__()
        if len(args) == 1 and isinstance(args[0], OrderedDict):
            for name, module in args[0].items():
                self.add_module(name, module)
        else:
            for i, module in enumerate(args):
                self.add_module(str(i), module)

    def forward(self, input):
        # A Linear waits for its activation: where nobody can tell, the two run as one op.
        waiting = None
        for module in self._modules.values():
            if waiting is not None:
                gelu = _fused_activation(module)
                if gelu is not None:
                    input = _ops._linear_activation(input, waiting.weight, waiting.bias, use_gelu=gelu)
                    waiting = None
                    continue
                input = waiting(input)
                waiting = None
            if type(module) is Linear and _is_plain(module) and _plain_linear():
                waiting = module
            else:
                input = module(input)
        return input if waiting is None else waiting(input)

    def _name_at(self, index):
        return list(self._modules)[_position(index, len(self._modules))]

    def __getitem__(self, index):
        if isinstance(index, slice):
            return type(self)(OrderedDict(list(self._modules.items())[index]))
        return self._modules[self._name_at(index)]

    def __setitem__(self, index, module):
        setattr(self, self._name_at(index), module)

    def __delitem__(self, index):
        names = list(self._modules)[index] if isinstance(index, slice) else [self._name_at(index)]
        for name in names:
            delattr(self, name)
        self._renumber()

    def _renumber(self):
        kept = list(self._modules.values())
        self._modules.clear()
        self._modules.update((str(i), m) for i, m in enumerate(kept))

    def __len__(self):
        return len(self._modules)

    def __iter__(self):
        return iter(self._modules.values())

    def __add__(self, other):
        if not isinstance(other, Sequential):
            raise ValueError(f"add operator supports only objects of Sequential class, but {type(other)} is given.")
        return Sequential(*self, *other)

    def __iadd__(self, other):
        if not isinstance(other, Sequential):
            raise ValueError(f"add operator supports only objects of Sequential class, but {type(other)} is given.")
        return self.extend(other)

    def __mul__(self, n):
        return Sequential(*(m for _ in range(n) for m in self))

    __rmul__ = __mul__

    def append(self, module):
        """Adds a module at the end."""
        self.add_module(str(len(self)), module)
        return self

    def insert(self, index, module):
        """Inserts a module before position index."""
        if not isinstance(module, Module):
            raise AssertionError(f"module should be of type: {Module}")
        n = len(self)
        if not -n <= index <= n:
            raise IndexError(f"Index out of range: {index}")
        modules = list(self)
        modules.insert(index + n if index < 0 else index, module)
        self._modules.clear()
        self._modules.update((str(i), m) for i, m in enumerate(modules))
        return self

    def extend(self, modules):
        """Adds modules at the end."""
        for m in list(modules):
            self.append(m)
        return self

    def pop(self, index):
        """Removes the module at position index and returns it."""
        module = self[index]
        del self[index]
        return module


class ModuleList(Module):
    """A list of modules whose parameters belong to the model."""

    def __init__(self, modules=None):
        super().__init__()
        if modules is not None:
            self.extend(modules)

    def __getitem__(self, index):
        if isinstance(index, slice):
            return type(self)(list(self._modules.values())[index])
        return self._modules[str(_position(index, len(self)))]

    def __setitem__(self, index, module):
        setattr(self, str(_position(index, len(self))), module)

    def __delitem__(self, index):
        modules = list(self)
        del modules[index]
        self._put(modules)

    def _put(self, modules):
        self._modules.clear()
        self._modules.update((str(i), m) for i, m in enumerate(modules))

    def __len__(self):
        return len(self._modules)

    def __iter__(self):
        return iter(self._modules.values())

    def __iadd__(self, modules):
        return self.extend(modules)

    def __add__(self, other):
        return ModuleList([*self, *other])

    def append(self, module):
        """Adds a module at the end."""
        self.add_module(str(len(self)), module)
        return self

    def insert(self, index, module):
        """Inserts a module before position index."""
        modules = list(self)
        modules.insert(index, module)
        self._put(modules)

    def extend(self, modules):
        """Adds modules at the end."""
        if not hasattr(modules, "__iter__"):
            raise TypeError(f"ModuleList.extend should be called with an iterable, but got {type(modules).__name__}")
        for m in modules:
            self.append(m)
        return self

    def pop(self, key):
        """Removes the module at position key and returns it."""
        module = self[key]
        del self[key]
        return module

    def __repr__(self):
        if not len(self):
            return self._get_name() + "()"
        # Equal neighbours are printed once, with their range.
        texts = [repr(m) for m in self]
        blocks = []
        for i, text in enumerate(texts):
            if blocks and blocks[-1][2] == text:
                blocks[-1][1] = i
            else:
                blocks.append([i, i, text])
        lines = []
        for first, last, text in blocks:
            label = f"({first})" if first == last else f"({first}-{last})"
            times = "" if first == last else f"{last - first + 1} x "
            lines.append(_indent(f"{label}: {times}{text}", 2))
        return self._get_name() + "(\n  " + "\n  ".join(lines) + "\n)"

    forward = Module.forward


class ModuleDict(Module):
    """A dict of modules whose parameters belong to the model."""

    def __init__(self, modules=None):
        super().__init__()
        if modules is not None:
            self.update(modules)

    def __getitem__(self, key):
        return self._modules[key]

    def __setitem__(self, key, module):
        self.add_module(key, module)

    def __delitem__(self, key):
        del self._modules[key]

    def __len__(self):
        return len(self._modules)

    def __iter__(self):
        return iter(self._modules)

    def __contains__(self, key):
        return key in self._modules

    def clear(self):
        self._modules.clear()

    def pop(self, key):
        """Removes a module and returns it."""
        return self._modules.pop(key)

    def keys(self):
        return self._modules.keys()

    def items(self):
        return self._modules.items()

    def values(self):
        return self._modules.values()

    def update(self, modules):
        """Adds the modules of a dict or of (name, module) pairs."""
        for name, module in modules.items() if hasattr(modules, "items") else modules:
            self[name] = module


def _as_parameter(value):
    return Parameter(value) if isinstance(value, Tensor) and not isinstance(value, Parameter) else value


def _parameter_line(name, p, what):
    if not isinstance(p, Tensor):
        return f"  ({name}): Object of type: {type(p).__name__}"
    kind = "Parameter" if isinstance(p, Parameter) else "Tensor"
    where = "" if p.device.type == "cpu" else f" ({p.device})"
    return f"  ({name}): {kind} containing: [{what} of size {'x'.join(map(str, p.shape))}{where}]"


class ParameterList(Module):
    """A list of parameters that belong to the model; tensors become parameters."""

    def __init__(self, values=None):
        super().__init__()
        self._size = 0
        if values is not None:
            self.extend(values)

    def __getitem__(self, index):
        if isinstance(index, slice):
            return type(self)([self[i] for i in range(*index.indices(len(self)))])
        return getattr(self, str(_position(index, len(self))))

    def __setitem__(self, index, value):
        setattr(self, str(_position(index, len(self))), _as_parameter(value))

    def __len__(self):
        return self._size

    def __iter__(self):
        return iter(self[i] for i in range(len(self)))

    def __iadd__(self, values):
        return self.extend(values)

    def append(self, value):
        """Adds a value at the end."""
        name = str(self._size)
        self._size += 1
        setattr(self, name, _as_parameter(value))
        return self

    def extend(self, values):
        """Adds values at the end."""
        if not hasattr(values, "__iter__") or isinstance(values, Tensor):
            raise TypeError(f"ParameterList.extend should be called with an iterable, but got {type(values).__name__}")
        for v in values:
            self.append(v)
        return self

    def extra_repr(self):
        return "\n".join(_parameter_line(i, p, getattr(p, "dtype", None)) for i, p in enumerate(self))

    def __call__(self, *args, **kwargs):
        raise RuntimeError("ParameterList should not be called.")


class ParameterDict(Module):
    """A dict of parameters that belong to the model; tensors become parameters."""

    def __init__(self, parameters=None):
        super().__init__()
        self._keys = {}
        if parameters is not None:
            self.update(parameters)

    def __getitem__(self, key):
        if key not in self._keys:
            raise KeyError(key)
        return getattr(self, key)

    def __setitem__(self, key, value):
        self._keys[key] = None
        setattr(self, key, _as_parameter(value))

    def __delitem__(self, key):
        del self._keys[key]
        delattr(self, key)

    def __len__(self):
        return len(self._keys)

    def __iter__(self):
        return iter(self._keys)

    def __contains__(self, key):
        return key in self._keys

    def keys(self):
        return self._keys.keys()

    def values(self):
        return [self[k] for k in self._keys]

    def items(self):
        return [(k, self[k]) for k in self._keys]

    def get(self, key, default=None):
        return self[key] if key in self else default

    def pop(self, key):
        """Removes a parameter and returns it."""
        value = self[key]
        del self[key]
        return value

    def update(self, parameters):
        """Adds the parameters of a dict or of (name, value) pairs."""
        for name, value in parameters.items() if hasattr(parameters, "items") else parameters:
            self[name] = value

    def extra_repr(self):
        return "\n".join(_parameter_line(k, p, p.type() if isinstance(p, Tensor) else None) for k, p in self.items())
