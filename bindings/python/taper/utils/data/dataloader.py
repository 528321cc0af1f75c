"""The loader: batches of a dataset, in this process or made ahead by worker processes."""

from ... import _ops as g
from ..._creation import as_tensor, tensor
from ..._dtype import float64
from ..._tensor import Tensor
from .dataset import IterableDataset
from .sampler import BatchSampler, RandomSampler, SequentialSampler, draw_seed


def default_convert(data):
    """Arrays as tensors, within any nesting."""
    if isinstance(data, Tensor):
        return data
    if hasattr(data, "__array_interface__") and data.dtype.kind in "fiub":
        return as_tensor(data)
    if isinstance(data, dict):
        return type(data)({k: default_convert(v) for k, v in data.items()})
    if isinstance(data, tuple) and hasattr(data, "_fields"):
        return type(data)(*[default_convert(v) for v in data])
    if isinstance(data, tuple):
        return [default_convert(v) for v in data]
    if isinstance(data, list):
        return [default_convert(v) for v in data]
    return data


def default_collate(batch):
    """A batch of samples: tensors, arrays and numbers stacked, within any nesting."""
    first = batch[0]
    if isinstance(first, Tensor):
        return g.stack(list(batch), 0)
    if hasattr(first, "__array_interface__"):
        if first.dtype.kind not in "fiub":
            raise TypeError(
                "default_collate: batch must contain tensors, numpy arrays, numbers, dicts or lists; found "
                + str(first.dtype)
            )
        if getattr(first, "ndim", 0) == 0:
            return as_tensor(batch)
        return g.stack([as_tensor(b) for b in batch], 0)
    if isinstance(first, float):
        return tensor(batch, dtype=float64)
    if isinstance(first, int):
        return tensor(batch)
    if isinstance(first, (str, bytes)):
        return batch
    if isinstance(first, dict):
        return type(first)({k: default_collate([d[k] for d in batch]) for k in first})
    if isinstance(first, tuple) and hasattr(first, "_fields"):
        return type(first)(*[default_collate(list(s)) for s in zip(*batch)])
    if isinstance(first, (tuple, list)):
        if any(len(b) != len(first) for b in batch):
            raise RuntimeError("each element in list of batch should be of equal size")
        return [default_collate(list(s)) for s in zip(*batch)]
    raise TypeError(
        "default_collate: batch must contain tensors, numpy arrays, numbers, dicts or lists; found " + str(type(first))
    )


class WorkerInfo:
    """What get_worker_info returns in a worker."""

    def __init__(self, id, num_workers, seed, dataset):
        self.id, self.num_workers, self.seed, self.dataset = id, num_workers, seed, dataset


_worker_info = None


def get_worker_info():
    """The running worker's number, the number of workers, its seed and dataset; None in the main process."""
    return _worker_info


class DataLoader:
    """Batches of a dataset, shuffled in PyTorch's order for the same seed."""

    def __init__(
        self,
        dataset,
        batch_size=1,
        shuffle=None,
        sampler=None,
        batch_sampler=None,
        num_workers=0,
        collate_fn=None,
        pin_memory=False,
        drop_last=False,
        timeout=0,
        worker_init_fn=None,
        multiprocessing_context=None,
        generator=None,
        *,
        prefetch_factor=None,
        persistent_workers=False,
        pin_memory_device="",
        in_order=True,
    ):
        if num_workers < 0:
            raise ValueError("num_workers option should be non-negative; use num_workers=0 to disable multiprocessing.")
        if timeout < 0:
            raise ValueError("timeout option should be non-negative")
        if num_workers == 0 and prefetch_factor is not None:
            raise ValueError(
                "prefetch_factor option could only be specified in multiprocessing."
                "let num_workers > 0 to enable multiprocessing, otherwise set prefetch_factor to None."
            )
        if persistent_workers and num_workers == 0:
            raise ValueError("persistent_workers option needs num_workers > 0")
        self.dataset, self.num_workers = dataset, num_workers
        self.prefetch_factor = 2 if prefetch_factor is None and num_workers else prefetch_factor
        self.pin_memory, self.timeout, self.worker_init_fn = pin_memory, timeout, worker_init_fn
        self.multiprocessing_context, self.persistent_workers = multiprocessing_context, persistent_workers
        self._iterable = isinstance(dataset, IterableDataset)
        if self._iterable:
            if shuffle not in (False, None):
                raise ValueError(
                    f"DataLoader with IterableDataset: expected unspecified shuffle option, but got shuffle={shuffle}"
                )
            if sampler is not None or batch_sampler is not None:
                raise ValueError(
                    "DataLoader with IterableDataset: expected unspecified sampler and batch_sampler options"
                )
        if sampler is not None and shuffle:
            raise ValueError("sampler option is mutually exclusive with shuffle")
        if batch_sampler is not None:
            if batch_size != 1 or shuffle or sampler is not None or drop_last:
                raise ValueError(
                    "batch_sampler option is mutually exclusive with batch_size, shuffle, sampler, and drop_last"
                )
            batch_size = None
            drop_last = False
        elif batch_size is None and drop_last:
            raise ValueError("batch_size=None option disables auto-batching and is mutually exclusive with drop_last")
        if sampler is None and not self._iterable:
            sampler = RandomSampler(dataset, generator=generator) if shuffle else SequentialSampler(dataset)
        if batch_size is not None and batch_sampler is None and not self._iterable:
            batch_sampler = BatchSampler(sampler, batch_size, drop_last)
        self.batch_size, self.drop_last = batch_size, drop_last
        self.sampler, self.batch_sampler, self.generator = sampler, batch_sampler, generator
        batched = batch_sampler is not None or (self._iterable and batch_size is not None)
        self.collate_fn = collate_fn or (default_collate if batched else default_convert)
        self._workers = None

    def __iter__(self):
        # The draw comes at this point even where no worker uses it: the sequence of numbers is PyTorch's.
        seed = draw_seed(self.generator)
        if self.num_workers == 0:
            return _stream(self) if self._iterable else _Single(self)
        from .workers import Multi

        return Multi(self, seed)

    def __len__(self):
        if self._iterable:
            n = len(self.dataset)
            if self.batch_size is None:
                return n
            return n // self.batch_size if self.drop_last else -(-n // self.batch_size)
        return len(self.sampler if self.batch_sampler is None else self.batch_sampler)


class _Single:
    """Iterates in this process."""

    def __init__(self, loader):
        self.loader = loader
        self.indices = iter(loader.sampler if loader.batch_sampler is None else loader.batch_sampler)

    def __iter__(self):
        return self

    def __next__(self):
        index = next(self.indices)
        return fetch(self.loader.dataset, self.loader.collate_fn, index, self.loader.batch_sampler is not None)

    def __len__(self):
        return len(self.loader)


def fetch(dataset, collate, index, batched):
    """The batch (or sample) of an index."""
    if not batched:
        return collate(dataset[index])
    many = getattr(dataset, "__getitems__", None)
    return collate(many(index) if callable(many) else [dataset[i] for i in index])


def _stream(loader):
    samples = iter(loader.dataset)
    if loader.batch_size is None:
        for s in samples:
            yield loader.collate_fn(s)
        return
    batch = []
    for s in samples:
        batch.append(s)
        if len(batch) == loader.batch_size:
            yield loader.collate_fn(batch)
            batch = []
    if batch and not loader.drop_last:
        yield loader.collate_fn(batch)
