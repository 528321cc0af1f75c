"""Worker processes of a loader: each makes every n-th batch; batches come in order."""

import multiprocessing
import os
import pickle
import sys
import traceback

from ..._random import manual_seed
from ..._settings import set_num_threads
from . import dataloader
from .dataloader import fetch


class _Failure:
    """An exception of a worker, with its traceback as text."""

    def __init__(self, error, worker):
        self.kind, self.worker = type(error), worker
        self.text = traceback.format_exc()

    def reraise(self):
        text = f"Caught {self.kind.__name__} in DataLoader worker process {self.worker}.\nOriginal {self.text}"
        try:
            error = self.kind(text)
        except TypeError:
            error = RuntimeError(text)
        raise error


class _End:
    """A stream has ended."""


def _work(connection, loader, worker, seed):
    import random

    # Workers side by side keep the CPUs busy by themselves, as PyTorch's do.
    set_num_threads(1)
    info = dataloader.WorkerInfo(worker, loader.num_workers, seed + worker, loader.dataset)
    dataloader._worker_info = info
    manual_seed(info.seed)
    random.seed(info.seed)
    if "numpy" in sys.modules:
        import numpy

        numpy.random.seed(info.seed & 0xFFFF_FFFF)
    stream = None
    try:
        if loader.worker_init_fn is not None:
            loader.worker_init_fn(worker)
        if loader._iterable:
            stream = dataloader._stream(loader)
    except Exception as error:
        connection.send_bytes(pickle.dumps(_Failure(error, worker)))
        return
    batched = loader.batch_sampler is not None
    while True:
        try:
            index = connection.recv()
        except EOFError:
            return
        if index is None:
            return
        try:
            if stream is not None:
                result = next(stream, _End())
            else:
                result = fetch(loader.dataset, loader.collate_fn, index[0], batched)
        except Exception as error:
            result = _Failure(error, worker)
        try:
            data = pickle.dumps(result, protocol=5)
        except Exception as error:
            data = pickle.dumps(_Failure(error, worker))
        connection.send_bytes(data)


class Multi:
    """The iterator over worker processes."""

    def __init__(self, loader, seed):
        self.loader = loader
        self.indices = None
        if not loader._iterable:
            self.indices = iter(loader.sampler if loader.batch_sampler is None else loader.batch_sampler)
        context = loader.multiprocessing_context
        if not hasattr(context, "Process"):
            context = multiprocessing.get_context(context)
        self.connections, self.processes = [], []
        for worker in range(loader.num_workers):
            here, there = context.Pipe()
            process = context.Process(target=_work, args=(there, loader, worker, seed), daemon=True)
            process.start()
            there.close()
            self.connections.append(here)
            self.processes.append(process)
        self.owner = os.getpid()
        self.turn = 0  # the worker whose batch comes next
        self.asked = [0] * loader.num_workers
        self.live = [True] * loader.num_workers
        self.give = 0  # the worker that gets the next index
        self.done = False
        for _ in range(loader.prefetch_factor * loader.num_workers):
            self._ask()

    def _ask(self):
        """Gives the next index to the worker whose turn it is."""
        if self.loader._iterable:
            for _ in self.live:
                worker, self.give = self.give, (self.give + 1) % len(self.live)
                if self.live[worker]:
                    self.connections[worker].send((None,))
                    self.asked[worker] += 1
                    return
            return
        if self.done:
            return
        try:
            index = next(self.indices)
        except StopIteration:
            self.done = True
            return
        worker, self.give = self.give, (self.give + 1) % len(self.live)
        self.connections[worker].send((index,))
        self.asked[worker] += 1

    def __iter__(self):
        return self

    def __len__(self):
        return len(self.loader)

    def __next__(self):
        while any(self.asked):
            worker, self.turn = self.turn, (self.turn + 1) % len(self.live)
            if not self.asked[worker]:
                continue
            connection = self.connections[worker]
            try:
                if self.loader.timeout and not connection.poll(self.loader.timeout):
                    raise RuntimeError(f"DataLoader timed out after {self.loader.timeout} seconds")
                result = pickle.loads(connection.recv_bytes())
            except EOFError:
                process = self.processes[worker]
                process.join(1)
                self.close()
                raise RuntimeError(
                    f"DataLoader worker (pid {process.pid}) exited unexpectedly with exit code {process.exitcode}"
                ) from None
            self.asked[worker] -= 1
            if isinstance(result, _Failure):
                self.close()
                result.reraise()
            if isinstance(result, _End):
                self.live[worker] = False
                continue
            self._ask()
            return result
        self.close()
        raise StopIteration

    def close(self):
        """Ends the workers."""
        if self.owner != os.getpid():
            return
        for connection in self.connections:
            try:
                connection.send(None)
            except (OSError, ValueError):
                pass
            connection.close()
        for process in self.processes:
            process.join(5)
            if process.is_alive():
                process.terminate()
        self.connections, self.processes, self.asked = [], [], [0]

    def __del__(self):
        try:
            self.close()
        except Exception:
            pass
