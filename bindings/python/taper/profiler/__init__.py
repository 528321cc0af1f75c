"""`torch.profiler`: what operations cost on the thread that takes the profile, backward passes included."""

import json
from ctypes import addressof, c_void_p
from enum import Enum

from .. import _c
from .._grad_mode import _Mode

_start, _stop = _c.proto("profiler_start"), _c.proto("profiler_stop")
_push, _pop = _c.proto("profiler_push"), _c.proto("profiler_pop")
_events = _c.proto("profiler_events")


def _check(error):
    if error:
        _c.fail(error)


class ProfilerActivity(Enum):
    """What is profiled; with a device's, operations are waited for, so that their times are the device's."""

    CPU = 0
    CUDA = 1
    XPU = 2
    MTIA = 3
    HPU = 4
    PrivateUse1 = 5
    OPENCL = 6


class ProfilerAction(Enum):
    """What happens in one step of a schedule."""

    NONE = 0
    WARMUP = 1
    RECORD = 2
    RECORD_AND_SAVE = 3


def schedule(*, wait, warmup, active, repeat=0, skip_first=0, skip_first_wait=0):
    """Cycles of steps: wait, warm up, record."""

    def action(step):
        if step < skip_first:
            return ProfilerAction.NONE
        step -= skip_first
        length = wait + warmup + active
        if repeat and step // length >= repeat:
            return ProfilerAction.NONE
        at = step % length
        if at < wait:
            return ProfilerAction.NONE
        if at < wait + warmup:
            return ProfilerAction.WARMUP
        return ProfilerAction.RECORD if at < length - 1 else ProfilerAction.RECORD_AND_SAVE

    return action


def supported_activities():
    """What can be profiled here."""
    from .. import cuda, opencl

    found = {ProfilerActivity.CPU}
    found.update(a for a, m in ((ProfilerActivity.CUDA, cuda), (ProfilerActivity.OPENCL, opencl)) if m.is_available())
    return found


class record_function(_Mode):
    """A range with a name in the profile: ``with record_function("attention"):``."""

    def __init__(self, name, args=None):
        self.name, self.args = name, args

    def clone(self):
        return record_function(self.name, self.args)

    def __enter__(self):
        _check(_push(_c.text(str(self.name))))
        return self

    def __exit__(self, *exc):
        _check(_pop())


def _time(us, unit=None):
    if unit == "s" or (unit is None and us >= 1e6):
        return f"{us / 1e6:.3f}s"
    if unit == "ms" or (unit is None and us >= 1e3):
        return f"{us / 1e3:.3f}ms"
    return f"{us:.3f}us"


def _memory(n):
    for unit, name in ((1 << 30, "GB"), (1 << 20, "MB"), (1 << 10, "KB")):
        if abs(n) >= unit:
            return f"{n / unit:.2f} {name}"
    return f"{n} B"


class FunctionEventAvg:
    """What all events of one name (and shapes) cost; times in microseconds."""

    def __init__(self, key, shapes=""):
        self.key, self.input_shapes, self.count = key, shapes, 0
        self.cpu_time_total = self.self_cpu_time_total = 0.0
        self.cpu_memory_usage = self.self_cpu_memory_usage = self.bytes = self.flops = 0
        self.is_user_annotation = False

    def add(self, event):
        self.count += 1
        self.cpu_time_total += event.cpu_time_total
        self.self_cpu_time_total += event.self_cpu_time_total
        self.cpu_memory_usage += event.cpu_memory_usage
        self.self_cpu_memory_usage += event.self_cpu_memory_usage
        self.bytes += event.bytes
        self.flops += event.flops
        self.is_user_annotation |= event.kind == "range"
        return self

    @property
    def cpu_time(self):
        """Per call."""
        return self.cpu_time_total / max(self.count, 1)

    cpu_time_str = property(lambda self: _time(self.cpu_time))
    cpu_time_total_str = property(lambda self: _time(self.cpu_time_total))
    self_cpu_time_total_str = property(lambda self: _time(self.self_cpu_time_total))
    # Times are of the host, or of host and device together where the device is waited for.
    device_time = cuda_time = property(lambda self: self.cpu_time)
    device_time_total = cuda_time_total = property(lambda self: self.cpu_time_total)
    self_device_time_total = self_cuda_time_total = property(lambda self: self.self_cpu_time_total)

    def __repr__(self):
        return (
            f"<FunctionEventAvg key={self.key} self_cpu_time={self.self_cpu_time_total_str} cpu_time={self.cpu_time_str} "
            f"input_shapes={self.input_shapes}>"
        )


