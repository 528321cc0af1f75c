"""Sharded data parallelism in a world of one: every shard is whole, so modules run as they are."""

from dataclasses import dataclass
from enum import Enum, auto

from ... import nn

__all__ = [
    "BackwardPrefetch",
    "CPUOffload",
    "CPUOffloadPolicy",
    "FSDPModule",
    "FullOptimStateDictConfig",
    "FullStateDictConfig",
    "FullyShardedDataParallel",
    "LocalStateDictConfig",
    "MixedPrecision",
    "MixedPrecisionPolicy",
    "OffloadPolicy",
    "OptimStateDictConfig",
    "ShardedStateDictConfig",
    "ShardingStrategy",
    "StateDictConfig",
    "StateDictType",
    "fully_shard",
    "register_fsdp_forward_method",
]


class ShardingStrategy(Enum):
    """How much is cut among the processes."""

    FULL_SHARD = auto()
    SHARD_GRAD_OP = auto()
    NO_SHARD = auto()
    HYBRID_SHARD = auto()
    _HYBRID_SHARD_ZERO2 = auto()


class BackwardPrefetch(Enum):
    """When the next parameters are gathered."""

    BACKWARD_PRE = auto()
    BACKWARD_POST = auto()


class StateDictType(Enum):
    """How state dicts are cut."""

    FULL_STATE_DICT = auto()
    LOCAL_STATE_DICT = auto()
    SHARDED_STATE_DICT = auto()


@dataclass
class CPUOffload:
    """Whether parameters lie in the host's memory."""

    offload_params: bool = False


@dataclass
class MixedPrecision:
    """In which dtypes a module computes."""

    param_dtype: object = None
    reduce_dtype: object = None
    buffer_dtype: object = None
    keep_low_precision_grads: bool = False
    cast_forward_inputs: bool = False
    cast_root_forward_inputs: bool = True
    _module_classes_to_ignore: tuple = ()


@dataclass(frozen=True)
class MixedPrecisionPolicy:
    """In which dtypes a module of `fully_shard` computes."""

    param_dtype: object = None
    reduce_dtype: object = None
    output_dtype: object = None
    cast_forward_inputs: bool = True


@dataclass
class OffloadPolicy:
    """Where parameters lie: with the module."""


@dataclass
class CPUOffloadPolicy(OffloadPolicy):
    """Where parameters lie: in the host's memory."""

    pin_memory: bool = True


@dataclass
class StateDictConfig:
    """How a state dict is made."""

    offload_to_cpu: bool = False


@dataclass
class FullStateDictConfig(StateDictConfig):
    """How a whole state dict is made."""

    rank0_only: bool = False


@dataclass
class LocalStateDictConfig(StateDictConfig):
    """How a process's own state dict is made."""


@dataclass
class ShardedStateDictConfig(StateDictConfig):
    """How a state dict of shards is made."""

    _use_dtensor: bool = False


@dataclass
class OptimStateDictConfig:
    """How an optimiser's state dict is made."""

    offload_to_cpu: bool = True


@dataclass
class FullOptimStateDictConfig(OptimStateDictConfig):
    """How an optimiser's whole state dict is made."""

    rank0_only: bool = False


def _refuse_casts(name, policy):
    wanted = [k for k in ("param_dtype", "output_dtype", "buffer_dtype") if getattr(policy, k, None) is not None]
    if wanted:
        raise NotImplementedError(
            f"{name}: {wanted[0]} is not served: Taper runs in a world of one process, where modules keep their dtype; call "
            "module.to(dtype), or compute inside torch.autocast"
        )


