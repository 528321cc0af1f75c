"""`torch.distributed` in a world of one: programs that are written for several processes run with one.

Every collective is what it is among one: the values stay as they are. A world of more is an error."""

import os
from datetime import timedelta

from .._tensor import Tensor

_ONE = "Taper runs in a world of one process"
default_pg_timeout = timedelta(minutes=30)
_backends = ("gloo", "nccl", "mpi", "ucc", "xccl")


class DistError(RuntimeError):
    """Base of this module's errors."""


class DistBackendError(DistError):
    """What a backend cannot do."""


class DistNetworkError(DistError):
    """A network that fails."""


class DistStoreError(DistError):
    """A store that fails."""


class QueueEmptyError(DistError):
    """A queue of a store that is empty."""


class Backend(str):
    """The name of a backend: gloo, nccl and so on; all are the same among one."""

    UNDEFINED, GLOO, NCCL, UCC, MPI, XCCL = "undefined", "gloo", "nccl", "ucc", "mpi", "xccl"
    backend_list = ["undefined", *_backends]

    def __new__(cls, name):
        if not isinstance(name, str):
            raise ValueError(f"Backend constructor parameter must be string-ish, got {type(name)}")
        return str.__new__(cls, name.lower())

    @classmethod
    def register_backend(cls, name, func, extended_api=False, devices=None):
        raise DistBackendError(f"register_backend: {_ONE}, without backends")


class ReduceOp:
    """How values are reduced."""

    SUM, AVG, PRODUCT, MIN, MAX = "SUM", "AVG", "PRODUCT", "MIN", "MAX"
    BAND, BOR, BXOR, PREMUL_SUM = "BAND", "BOR", "BXOR", "PREMUL_SUM"

    def __new__(cls, op=SUM):
        return op


reduce_op = ReduceOp


class Work:
    """A collective that is done."""

    def __init__(self, result=None):
        self._result = result

    def wait(self, timeout=None):
        return True

    def is_completed(self):
        return True

    is_success = is_completed

    def result(self):
        return [] if self._result is None else self._result

    def exception(self):
        return None

    def source_rank(self):
        return 0

    def synchronize(self):
        pass

    def get_future(self):
        from ..futures import Future

        made = Future()
        made.set_result(self._result)
        return made


class ProcessGroup:
    """A group of processes: the one there is."""

    def __init__(self, name="gloo", description=""):
        self._backend, self.group_name, self.group_desc = name, "0", description

    def rank(self):
        return 0

    def size(self):
        return 1

    def name(self):
        return self._backend


ProcessGroupGloo = ProcessGroupNCCL = ProcessGroup


class _World:
    group = None


class group:
    """The group of all."""

    WORLD = None


class GroupMember:
    """Whether a process belongs to a group."""

    NON_GROUP_MEMBER = -100
    WORLD = None


class Store:
    """Keys and values."""

    def __init__(self):
        self._values, self.timeout = {}, timedelta(seconds=300)

    def set(self, key, value):
        self._values[key] = value.encode() if isinstance(value, str) else bytes(value)

    def get(self, key):
        if key not in self._values:
            raise DistStoreError(f"wait timeout after {self.timeout}, keys: /{key}")
        return self._values[key]

    def add(self, key, amount):
        value = int(self._values.get(key, b"0")) + amount
        self._values[key] = str(value).encode()
        return value

    def compare_set(self, key, expected, desired):
        if self._values.get(key, b"" if expected == "" else None) == expected.encode():
            self.set(key, desired)
        return self._values.get(key, expected.encode())

    def wait(self, keys, timeout=None):
        for k in keys:
            self.get(k)

    def check(self, keys):
        return all(k in self._values for k in keys)

    def delete_key(self, key):
        return self._values.pop(key, None) is not None

    def num_keys(self):
        return len(self._values)

    def set_timeout(self, timeout):
        self.timeout = timeout


class HashStore(Store):
    """A store in memory."""


class FileStore(Store):
    """A store named by a file, in memory."""

    def __init__(self, file_name, world_size=-1):
        _check_world(world_size if world_size > 0 else 1, 0)
        super().__init__()
        self.path = file_name


