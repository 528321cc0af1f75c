"""class Module: parameters, buffers, children and hooks in real dicts, with PyTorch's rules."""

from ..._dtype import device as _device
from ..._tensor import Tensor
from ..parameter import Buffer, Parameter, UninitializedTensorMixin
from .hooks import RemovableHandle, say_where
from .state import load_own, load_state, save_state

_global_forward_hooks = {}
_global_forward_pre_hooks = {}


def register_module_forward_hook(hook, *, with_kwargs=False, always_call=False):
    """Calls hook(module, input, output) after the forward of every module."""
    return RemovableHandle.add(_global_forward_hooks, (hook, with_kwargs))


def register_module_forward_pre_hook(hook):
    """Calls hook(module, input) before the forward of every module."""
    return RemovableHandle.add(_global_forward_pre_hooks, (hook, False))


def _indent(text, spaces):
    head, *rest = text.split("\n")
    return "\n".join([head, *[" " * spaces + line for line in rest]])


class Module:
    """Base class of all neural network modules: assign parameters and modules as attributes, write `forward`."""

    dump_patches = False
    _version = 1
    training: bool
    call_super_init = False

    def __init__(self, *args, **kwargs):
        if not self.call_super_init and (args or kwargs):
            given = next(iter(kwargs)) if kwargs else None
            if given is not None:
                raise TypeError(f"{type(self).__name__}.__init__() got an unexpected keyword argument '{given}'")
            raise TypeError(
                f"{type(self).__name__}.__init__() takes 1 positional argument but {len(args) + 1} were given"
            )
        put = self.__dict__
        put["training"] = True
        put["_parameters"] = {}
        put["_buffers"] = {}
        put["_non_persistent_buffers_set"] = set()
        put["_backward_pre_hooks"] = {}
        put["_backward_hooks"] = {}
        put["_is_full_backward_hook"] = None
        put["_forward_hooks"] = {}
        put["_forward_pre_hooks"] = {}
        put["_state_dict_hooks"] = {}
        put["_state_dict_pre_hooks"] = {}
        put["_load_state_dict_pre_hooks"] = {}
        put["_load_state_dict_post_hooks"] = {}
        put["_modules"] = {}
        if self.call_super_init:
            super().__init__(*args, **kwargs)

    def forward(self, *input):
        raise NotImplementedError(f'Module [{type(self).__name__}] is missing the required "forward" function')

    # --- registration ------------------------------------------------------------------------------------------------

    def _check_name(self, kind, name):
        if not isinstance(name, str):
            raise TypeError(f"{kind} name should be a string. Got {_typename(name)}")
        if "." in name:
            raise KeyError(f'{kind} name can\'t contain "."')
        if name == "":
            raise KeyError(f'{kind} name can\'t be empty string ""')

    def register_buffer(self, name, tensor, persistent=True):
        """Adds a buffer: a tensor that belongs to the state but is no parameter."""
        if "_buffers" not in self.__dict__:
            raise AttributeError("cannot assign buffer before Module.__init__() call")
        self._check_name("buffer", name)
        if hasattr(self, name) and name not in self._buffers:
            raise KeyError(f"attribute '{name}' already exists")
        if tensor is not None and not isinstance(tensor, Tensor):
            raise TypeError(
                f"cannot assign '{_typename(tensor)}' object to buffer '{name}' (torch Tensor or None required)"
            )
        self._buffers[name] = tensor
        if persistent:
            self._non_persistent_buffers_set.discard(name)
        else:
            self._non_persistent_buffers_set.add(name)

    def register_parameter(self, name, param):
        """Adds a parameter, or None for one that is absent."""
        if "_parameters" not in self.__dict__:
            raise AttributeError("cannot assign parameter before Module.__init__() call")
        self._check_name("parameter", name)
        if hasattr(self, name) and name not in self._parameters:
            raise KeyError(f"attribute '{name}' already exists")
        if param is not None:
            if not isinstance(param, Parameter):
                raise TypeError(
                    f"cannot assign '{_typename(param)}' object to parameter '{name}' "
                    "(torch.nn.Parameter or None required)"
                )
            if not param.is_leaf:
                raise ValueError(
                    f"Cannot assign non-leaf Tensor to parameter '{name}'. Model parameters must be created explicitly. "
                    "To express 'weight' as a function of another Tensor, compute the value in the forward() method."
                )
        self._parameters[name] = param

    def add_module(self, name, module):
        """Adds a child."""
        if module is not None and not isinstance(module, Module):
            raise TypeError(f"{_typename(module)} is not a Module subclass")
        self._check_name("module", name)
        if hasattr(self, name) and name not in self._modules:
            raise KeyError(f"attribute '{name}' already exists")
        self._modules[name] = module

    register_module = add_module

    def __setattr__(self, name, value):
        d = self.__dict__
        params = d.get("_parameters")
        if isinstance(value, Parameter):
            if params is None:
                raise AttributeError("cannot assign parameters before Module.__init__() call")
            _forget(name, d, d["_buffers"], d["_modules"])
            d["_non_persistent_buffers_set"].discard(name)
            self.register_parameter(name, value)
            return
        if params is not None and name in params:
            if value is not None:
                raise TypeError(
                    f"cannot assign '{_typename(value)}' as parameter '{name}' (torch.nn.Parameter or None expected)"
                )
            self.register_parameter(name, value)
            return
        modules = d.get("_modules")
        if isinstance(value, Module):
            if modules is None:
                raise AttributeError("cannot assign module before Module.__init__() call")
            _forget(name, d, params, d["_buffers"])
            d["_non_persistent_buffers_set"].discard(name)
            modules[name] = value
            return
        if modules is not None and name in modules:
            if value is not None:
                raise TypeError(
                    f"cannot assign '{_typename(value)}' as child module '{name}' (torch.nn.Module or None expected)"
                )
            modules[name] = value
            return
        buffers = d.get("_buffers")
        if buffers is not None and (name in buffers or isinstance(value, Buffer)):
            if value is not None and not isinstance(value, Tensor):
                raise TypeError(
                    f"cannot assign '{_typename(value)}' as buffer '{name}' (torch.nn.Buffer, torch.Tensor or None expected)"
                )
            if isinstance(value, Buffer) and name not in buffers:
                _forget(name, d, params, modules)
                self.register_buffer(name, value, value.persistent)
            else:
                buffers[name] = value
            return
        object.__setattr__(self, name, value)

    def __getattr__(self, name):
        d = self.__dict__
        for kind in ("_parameters", "_buffers", "_modules"):
            held = d.get(kind)
            if held is not None and name in held:
                return held[name]
        raise AttributeError(f"'{type(self).__name__}' object has no attribute '{name}'")

    def __delattr__(self, name):
        for held in (self._parameters, self._buffers, self._modules):
            if name in held:
                del held[name]
                self._non_persistent_buffers_set.discard(name)
                return
        object.__delattr__(self, name)

    def __dir__(self):
        names = set(object.__dir__(self)) | set(self._parameters) | set(self._buffers) | set(self._modules)
        return sorted(n for n in names if not n[:1].isdigit())

    # --- calling -----------------------------------------------------------------------------------------------------

    def __call__(self, *args, **kwargs):
        d = self.__dict__
        if not (
            d["_forward_hooks"]
            or d["_forward_pre_hooks"]
            or d["_backward_hooks"]
            or d["_backward_pre_hooks"]
            or _global_forward_hooks
            or _global_forward_pre_hooks
        ):
            try:
                return self.forward(*args, **kwargs)
            except Exception as e:
                say_where(self, e)
                raise
        try:
            return self._call_hooked(args, kwargs)
        except Exception as e:
            say_where(self, e)
            raise

    _call_impl = __call__

    def _call_hooked(self, args, kwargs):
        for hook, with_kwargs in (*_global_forward_pre_hooks.values(), *self._forward_pre_hooks.values()):
            if with_kwargs:
                r = hook(self, args, kwargs)
                if r is not None:
                    if not (isinstance(r, tuple) and len(r) == 2):
                        raise RuntimeError(
                            f"forward pre-hook must return None or a tuple of (new_args, new_kwargs), but got {r}."
                        )
                    args, kwargs = r
            else:
                r = hook(self, args)
                if r is not None:
                    args = r if isinstance(r, tuple) else (r,)
        watch = None
        if self._backward_hooks or self._backward_pre_hooks:
            from .hooks import BackwardWatch

            watch = BackwardWatch(self)
            args = watch.inputs(args)
        try:
            result = self.forward(*args, **kwargs)
        except Exception:
            for hook, with_kwargs, _always in [h for h in self._forward_hooks.values() if h[2]]:
                hook(self, args, kwargs, None) if with_kwargs else hook(self, args, None)
            raise
        for entry in (*_global_forward_hooks.values(), *self._forward_hooks.values()):
            hook, with_kwargs = entry[0], entry[1]
            r = hook(self, args, kwargs, result) if with_kwargs else hook(self, args, result)
            if r is not None:
                result = r
        return result if watch is None else watch.outputs(result)

    def register_forward_hook(self, hook, *, prepend=False, with_kwargs=False, always_call=False):
        """Calls hook(module, args, output) after forward; what it returns, unless None, replaces the output."""
        return RemovableHandle.add(self._forward_hooks, (hook, with_kwargs, always_call), prepend)

    def register_forward_pre_hook(self, hook, *, prepend=False, with_kwargs=False):
        """Calls hook(module, args) before forward; what it returns, unless None, replaces the arguments."""
        return RemovableHandle.add(self._forward_pre_hooks, (hook, with_kwargs), prepend)

    def register_full_backward_hook(self, hook, prepend=False):
        """Calls hook(module, grad_input, grad_output) when the inputs' gradients are computed."""
        self._is_full_backward_hook = True
        return RemovableHandle.add(self._backward_hooks, hook, prepend)

    register_backward_hook = register_full_backward_hook

    def register_full_backward_pre_hook(self, hook, prepend=False):
        """Calls hook(module, grad_output) before the module's gradients are computed."""
        return RemovableHandle.add(self._backward_pre_hooks, hook, prepend)

    # --- state -------------------------------------------------------------------------------------------------------

    def state_dict(self, *args, destination=None, prefix="", keep_vars=False):
        """All parameters and persistent buffers by name."""
        if args:
            destination = args[0]
            prefix = args[1] if len(args) > 1 else prefix
            keep_vars = args[2] if len(args) > 2 else keep_vars
        return save_state(self, destination, prefix, keep_vars)

    def _save_to_state_dict(self, destination, prefix, keep_vars):
        for name, p in self._parameters.items():
            if p is not None:
                destination[prefix + name] = p if keep_vars or isinstance(p, UninitializedTensorMixin) else p.detach()
        for name, b in self._buffers.items():
            if b is not None and name not in self._non_persistent_buffers_set:
                destination[prefix + name] = b if keep_vars else b.detach()
        extra = type(self).get_extra_state
        if extra is not Module.get_extra_state:
            destination[prefix + "_extra_state"] = self.get_extra_state()

    def get_extra_state(self):
        raise RuntimeError("Reached a code path in Module.get_extra_state() that should never be called.")

    def set_extra_state(self, state):
        raise RuntimeError("Reached a code path in Module.set_extra_state() that should never be called.")

    def load_state_dict(self, state_dict, strict=True, assign=False):
        """Copies a state dict into the module; names that are missing or unexpected are errors when strict."""
        return load_state(self, state_dict, strict, assign)

    def _load_from_state_dict(
        self, state_dict, prefix, local_metadata, strict, missing_keys, unexpected_keys, error_msgs
    ):
        load_own(self, state_dict, prefix, local_metadata, strict, missing_keys, unexpected_keys, error_msgs)

    def register_state_dict_post_hook(self, hook):
        """Calls hook(module, state_dict, prefix, local_metadata) after state_dict."""
        return RemovableHandle.add(self._state_dict_hooks, hook)

    _register_state_dict_hook = register_state_dict_post_hook

    def register_state_dict_pre_hook(self, hook):
        """Calls hook(module, prefix, keep_vars) before state_dict."""
        return RemovableHandle.add(self._state_dict_pre_hooks, hook)

    def register_load_state_dict_post_hook(self, hook):
        """Calls hook(module, incompatible_keys) after load_state_dict."""
        return RemovableHandle.add(self._load_state_dict_post_hooks, hook)

    def register_load_state_dict_pre_hook(self, hook):
        """Calls hook(module, state_dict, prefix, ...) before the module's own part is loaded."""

        def with_module(*args):
            return hook(self, *args)

        return RemovableHandle.add(self._load_state_dict_pre_hooks, with_module)

    def _register_load_state_dict_pre_hook(self, hook, with_module=False):
        if with_module:
            return self.register_load_state_dict_pre_hook(hook)
        return RemovableHandle.add(self._load_state_dict_pre_hooks, hook)

    # --- walking -----------------------------------------------------------------------------------------------------

    def _named_members(self, get, prefix="", recurse=True, remove_duplicate=True):
        seen = set()
        modules = self.named_modules(prefix=prefix, remove_duplicate=remove_duplicate) if recurse else [(prefix, self)]
        for where, module in modules:
            for name, v in get(module):
                if v is None or id(v) in seen:
                    continue
                if remove_duplicate:
                    seen.add(id(v))
                yield where + ("." if where else "") + name, v

    def parameters(self, recurse=True):
        """The parameters of the module and its children."""
        for _, p in self.named_parameters(recurse=recurse):
            yield p

    def named_parameters(self, prefix="", recurse=True, remove_duplicate=True):
        """(name, parameter) of the module and its children."""
        return self._named_members(lambda m: m._parameters.items(), prefix, recurse, remove_duplicate)

    def buffers(self, recurse=True):
        """The buffers of the module and its children."""
        for _, b in self.named_buffers(recurse=recurse):
            yield b

    def named_buffers(self, prefix="", recurse=True, remove_duplicate=True):
        """(name, buffer) of the module and its children."""
        return self._named_members(lambda m: m._buffers.items(), prefix, recurse, remove_duplicate)

    def children(self):
        """The direct children."""
        for _, m in self.named_children():
            yield m

    def named_children(self):
        """(name, module) of the direct children."""
        seen = set()
        for name, m in self._modules.items():
            if m is not None and m not in seen:
                seen.add(m)
                yield name, m

    def modules(self):
        """The module itself and all modules below."""
        for _, m in self.named_modules():
            yield m

    def named_modules(self, memo=None, prefix="", remove_duplicate=True):
        """(name, module) of the module itself and all modules below."""
        if memo is None:
            memo = set()
        if self not in memo:
            if remove_duplicate:
                memo.add(self)
            yield prefix, self
            for name, m in self._modules.items():
                if m is not None:
                    yield from m.named_modules(memo, prefix + ("." if prefix else "") + name, remove_duplicate)

    def get_submodule(self, target):
        """The module of a dotted name."""
        m = self
        for part in target.split(".") if target else ():
            if not hasattr(m, part):
                raise AttributeError(f"{_class_name(m)} has no attribute `{part}`")
            m = getattr(m, part)
            if not isinstance(m, Module):
                raise AttributeError(f"`{part}` is not an nn.Module")
        return m

    def set_submodule(self, target, module, strict=False):
        """Replaces the module of a dotted name."""
        if target == "":
            raise ValueError("Cannot set the submodule without a target name!")
        where, _, name = target.rpartition(".")
        parent = self.get_submodule(where)
        if strict and not hasattr(parent, name):
            raise AttributeError(f"{_class_name(parent)} has no attribute `{name}`")
        setattr(parent, name, module)

    def get_parameter(self, target):
        """The parameter of a dotted name."""
        where, _, name = target.rpartition(".")
        m = self.get_submodule(where)
        if not hasattr(m, name):
            raise AttributeError(f"{_class_name(m)} has no attribute `{name}`")
        p = getattr(m, name)
        if not isinstance(p, Parameter):
            raise AttributeError(f"`{name}` is not an nn.Parameter")
        return p

    def get_buffer(self, target):
        """The buffer of a dotted name."""
        where, _, name = target.rpartition(".")
        m = self.get_submodule(where)
        if not hasattr(m, name):
            raise AttributeError(f"{_class_name(m)} has no attribute `{name}`")
        if name not in m._buffers:
            raise AttributeError(f"`{name}` is not a buffer")
        return m._buffers[name]

    # --- changing all ------------------------------------------------------------------------------------------------

    def apply(self, fn):
        """Calls fn on every module below, children first, then on itself."""
        for m in self.children():
            m.apply(fn)
        fn(self)
        return self

    def _apply(self, fn, recurse=True):
        """Replaces the data of parameters, gradients and buffers by fn of them; the objects stay the same."""
        from ..._grad_mode import no_grad

        if recurse:
            for m in self.children():
                m._apply(fn)
        for p in self._parameters.values():
            if p is None:
                continue
            with no_grad():
                new = fn(p)
                grad = p.grad
                new_grad = None if grad is None else fn(grad)
                if new is not p:
                    if grad is not None:
                        p.grad = None
                    p.data = new
                    if new_grad is not None:
                        p.grad = new_grad.requires_grad_(grad.requires_grad) if grad.requires_grad else new_grad
        for name, b in self._buffers.items():
            if b is not None:
                self._buffers[name] = fn(b)
        return self

    def to(self, *args, **kwargs):
        """Moves parameters and buffers to a device, and those of a float dtype to a dtype."""
        from ..._methods import parse_to

        dtype, device, _ = parse_to(args, **kwargs)
        if dtype is not None and not dtype.is_floating_point:
            raise TypeError(
                f"nn.Module.to only accepts floating point or complex dtypes, but got desired dtype={dtype}"
            )
        if (
            device is not None
            and device.type != "meta"
            and any(t.is_meta for t in (*self.parameters(), *self.buffers()))
        ):
            raise NotImplementedError(
                "Cannot copy out of meta tensor; no data! Please use torch.nn.Module.to_empty() instead of "
                "torch.nn.Module.to() when moving module from meta to a different device."
            )
        return self._apply(lambda t: t.to(device, dtype if t.is_floating_point() else None))

    def _cast(self, dtype):
        return self._apply(lambda t: t.to(dtype) if t.is_floating_point() else t)

    def float(self):
        """Casts floating point parameters and buffers to float32."""
        from ..._dtype import float32

        return self._cast(float32)

    def double(self):
        """Casts floating point parameters and buffers to float64."""
        from ..._dtype import float64

        return self._cast(float64)

    def half(self):
        """Casts floating point parameters and buffers to float16."""
        from ..._dtype import float16

        return self._cast(float16)

    def bfloat16(self):
        """Casts floating point parameters and buffers to bfloat16."""
        from ..._dtype import bfloat16

        return self._cast(bfloat16)

    def type(self, dst_type):
        """Casts all parameters and buffers."""
        return self._apply(lambda t: t.type(dst_type))

    def cpu(self):
        """Moves parameters and buffers to the CPU."""
        return self._apply(lambda t: t.cpu())

    def cuda(self, device=None):
        """Moves parameters and buffers to a CUDA device."""
        return self._apply(lambda t: t.cuda(device))

    def opencl(self, device=None):
        """Moves parameters and buffers to an OpenCL device: of an index or a name, or the current one."""
        return self._apply(lambda t: t.opencl(device))

    def to_empty(self, *, device, recurse=True):
        """Moves to a device without copying the elements."""
        from ..._ops import empty_like

        return self._apply(
            lambda t: empty_like(t, device=_device(device) if isinstance(device, str) else device), recurse
        )

    def train(self, mode=True):
        """Sets training mode for the module and all modules below."""
        if not isinstance(mode, bool):
            raise ValueError("training mode is expected to be boolean")
        self.training = mode
        for m in self.children():
            m.train(mode)
        return self

    def eval(self):
        """Sets evaluation mode."""
        return self.train(False)

    def requires_grad_(self, requires_grad=True):
        """Says for all parameters whether they want a gradient."""
        for p in self.parameters():
            p.requires_grad_(requires_grad)
        return self

    def zero_grad(self, set_to_none=True):
        """Removes (or zeroes) the gradients of all parameters."""
        for p in self.parameters():
            if p.grad is not None:
                if set_to_none:
                    p.grad = None
                else:
                    p.grad.detach_().zero_() if not p.grad.requires_grad else p.grad.requires_grad_(False).zero_()

    def share_memory(self):
        return self

    def compile(self, *args, **kwargs):
        """Accepted and without effect: Taper runs eagerly."""

    # --- text and copies ---------------------------------------------------------------------------------------------

    def _get_name(self):
        return type(self).__name__

    def extra_repr(self):
        """What stands between the brackets when the module is printed."""
        return ""

    def __repr__(self):
        extra = self.extra_repr()
        extra = extra.split("\n") if extra else []
        children = [f"({name}): {_indent(repr(m), 2)}" for name, m in self._modules.items()]
        lines = extra + children
        text = self._get_name() + "("
        if lines:
            if len(extra) == 1 and not children:
                text += extra[0]
            else:
                text += "\n  " + "\n  ".join(lines) + "\n"
        return text + ")"

    def __setstate__(self, state):
        self.__dict__.update(state)
        for name in (
            "_forward_hooks",
            "_forward_pre_hooks",
            "_backward_hooks",
            "_backward_pre_hooks",
            "_state_dict_hooks",
            "_state_dict_pre_hooks",
            "_load_state_dict_pre_hooks",
            "_load_state_dict_post_hooks",
        ):
            self.__dict__.setdefault(name, {})
        self.__dict__.setdefault("_non_persistent_buffers_set", set())
        self.__dict__.setdefault("_is_full_backward_hook", None)

    def _replicate_for_data_parallel(self):
        replica = object.__new__(type(self))
        replica.__dict__ = self.__dict__.copy()
        for name in ("_parameters", "_buffers", "_modules"):
            replica.__dict__[name] = replica.__dict__[name].copy()
        return replica


def _forget(name, *dicts):
    for d in dicts:
        if d is not None:
            d.pop(name, None)


def _class_name(m):
    return type(m).__name__


def _typename(v):
    t = type(v)
    module = t.__module__
    if isinstance(v, Tensor) and t in (Tensor, Parameter):
        return "torch.nn.parameter.Parameter" if t is Parameter else v.type()
    return (
        t.__qualname__
        if module in ("builtins", "__main__")
        else f"{module}.{t.__qualname__}".replace("taper.", "torch.", 1)
    )