class FunctionEvent:
    """One operation, node of a backward pass, or range."""

    count = 1

    def __init__(self, e):
        self.name = self.key = e["name"]
        self.kind, self.depth = e["kind"], e["depth"]
        self.start_us, self.cpu_time_total = e["start_ns"] / 1e3, e["duration_ns"] / 1e3
        self.self_cpu_time_total = e["self_ns"] / 1e3
        self.cpu_memory_usage, self.self_cpu_memory_usage = e["memory"], e["self_memory"]
        self.bytes, self.flops, self.input_shapes = e["bytes"], 2 * e["macs"], e["shapes"]

    @property
    def cpu_time(self):
        return self.cpu_time_total


class EventList(list):
    """Events or averages, with their table."""

    def table(
        self,
        sort_by=None,
        row_limit=100,
        max_src_column_width=75,
        max_name_column_width=55,
        max_shapes_column_width=80,
        header=None,
        top_level_events_only=False,
        time_unit=None,
    ):
        """The events as text; sort_by is a column such as 'self_cpu_time_total', 'cpu_time_total', 'count'."""
        rows = list(self)
        if top_level_events_only:
            rows = [r for r in rows if getattr(r, "depth", 0) == 0]
        if sort_by is not None:
            name = sort_by.replace("cuda_", "cpu_").replace("device_", "cpu_").replace("opencl_", "cpu_")
            if rows and not hasattr(rows[0], name):
                raise ValueError(f"cannot sort by '{sort_by}'")
            rows.sort(key=lambda r: getattr(r, name), reverse=True)
        own = sum(r.self_cpu_time_total for r in self)
        if row_limit >= 0:
            rows = rows[:row_limit]

        def part(x):
            return f"{100 * x / own if own else 0:.2f}%"

        titles = [
            "Name",
            "Self CPU %",
            "Self CPU",
            "CPU total %",
            "CPU total",
            "CPU time avg",
            "CPU Mem",
            "Self CPU Mem",
        ]
        titles += ["# of Calls", "Total FLOPs"]
        shapes = any(r.input_shapes for r in rows)
        cells = [titles + ["Input Shapes"] * shapes]
        for r in rows:
            name = r.key if len(r.key) <= max_name_column_width else r.key[: max_name_column_width - 3] + "..."
            line = [name, part(r.self_cpu_time_total), _time(r.self_cpu_time_total, time_unit), part(r.cpu_time_total)]
            line += [_time(r.cpu_time_total, time_unit), _time(r.cpu_time, time_unit), _memory(r.cpu_memory_usage)]
            line += [_memory(r.self_cpu_memory_usage), str(r.count), str(r.flops) if r.flops else "--"]
            cells.append(line + [r.input_shapes[:max_shapes_column_width]] * shapes)
        widths = [max(len(row[i]) for row in cells) for i in range(len(cells[0]))]
        rule = "  ".join("-" * w for w in widths)
        text = ["  ".join(c.rjust(w) for c, w in zip(row, widths)) for row in cells]
        head = [header] if header else []
        return "\n".join(
            [*head, rule, text[0], rule, *text[1:], rule, f"Self CPU time total: {_time(own, time_unit)}", ""]
        )

    def key_averages(self, group_by_input_shape=False):
        """One row per name (and shapes)."""
        rows = {}
        for e in self:
            key = (e.name, e.input_shapes if group_by_input_shape else "")
            rows.setdefault(key, FunctionEventAvg(*key)).add(e)
        return EventList(rows.values())

    def total_average(self):
        """All together."""
        total = FunctionEventAvg("Total")
        for e in self:
            total.add(e)
        return total

    @property
    def self_cpu_time_total(self):
        return sum(e.self_cpu_time_total for e in self)