class TCPStore(Store):
    """A store named by an address, in memory."""

    def __init__(self, host_name, port=0, world_size=None, is_master=False, timeout=None, **options):
        _check_world(world_size or 1, 0)
        super().__init__()
        self.host, self.port = host_name, port


class PrefixStore(Store):
    """A store whose keys begin with a prefix in another."""

    def __init__(self, prefix, store):
        super().__init__()
        self.prefix, self.underlying_store = prefix, store

    def set(self, key, value):
        self.underlying_store.set(f"{self.prefix}/{key}", value)

    def get(self, key):
        return self.underlying_store.get(f"{self.prefix}/{key}")

    def add(self, key, amount):
        return self.underlying_store.add(f"{self.prefix}/{key}", amount)


def _check_world(size, rank):
    if size > 1:
        raise DistBackendError(
            f"init_process_group: world_size is {size}, but {_ONE}; run the program with WORLD_SIZE=1 (or nproc_per_node=1)"
        )
    if rank > 0:
        raise DistBackendError(f"init_process_group: rank is {rank}, but {_ONE}: rank 0")


def is_available():
    """True."""
    return True


def is_initialized():
    """Whether init_process_group was called."""
    return _World.group is not None


def is_backend_available(backend):
    """Whether a backend of that name can be chosen."""
    return backend.lower() in _backends[:1]


def is_gloo_available():
    """True: its name is accepted."""
    return True


def is_nccl_available():
    """False."""
    return False


is_mpi_available = is_ucc_available = is_xccl_available = is_nccl_available


def is_torchelastic_launched():
    """Whether a launcher started the program."""
    return os.environ.get("TORCHELASTIC_RUN_ID") is not None


def init_process_group(
    backend=None,
    init_method=None,
    timeout=None,
    world_size=-1,
    rank=-1,
    store=None,
    group_name="",
    pg_options=None,
    device_id=None,
    **options,
):
    """Starts the world of one."""
    if _World.group is not None:
        raise ValueError("trying to initialize the default process group twice!")
    if store is not None and init_method is not None:
        raise AssertionError("Cannot specify both init_method and store.")
    size, place = world_size, rank
    if store is None and (init_method is None or init_method == "env://"):
        size = int(os.environ.get("WORLD_SIZE", "1")) if size == -1 else size
        place = int(os.environ.get("RANK", "0")) if place == -1 else place
    _check_world(size, place)
    _World.group = ProcessGroup(Backend(backend or "gloo"))
    group.WORLD = GroupMember.WORLD = _World.group


def destroy_process_group(group=None):
    """Ends the world, or forgets a group."""
    need()
    if group is None or group is _World.group:
        _World.group = None
        _forget()


def _forget():
    globals()["group"].WORLD = GroupMember.WORLD = None


def need():
    """The world, which must be there."""
    if _World.group is None:
        raise ValueError("Default process group has not been initialized, please make sure to call init_process_group.")
    return _World.group


def get_rank(group=None):
    """0."""
    need()
    return 0


def get_world_size(group=None):
    """1."""
    need()
    return 1


def get_group_rank(group, global_rank):
    """A process's rank within a group."""
    _peer("get_group_rank", global_rank)
    return 0


def get_global_rank(group, group_rank):
    """A group's process's rank in the world."""
    _peer("get_global_rank", group_rank)
    return 0


def get_process_group_ranks(group=None):
    """The ranks of a group."""
    return [0]


def get_node_local_rank(fallback_rank=None):
    """The rank on this machine."""
    value = os.environ.get("LOCAL_RANK", fallback_rank)
    if value is None:
        raise RuntimeError(
            "LOCAL_RANK is not in the environment. Consider passing fallback_rank to allow `get_node_local_rank` to work, "
            "assuming you are not running in a multi-device context and want the code to run locally instead."
        )
    return int(value)


def get_backend(group=None):
    """The backend's name."""
    return (group or need()).name()


