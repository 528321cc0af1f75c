"""Parametrizations: a parameter or buffer computed, whenever it is read, from others by a chain of modules."""

import copyreg
from collections.abc import Sequence
from copy import deepcopy

from ..._grad_mode import no_grad
from ..._tensor import Tensor
from ..modules.container import ModuleDict, ModuleList
from ..parameter import Parameter

__all__ = [
    "cached",
    "ParametrizationList",
    "register_parametrization",
    "is_parametrized",
    "remove_parametrizations",
    "type_before_parametrizations",
    "transfer_parametrizations_and_params",
]

_cache_enabled = 0
_cache = {}


class cached:
    """Inside, each parametrized tensor is computed once and kept until the outermost block ends."""

    def __enter__(self):
        global _cache_enabled
        _cache_enabled += 1

    def __exit__(self, *exc):
        global _cache_enabled
        _cache_enabled -= 1
        if not _cache_enabled:
            _cache.clear()

    def __call__(self, function):
        from functools import wraps

        @wraps(function)
        def inside(*args, **kwargs):
            with cached():
                return function(*args, **kwargs)

        return inside


def _register_parameter_or_buffer(module, name, tensor):
    if isinstance(tensor, Parameter):
        module.register_parameter(name, tensor)
    else:
        module.register_buffer(name, tensor)


def _put(destination, source):
    """Gives a tensor the memory of another unless it has it; what did not fit is swapped for what does."""
    if destination is not source:
        destination.data = source.detach()


class ParametrizationList(ModuleList):
    """The chain of one tensor: `original` (or `original0`, `original1` ...) and the modules that make the tensor of it."""

    def __init__(self, modules, original, unsafe=False):
        if len(modules) == 0:
            raise ValueError("ParametrizationList requires one or more modules.")
        super().__init__(modules)
        self.unsafe = unsafe
        shape, dtype = original.shape, original.dtype
        new = self._inverted(original)
        if not isinstance(new, Tensor) and not isinstance(new, Sequence):
            raise ValueError(
                "'right_inverse' must return a Tensor or a Sequence of tensors (list, tuple...). "
                f"Got {type(new).__name__}"
            )
        self.is_tensor = isinstance(new, Tensor)
        self.ntensors = 1 if self.is_tensor else len(new)
        if self.is_tensor:
            for what in ("dtype", "device"):
                if getattr(original, what) != getattr(new, what):
                    raise ValueError(
                        f"When `right_inverse` outputs one tensor, it may not change the {what}.\n"
                        f"original.{what}: {getattr(original, what)}\n"
                        f"right_inverse(original).{what}: {getattr(new, what)}"
                    )
            with no_grad():
                _put(original, new)
            _register_parameter_or_buffer(self, "original", original)
        else:
            for i, part in enumerate(new):
                if not isinstance(part, Tensor):
                    raise ValueError(
                        "'right_inverse' must return a Tensor or a Sequence of tensors (list, tuple...). "
                        f"Got element {i} of the sequence with type {type(part).__name__}."
                    )
                if isinstance(original, Parameter):
                    part = Parameter(part, original.requires_grad)
                part.requires_grad_(original.requires_grad)
                _register_parameter_or_buffer(self, f"original{i}", part)
        if unsafe:
            return
        made = self()
        if not isinstance(made, Tensor):
            raise ValueError(f"A parametrization must return a tensor. Got {type(made).__name__}.")
        for what, before, after in (("dtype", dtype, made.dtype), ("shape", shape, made.shape)):
            if before != after:
                raise ValueError(
                    f"Registering a parametrization may not change the {what} of the tensor, unless `unsafe` flag is enabled.\n"
                    f"unparametrized {what}: {before}\nparametrized {what}: {after}"
                )

    def _inverted(self, value):
        """The chain backwards, past parametrizations that have no inverse."""
        new = value
        with no_grad():
            for module in reversed(self):
                if hasattr(module, "right_inverse"):
                    try:
                        new = module.right_inverse(new)
                    except NotImplementedError:
                        pass
        return new

    def _originals(self):
        if self.is_tensor:
            return [self.original]
        return [getattr(self, f"original{i}") for i in range(self.ntensors)]

    def right_inverse(self, value):
        """Sets the originals so that the chain gives `value`, as far as its modules have inverses."""
        with no_grad():
            for module in reversed(self):
                if not hasattr(module, "right_inverse"):
                    raise RuntimeError(f"parametrization {type(module).__name__} does not implement right_inverse.")
                value = module.right_inverse(value)
            if self.is_tensor:
                if not isinstance(value, Tensor):
                    raise ValueError(f"`right_inverse` should return a tensor. Got {type(value).__name__}")
                if value.dtype != self.original.dtype:
                    raise ValueError(
                        f"The tensor returned by `right_inverse` has dtype {value.dtype} "
                        f"while `original` has dtype {self.original.dtype}"
                    )
                _put(self.original, value)
                return
            if not isinstance(value, Sequence):
                raise ValueError(f"'right_inverse' must return a sequence of tensors. Got {type(value).__name__}.")
            if len(value) != self.ntensors:
                raise ValueError(
                    "'right_inverse' must return a sequence of tensors of length "
                    f"{self.ntensors}. Got a sequence of length {len(value)}."
                )
            for i, (part, original) in enumerate(zip(value, self._originals())):
                if not isinstance(part, Tensor):
                    raise ValueError(
                        "'right_inverse' must return a sequence of tensors or reference-type opaques. "
                        f"Got element {i} of type {type(part).__name__}."
                    )
                if part.dtype != original.dtype:
                    raise ValueError(
                        f"Tensor {i} returned by `right_inverse` has dtype {part.dtype} "
                        f"while `original{i}` has dtype {original.dtype}"
                    )
                _put(original, part)

    def forward(self):
        first, *rest = self
        x = first(*self._originals())
        for module in rest:
            x = module(x)
        return x


