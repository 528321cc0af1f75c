"""Parallel wrappers; with one device and one process they run the module itself."""

from .._tensor import Tensor
from .modules.module import Module

__all__ = [
    "DataParallel",
    "DistributedDataParallel",
    "data_parallel",
    "gather",
    "parallel_apply",
    "replicate",
    "scatter",
]


class DataParallel(Module):
    """Runs its module on the one device there is; state dict keys begin with `module.`, as in PyTorch."""

    def __init__(self, module, device_ids=None, output_device=None, dim=0):
        super().__init__()
        self.module = module
        self.device_ids = [] if device_ids is None else list(device_ids)
        self.output_device = output_device
        self.dim = dim

    def forward(self, *inputs, **kwargs):
        return self.module(*inputs, **kwargs)


class DistributedDataParallel(Module):
    """Runs its module in a world of one: gradients are the process's own. State dict keys begin with `module.`."""

    def __init__(
        self,
        module,
        device_ids=None,
        output_device=None,
        dim=0,
        broadcast_buffers=True,
        init_sync=True,
        process_group=None,
        bucket_cap_mb=None,
        find_unused_parameters=False,
        check_reduction=False,
        gradient_as_bucket_view=False,
        static_graph=False,
        delay_all_reduce_named_params=None,
        param_to_hook_all_reduce=None,
        mixed_precision=None,
        device_mesh=None,
        skip_all_reduce_unused_params=False,
        **options,
    ):
        from .. import distributed

        super().__init__()
        self.process_group = process_group or distributed.need()
        if not any(p.requires_grad for p in module.parameters()):
            raise RuntimeError(
                "DistributedDataParallel is not needed when a module doesn't have any parameter that requires a gradient."
            )
        if device_ids is not None and len(device_ids) > 1:
            raise ValueError("device_ids can only be None or contain a single element.")
        self.module = module
        self.device_ids, self.output_device, self.dim = device_ids, output_device, dim
        self.device = next(p for p in module.parameters()).device
        self.broadcast_buffers, self.find_unused_parameters = broadcast_buffers, find_unused_parameters
        self.static_graph, self.gradient_as_bucket_view = static_graph, gradient_as_bucket_view
        self.require_backward_grad_sync = True

    def forward(self, *inputs, **kwargs):
        return self.module(*inputs, **kwargs)

    class _Block:
        def __init__(self, owner, value):
            self.owner, self.value = owner, value

        def __enter__(self):
            if self.owner is not None:
                self.before = self.owner.require_backward_grad_sync
                self.owner.require_backward_grad_sync = self.value

        def __exit__(self, *exc):
            if self.owner is not None:
                self.owner.require_backward_grad_sync = self.before

    def no_sync(self):
        """A block in which gradients stay the process's own, as they do anyway."""
        return self._Block(self, False)

    def join(self, divide_by_initial_world_size=True, enable=True, throw_on_early_termination=False):
        """A block for uneven inputs: there is one process."""
        return self._Block(None, None)

    def register_comm_hook(self, state, hook):
        """Accepted: nothing is communicated."""

    def _set_static_graph(self):
        self.static_graph = True

    def scatter(self, inputs, kwargs, device_ids):
        return (inputs,), (kwargs,)

    def gather(self, outputs, output_device):
        return outputs[0]


def data_parallel(module, inputs, device_ids=None, output_device=None, dim=0, module_kwargs=None):
    """Calls the module on the one device there is."""
    inputs = inputs if isinstance(inputs, tuple) else (inputs,)
    return module(*inputs, **(module_kwargs or {}))


def scatter(inputs, target_gpus, dim=0):
    """Tensors in nested containers cut along a dimension, one part for each device."""
    devices = list(target_gpus)

    def parts(v):
        if isinstance(v, Tensor):
            return [c.to(d) for c, d in zip(v.chunk(len(devices), dim), devices)]
        if isinstance(v, tuple) and hasattr(v, "_fields"):
            return [type(v)(*p) for p in zip(*map(parts, v))]
        if isinstance(v, tuple) and v:
            return list(zip(*map(parts, v)))
        if isinstance(v, list) and v:
            return [list(p) for p in zip(*map(parts, v))]
        if isinstance(v, dict) and v:
            return [type(v)(p) for p in zip(*[[(k, x) for x in parts(w)] for k, w in v.items()])]
        return [v for _ in devices]

    return parts(inputs)


def gather(outputs, target_device, dim=0):
    """Nested containers of tensors from several devices as one on `target_device`."""
    first = outputs[0]
    if isinstance(first, Tensor):
        from .._ops import cat

        outputs = [o.reshape(1) if o.ndim == 0 else o for o in outputs]
        return cat([o.to(target_device) for o in outputs], dim)
    if first is None:
        return None
    if isinstance(first, dict):
        return type(first)((k, gather([o[k] for o in outputs], target_device, dim)) for k in first)
    made = [gather(list(o), target_device, dim) for o in zip(*outputs)]
    return type(first)(*made) if hasattr(first, "_fields") else type(first)(made)


def replicate(network, devices, detach=False):
    """A copy of a module for each device, which share its parameters."""
    return [network for _ in devices]


def parallel_apply(modules, inputs, kwargs_tup=None, devices=None):
    """Calls each module with its inputs."""
    kwargs_tup = kwargs_tup or ({},) * len(modules)
    return [
        m(*(i if isinstance(i, (tuple, list)) else (i,)), **(k or {})) for m, i, k in zip(modules, inputs, kwargs_tup)
    ]