def get_backend_config(group=None):
    """The backend's name for each kind of device."""
    return f"cpu:{get_backend(group)}"


def get_default_backend_for_device(device):
    """The backend for a device."""
    return "gloo"


def get_pg_count():
    """How many groups there are."""
    return int(is_initialized())


def new_group(ranks=None, timeout=None, backend=None, pg_options=None, **options):
    """A group of these ranks."""
    world = need()
    if ranks is not None:
        for r in ranks:
            _peer("new_group", r)
        if not list(ranks):
            return GroupMember.NON_GROUP_MEMBER
    return ProcessGroup(Backend(backend) if backend else world.name())


def new_subgroups(group_size=None, group=None, timeout=None, backend=None, **options):
    """Groups of group_size."""
    if group_size not in (None, 1):
        raise ValueError(f"The arg 'group_size' ({group_size}) must not exceed the world size (1)")
    made = new_group()
    return made, [made]


def new_subgroups_by_enumeration(ranks_per_subgroup_list, timeout=None, backend=None, **options):
    """Groups of these ranks."""
    groups = [new_group(r, timeout, backend) for r in ranks_per_subgroup_list]
    return (groups[0] if groups else None), groups


def _peer(name, rank):
    if rank is not None and rank != 0:
        raise ValueError(f"{name}: rank {rank} is not in the world: {_ONE}, of rank 0")


def _done(async_op, result=None):
    return Work(result) if async_op else None


def _one(name, values):
    need()
    if not isinstance(values, (list, tuple)) or len(values) != 1:
        raise ValueError(f"{name}: expected a list of one, for the one process there is, got {values!r:.80}")


def _copy(to, source):
    if isinstance(to, Tensor):
        to.detach().copy_(source.reshape(to.shape))


def all_reduce(tensor, op=None, group=None, async_op=False):
    """Stays as it is."""
    need()
    return _done(async_op, [tensor])


def all_reduce_coalesced(tensors, op=None, group=None, async_op=False):
    """Stay as they are."""
    need()
    return _done(async_op, tensors)


def reduce(tensor, dst=None, op=None, group=None, async_op=False, group_dst=None):
    """Stays as it is."""
    need()
    _peer("reduce", dst)
    return _done(async_op, [tensor])


def broadcast(tensor, src=None, group=None, async_op=False, group_src=None):
    """Stays as it is."""
    need()
    _peer("broadcast", src)
    return _done(async_op, [tensor])


def all_gather(tensor_list, tensor, group=None, async_op=False):
    """Copies the tensor into the list's one."""
    _one("all_gather", tensor_list)
    _copy(tensor_list[0], tensor)
    return _done(async_op, tensor_list)


def all_gather_coalesced(output_tensor_lists, input_tensor_list, group=None, async_op=False):
    """Copies each tensor into its list's one."""
    for to, source in zip(output_tensor_lists, input_tensor_list):
        all_gather(to, source)
    return _done(async_op)


def all_gather_into_tensor(output_tensor, input_tensor, group=None, async_op=False):
    """Copies the tensor."""
    need()
    _copy(output_tensor, input_tensor)
    return _done(async_op, [output_tensor])


all_gather_single = _all_gather_base = all_gather_into_tensor


def gather(tensor, gather_list=None, dst=None, group=None, async_op=False, group_dst=None):
    """Copies the tensor into the list's one."""
    _one("gather", gather_list)
    _peer("gather", dst)
    _copy(gather_list[0], tensor)
    return _done(async_op, gather_list)


def gather_into_tensor(output, input, dst=None, group=None, async_op=False, **options):
    """Copies the tensor."""
    return all_gather_into_tensor(output, input, group, async_op)


gather_single = gather_into_tensor


def scatter(tensor, scatter_list=None, src=None, group=None, async_op=False, group_src=None):
    """Copies the list's one into the tensor."""
    _one("scatter", scatter_list)
    _peer("scatter", src)
    _copy(tensor, scatter_list[0])
    return _done(async_op, [tensor])