def _inject_new_class(module):
    """Gives a module a class of its own, in which properties can stand; it is not pickled, but copied."""
    cls = module.__class__

    def copied(self, memo):
        found = memo.get(id(self))
        if found is not None:
            return found
        new = self.__new__(self.__class__)
        memo[id(self)] = new
        new.__dict__ = deepcopy(self.__dict__, memo)
        new.__class__ = self.__class__
        # Slots, which __dict__ has not.
        for slot in copyreg._slotnames(self.__class__):
            if slot not in ("__dict__", "__weakref__") and hasattr(self, slot):
                object.__setattr__(new, slot, deepcopy(getattr(self, slot), memo))
        return new

    def refused(self):
        raise RuntimeError(
            "Serialization of parametrized modules is only supported through state_dict(). See:\n"
            "https://pytorch.org/tutorials/beginner/saving_loading_models.html"
            "#saving-loading-a-general-checkpoint-for-inference-and-or-resuming-training"
        )

    members = {"__getstate__": refused}
    if not hasattr(cls, "__deepcopy__"):
        members["__deepcopy__"] = copied
    module.__class__ = type(f"Parametrized{cls.__name__}", (cls,), members)


def _inject_property(module, name):
    assert not hasattr(module, name)

    def get(self):
        chain = self.parametrizations[name]
        if not _cache_enabled:
            return chain()
        key = (id(self), name)
        made = _cache.get(key)
        if made is None:
            made = _cache[key] = chain()
        return made

    def put(self, value):
        self.parametrizations[name].right_inverse(value)

    setattr(module.__class__, name, property(get, put))


def is_parametrized(module, tensor_name=None):
    """Whether a module has parametrizations, or one of its tensors has."""
    chains = getattr(module, "parametrizations", None)
    if not isinstance(chains, ModuleDict):
        return False
    return len(chains) > 0 if tensor_name is None else tensor_name in chains