class profile:
    """Takes a profile of what runs inside, on this thread: ``with profile() as p:``, then ``p.key_averages().table()``."""

    def __init__(
        self,
        *,
        activities=None,
        schedule=None,
        on_trace_ready=None,
        record_shapes=False,
        profile_memory=False,
        with_stack=False,
        with_flops=False,
        with_modules=False,
        experimental_config=None,
        execution_trace_observer=None,
        acc_events=False,
        custom_trace_id_callback=None,
        post_processing_timeout_s=None,
    ):
        self._synchronize = any(a is not ProfilerActivity.CPU for a in activities or ())
        self._schedule, self._ready, self._shapes = schedule, on_trace_ready, record_shapes
        self.step_num, self._recording, self._found, self._text = 0, False, None, None

    def start(self):
        """Begins, as entering the block does."""
        self._follow()

    def _follow(self):
        action = ProfilerAction.RECORD if self._schedule is None else self._schedule(self.step_num)
        wanted = action in (ProfilerAction.RECORD, ProfilerAction.RECORD_AND_SAVE)
        if wanted and not self._recording:
            _check(_start(self._synchronize, self._shapes))
        self._recording, self._saves = wanted, action is ProfilerAction.RECORD_AND_SAVE

    def _finish(self):
        _check(_stop())
        self._recording = False
        self._found = json.loads(_text(_events))
        self._text = None
        if self._ready is not None:
            self._ready(self)

    def step(self):
        """The next step of the schedule begins."""
        if self._recording and self._saves:
            self._finish()
        self.step_num += 1
        self._follow()

    def stop(self):
        """Ends, as leaving the block does."""
        if self._recording:
            self._finish()

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *exc):
        self.stop()

    def events(self):
        """Every event, in the order in which they ended."""
        if self._found is None:
            raise AssertionError("profiler has not been stopped, or has recorded nothing")
        return EventList(map(FunctionEvent, self._found))

    def key_averages(self, group_by_input_shape=False, group_by_stack_n=0):
        """One row per operation."""
        return self.events().key_averages(group_by_input_shape)

    def export_chrome_trace(self, path):
        """Writes the events into a file that chrome://tracing and Perfetto show."""
        import os

        trace = []
        for e in self._found or ():
            arguments = {"bytes": e["bytes"], "memory": e["memory"], "multiply-adds": e["macs"], "shapes": e["shapes"]}
            trace.append(
                {
                    "ph": "X",
                    "name": e["name"],
                    "cat": e["kind"],
                    "pid": os.getpid(),
                    "tid": 1,
                    "ts": e["start_ns"] / 1e3,
                    "dur": e["duration_ns"] / 1e3,
                    "args": arguments,
                }
            )
        with open(path, "w") as f:
            json.dump({"displayTimeUnit": "ms", "traceEvents": trace}, f)


def _text(function, *args):
    out = c_void_p()
    _check(function(*args, addressof(out)))
    return _c.take_string(out.value)


def tensorboard_trace_handler(dir_name, worker_name=None, use_gzip=False):
    """What `on_trace_ready` takes: writes each trace into a folder."""

    def handler(p):
        import os
        import time

        os.makedirs(dir_name, exist_ok=True)
        name = worker_name or f"{os.uname().nodename}_{os.getpid()}"
        p.export_chrome_trace(os.path.join(dir_name, f"{name}.{time.time_ns()}.pt.trace.json"))

    return handler


__all__ = [
    "ProfilerAction",
    "ProfilerActivity",
    "profile",
    "record_function",
    "schedule",
    "supported_activities",
    "tensorboard_trace_handler",
]