class FullyShardedDataParallel(nn.Module):
    """Runs its module; state dict keys are the module's own."""

    def __init__(
        self,
        module,
        process_group=None,
        sharding_strategy=None,
        cpu_offload=None,
        auto_wrap_policy=None,
        backward_prefetch=None,
        mixed_precision=None,
        ignored_modules=None,
        param_init_fn=None,
        device_id=None,
        sync_module_states=False,
        forward_prefetch=False,
        limit_all_gathers=True,
        use_orig_params=False,
        ignored_states=None,
        device_mesh=None,
    ):
        from .. import need

        super().__init__()
        need()
        _refuse_casts("FullyShardedDataParallel", mixed_precision)
        self._fsdp_wrapped_module = module
        self._register_state_dict_hook(_without_prefix)
        self.register_load_state_dict_pre_hook(_with_prefix)

    @property
    def module(self):
        """What is wrapped."""
        return self._fsdp_wrapped_module

    def forward(self, *args, **kwargs):
        return self._fsdp_wrapped_module(*args, **kwargs)

    def clip_grad_norm_(self, max_norm, norm_type=2.0):
        """Clips the gradients of the module's parameters."""
        return nn.utils.clip_grad_norm_(self.parameters(), max_norm, norm_type)

    @staticmethod
    def fsdp_modules(module, root_only=False):
        """The wrappers in a module."""
        found = [m for m in module.modules() if isinstance(m, FullyShardedDataParallel)]
        return found[:1] if root_only else found

    def no_sync(self):
        """Inside, gradients are this process's own, as everywhere."""
        from contextlib import nullcontext

        return nullcontext()

    @staticmethod
    def summon_full_params(module, *args, **options):
        """Inside, parameters are whole, as everywhere."""
        from contextlib import nullcontext

        return nullcontext()

    @staticmethod
    def state_dict_type(module, state_dict_type, *configs):
        """Inside, state dicts are whole, as everywhere."""
        from contextlib import nullcontext

        return nullcontext()

    @staticmethod
    def optim_state_dict(model, optim, optim_state_dict=None, group=None):
        """The optimiser's state dict."""
        return optim.state_dict() if optim_state_dict is None else optim_state_dict


_PREFIX = "_fsdp_wrapped_module."


def _without_prefix(module, state, prefix, local_metadata):
    for key in [k for k in state if k.startswith(prefix + _PREFIX)]:
        state[prefix + key[len(prefix + _PREFIX) :]] = state.pop(key)


def _with_prefix(module, state, prefix, *args):
    for key in [k for k in state if k.startswith(prefix) and not k.startswith(prefix + _PREFIX)]:
        state[prefix + _PREFIX + key[len(prefix) :]] = state.pop(key)


class FSDPModule:
    """What `fully_shard` adds to a module's class. Nothing is cut among one, so that none of it changes what is computed."""

    def reshard(self):
        """Nothing to cut."""

    def unshard(self, async_op=False):
        """Whole already."""
        from .. import Work

        return Work() if async_op else None

    def _accepted(self, *args, **options):
        """Accepted: there is one process."""

    set_is_last_backward = set_requires_gradient_sync = set_requires_all_reduce = _accepted
    set_reshard_after_forward = set_reshard_after_backward = _accepted
    set_modules_to_forward_prefetch = set_modules_to_backward_prefetch = _accepted
    set_unshard_in_backward = set_reduce_scatter_divide_factor = set_gradient_divide_factor = _accepted


def fully_shard(
    module,
    *,
    mesh=None,
    reshard_after_forward=None,
    shard_placement_fn=None,
    mp_policy=None,
    offload_policy=None,
    **options,
):
    """Gives the module's class what sharded modules have; parameters stay whole. The module itself is the result."""
    _refuse_casts("fully_shard", mp_policy)
    for m in module if isinstance(module, (list, tuple)) else (module,):
        if isinstance(m, (nn.ModuleList, nn.ModuleDict)):
            raise ValueError(f"fully_shard does not support containers that do not implement forward: {m}")
        if not isinstance(m, FSDPModule):
            m.__class__ = type(f"FSDP{type(m).__name__}", (FSDPModule, type(m)), {})
    return module


def register_fsdp_forward_method(module, method_name):
    """A method of it counts as a forward: as every method does."""
    if not hasattr(module, method_name):
        raise ValueError(f"{type(module)} does not have a method {method_name}")