def register_parametrization(module, tensor_name, parametrization, *, unsafe=False):
    """Has a module's parameter or buffer computed by a module: `parametrization(original)`.

    Further ones act on what the ones before made. With a method `right_inverse` the tensor can be assigned to."""
    parametrization.train(module.training)
    if is_parametrized(module, tensor_name):
        chain = module.parametrizations[tensor_name]
        if unsafe:
            chain.unsafe = True
        else:
            current = getattr(module, tensor_name)
            made = parametrization(current)
            if not isinstance(made, Tensor):
                raise ValueError(f"A parametrization must return a tensor. Got {type(made).__name__}.")
            for what in ("dtype", "shape"):
                before, after = getattr(current, what), getattr(made, what)
                if before != after:
                    raise ValueError(
                        f"Registering a parametrization may not change the {what} of the tensor, unless the `unsafe` flag is enabled.\n"
                        f"module.{tensor_name}.{what}: {before}\n"
                        f"parametrization(module.{tensor_name}).{what}: {after}"
                    )
            if hasattr(parametrization, "right_inverse"):
                try:
                    back = parametrization.right_inverse(current)
                except NotImplementedError:
                    pass
                else:
                    if not isinstance(back, Tensor):
                        raise ValueError(
                            f"parametrization.right_inverse must return a tensor. Got: {type(back).__name__}"
                        )
                    for what in ("dtype", "shape"):
                        before, after = getattr(current, what), getattr(back, what)
                        if before != after:
                            tail = (
                                f"The tensor returned by parametrization.right_inverse must have the same {what} as "
                                f"module.{tensor_name}, unless the `unsafe` flag is enabled.\n"
                            )
                            raise ValueError(f"{tail}module.{tensor_name}.{what}: {before}\nreturned {what}: {after}")
        chain.append(parametrization)
        chain.unsafe = chain.unsafe or unsafe
    elif tensor_name in module._buffers or tensor_name in module._parameters:
        original = getattr(module, tensor_name)
        chain = ParametrizationList([parametrization], original, unsafe=unsafe)
        delattr(module, tensor_name)
        if not is_parametrized(module):
            _inject_new_class(module)
            module.parametrizations = ModuleDict()
        _inject_property(module, tensor_name)
        module.parametrizations[tensor_name] = chain
    else:
        raise ValueError(
            f"Module '{module}' does not have a parameter, a buffer, or a parametrized element with name '{tensor_name}'"
        )
    return module


def remove_parametrizations(module, tensor_name, leave_parametrized=True):
    """Takes a tensor's parametrizations away; it keeps its value, or gets its original back."""
    if not is_parametrized(module, tensor_name):
        raise ValueError(f"Module {module} does not have a parametrization on {tensor_name}")
    chain = module.parametrizations[tensor_name]
    if chain.is_tensor:
        original = chain.original
        if leave_parametrized:
            with no_grad():
                made = getattr(module, tensor_name)
            try:
                with no_grad():
                    _put(original, made)
            except RuntimeError as error:
                raise RuntimeError(
                    "Calling remove_parametrizations() with leave_parametrized=True for a parameter that is an instance of "
                    "a tensor subclass requires set_() to be implemented correctly for the tensor subclass. Alternatively, "
                    "one can opt into the swap_tensors path. Either set leave_parametrized=False or provide a working "
                    "implementation for set_() in the tensor subclass or set "
                    "torch.__future__.set_swap_module_params_on_conversion(True)."
                ) from error
    elif leave_parametrized:
        made = getattr(module, tensor_name)
        original = Parameter(made.detach()) if made.requires_grad else made
    else:
        raise ValueError(
            "Cannot leave unparametrized (`leave_parametrized=False`) a tensor that is parametrized in terms of a sequence of tensors."
        )
    del module.parametrizations[tensor_name]
    # Copies of the module share its class: they keep their property.
    module.__class__ = module.__class__.__bases__[0]
    if is_parametrized(module):
        _inject_new_class(module)
        for name in module.parametrizations:
            _inject_property(module, name)
    else:
        delattr(module, "parametrizations")
    _register_parameter_or_buffer(module, tensor_name, original)
    return module


def type_before_parametrizations(module):
    """The module's class without the one that parametrizing gave it."""
    return module.__class__.__bases__[0] if is_parametrized(module) else type(module)


def transfer_parametrizations_and_params(from_module, to_module, tensor_name=None):
    """Gives a module another's parametrizations, with the parameters they work on."""
    if not is_parametrized(from_module):
        return to_module
    assert isinstance(from_module.parametrizations, ModuleDict)
    names = from_module.parametrizations if tensor_name is None else [tensor_name]
    assert hasattr(names, "__iter__")
    for name in list(names):
        source = from_module.parametrizations[name]
        if not hasattr(to_module, name):
            setattr(to_module, name, Parameter(getattr(from_module, name)))
        for step in source:
            register_parametrization(to_module, name, step)
        target = to_module.parametrizations[name]
        for i, part in enumerate(source._originals()):
            setattr(target, "original" if source.is_tensor else f"original{i}", part)
    return to_module
