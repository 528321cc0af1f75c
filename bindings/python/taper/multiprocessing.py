"""Python's `multiprocessing` with tensors: they are sent by value, through pipes and queues alike.

Memory is not shared between processes: `share_memory_()` gives the tensor itself, and what a process writes into a tensor
that it was sent stays its own. What workers find is sent back through a queue."""

import multiprocessing as _python
import signal
import sys
import tempfile
from multiprocessing import *  # noqa: F403
from multiprocessing import connection

__all__ = [*_python.__all__, "set_sharing_strategy", "get_sharing_strategy", "get_all_sharing_strategies", "spawn"]

SimpleQueue = _python.SimpleQueue
_strategy = "file_system"


def get_all_sharing_strategies():
    """The names that set_sharing_strategy takes."""
    return {"file_descriptor", "file_system"}


def set_sharing_strategy(new_strategy):
    """Accepted: tensors are sent by value."""
    global _strategy
    assert new_strategy in get_all_sharing_strategies(), f"invalid sharing strategy {new_strategy!r}"
    _strategy = new_strategy


def get_sharing_strategy():
    """What set_sharing_strategy set."""
    return _strategy


def init_reductions():
    """Nothing to do: tensors know how to be pickled."""


class ProcessException(Exception):
    """Base of the errors that `spawn` raises for its processes."""

    __slots__ = ("error_index", "error_pid")

    def __init__(self, msg, error_index, pid):
        super().__init__(msg)
        self.msg, self.error_index, self.pid = msg, error_index, pid

    def __reduce__(self):
        return type(self), (self.msg, self.error_index, self.pid)


class ProcessRaisedException(ProcessException):
    """A process ended by an exception, whose traceback is in the text."""


class ProcessExitedException(ProcessException):
    """A process ended by a signal or an exit code."""

    def __init__(self, msg, error_index, error_pid, exit_code, signal_name=None):
        super().__init__(msg, error_index, error_pid)
        self.exit_code, self.signal_name = exit_code, signal_name

    def __reduce__(self):
        return type(self), (self.msg, self.error_index, self.pid, self.exit_code, self.signal_name)


def _wrap(fn, i, args, error_file):
    try:
        fn(i, *args)
    except KeyboardInterrupt:
        pass
    except Exception:
        import pickle
        import traceback

        with open(error_file, "wb") as f:
            pickle.dump(traceback.format_exc(), f)
        sys.exit(1)


class ProcessContext:
    """The processes that `spawn(join=False)` started."""

    def __init__(self, processes, error_files):
        self.processes, self.error_files = processes, error_files
        self.sentinels = {p.sentinel: i for i, p in enumerate(processes)}

    def pids(self):
        """The processes' ids."""
        return [p.pid for p in self.processes]

    def join(self, timeout=None, grace_period=None):
        """Waits for a process to end; whether all have. One that failed ends the others and raises."""
        import pickle

        if not self.sentinels:
            return True
        ready = connection.wait(list(self.sentinels), timeout=timeout)
        failed = None
        for sentinel in ready:
            i = self.sentinels.pop(sentinel)
            self.processes[i].join()
            if self.processes[i].exitcode != 0:
                failed = i
                break
        if failed is None:
            return not self.sentinels
        for p in self.processes:
            if p.is_alive():
                p.terminate()
        for p in self.processes:
            p.join()
        process = self.processes[failed]
        try:
            with open(self.error_files[failed], "rb") as f:
                trace = pickle.load(f)
        except (OSError, EOFError):
            trace = None
        if trace is None:
            code = process.exitcode
            if code < 0:
                try:
                    name = signal.Signals(-code).name
                except ValueError:
                    name = f"<Unknown signal {-code}>"
                raise ProcessExitedException(
                    f"process {failed} terminated with signal {name}", failed, process.pid, code, name
                )
            raise ProcessExitedException(
                f"process {failed} terminated with exit code {code}", failed, process.pid, code
            )
        raise ProcessRaisedException(
            f"\n\n-- Process {failed} terminated with the following error:\n{trace}", failed, process.pid
        )


SpawnContext = ProcessContext


def start_processes(fn, args=(), nprocs=1, join=True, daemon=False, start_method="spawn", numa_options=None):
    """Runs fn(i, *args) in nprocs processes; with join, until all have ended."""
    context = _python.get_context(start_method)
    processes, files = [], []
    for i in range(nprocs):
        with tempfile.NamedTemporaryFile(prefix="taper-mp-", suffix=".pickle") as f:
            name = f.name
        process = context.Process(target=_wrap, args=(fn, i, args, name), daemon=daemon)
        process.start()
        processes.append(process)
        files.append(name)
    made = ProcessContext(processes, files)
    if not join:
        return made
    try:
        while not made.join():
            pass
    finally:
        import os

        for name in files:
            if os.path.exists(name):
                os.remove(name)
    return None


def spawn(fn, args=(), nprocs=1, join=True, daemon=False, start_method="spawn"):
    """start_processes with fresh interpreters."""
    return start_processes(fn, args, nprocs, join, daemon, start_method)