def reduce_scatter(output, input_list, op=None, group=None, async_op=False):
    """Copies the list's one into the tensor."""
    _one("reduce_scatter", input_list)
    _copy(output, input_list[0])
    return _done(async_op, [output])


def reduce_scatter_tensor(output, input, op=None, group=None, async_op=False):
    """Copies the tensor."""
    return all_gather_into_tensor(output, input, group, async_op)


reduce_scatter_single = _reduce_scatter_base = reduce_scatter_tensor


def all_to_all(output_tensor_list, input_tensor_list, group=None, async_op=False):
    """Copies the list's one into the other's."""
    _one("all_to_all", output_tensor_list)
    _one("all_to_all", input_tensor_list)
    _copy(output_tensor_list[0], input_tensor_list[0])
    return _done(async_op, output_tensor_list)


def all_to_all_single(output, input, output_split_sizes=None, input_split_sizes=None, group=None, async_op=False):
    """Copies the tensor."""
    return all_gather_into_tensor(output, input, group, async_op)


def all_gather_object(object_list, obj, group=None):
    """Puts a copy of the object into the list."""
    import copy

    _one("all_gather_object", object_list)
    object_list[0] = copy.deepcopy(obj)


def gather_object(obj, object_gather_list=None, dst=None, group=None, group_dst=None):
    """Puts a copy of the object into the list."""
    all_gather_object(object_gather_list, obj)


def broadcast_object_list(object_list, src=None, group=None, device=None, group_src=None):
    """Stay as they are."""
    need()
    _peer("broadcast_object_list", src)


def scatter_object_list(
    scatter_object_output_list, scatter_object_input_list=None, src=None, group=None, group_src=None
):
    """Puts the list's one into the other."""
    _one("scatter_object_list", scatter_object_input_list)
    if not scatter_object_output_list:
        raise ValueError("Expected argument scatter_object_output_list to be a list of size at least 1.")
    scatter_object_output_list[0] = scatter_object_input_list[0]


def barrier(group=None, async_op=False, device_ids=None):
    """Nobody to wait for."""
    need()
    return _done(async_op)


def monitored_barrier(group=None, timeout=None, wait_all_ranks=False):
    """Nobody to wait for."""
    need()


def _nobody(name):
    def function(*args, **kwargs):
        need()
        raise DistBackendError(f"{name}: {_ONE}, there is nobody to send to or receive from")

    function.__name__ = function.__qualname__ = name
    function.__doc__ = "Refused: there is no other process."
    return function


send, recv, isend, irecv = _nobody("send"), _nobody("recv"), _nobody("isend"), _nobody("irecv")
batch_isend_irecv, recv_object_list = _nobody("batch_isend_irecv"), _nobody("recv_object_list")
send_object_list = _nobody("send_object_list")


class P2POp:
    """A message between two processes."""

    def __init__(self, op, tensor, peer=None, group=None, tag=0, group_peer=None):
        self.op, self.tensor, self.peer, self.group, self.tag = op, tensor, peer, group, tag


class DebugLevel:
    """How much is said."""

    OFF, INFO, DETAIL = "OFF", "INFO", "DETAIL"


def get_debug_level():
    """OFF."""
    return DebugLevel.OFF


def set_debug_level(level):
    """Accepted."""


def breakpoint(rank=0, skip=0, timeout_s=3600):
    """A breakpoint on a rank."""
    import pdb

    if rank == 0:
        pdb.set_trace()


def supports_complex(op):
    """Whether a reduction is of complex numbers."""
    return True


from .device_mesh import DeviceMesh, init_device_mesh  # noqa: E402, F401  (it asks this module for the world)


def __getattr__(name):
    if name in ("checkpoint", "device_mesh", "distributed_c10d", "fsdp", "tensor"):
        from importlib import import_module

        return import_module("taper.distributed." + name)
    if name in ("algorithms", "elastic", "nn", "optim", "rpc", "utils"):
        raise AttributeError(f"module 'taper.distributed' has no attribute '{name}': {_ONE}")
    raise AttributeError(f"module 'taper.distributed' has no attribute '{name}'")
