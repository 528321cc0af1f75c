"""SummaryWriter over the core's event files."""

import os
import socket
import time
from ctypes import byref, c_double

from ... import _c
from ..._tensor import Tensor
from ..show import _check, _Names, _text

_SCALAR, _HISTOGRAM = _c.proto("summary_writer_add_scalar"), _c.proto("summary_writer_add_histogram")
_IMAGE, _TEXT = _c.proto("summary_writer_add_image"), _c.proto("summary_writer_add_text")
_GRAPH, _FLUSH = _c.proto("summary_writer_add_graph"), _c.proto("summary_writer_flush")


def _when(walltime):
    return None if walltime is None else byref(c_double(walltime))


def _tensor(values):
    import taper

    return values.detach() if isinstance(values, Tensor) else taper.as_tensor(values, device="cpu")


class FileWriter:
    """One event file in a folder."""

    _h = None

    def __init__(self, log_dir, max_queue=10, flush_secs=120, filename_suffix=""):
        self._log_dir = os.fspath(log_dir)
        o, p = _c.tls.o
        _check(_c.proto("summary_writer_create")(_c.path_bytes(self._log_dir), _text(filename_suffix), p))
        self._h = o.value
        self._free = _c.proto("summary_writer_free")

    def get_logdir(self):
        """The folder."""
        return self._log_dir

    def flush(self):
        """Has the system write to the disk what it holds."""
        _check(_FLUSH(self._h))

    def close(self):
        """Closes the file."""
        h, self._h = self._h, None
        if h is not None:
            self._free(h)

    def __del__(self):
        self.close()


class SummaryWriter:
    """Writes what TensorBoard shows into `log_dir` (default: runs/, the time and the host's name).

    Each event is on its way to the disk when the call returns; max_queue and flush_secs are accepted and not needed.
    """

    def __init__(self, log_dir=None, comment="", purge_step=None, max_queue=10, flush_secs=120, filename_suffix=""):
        if not log_dir:
            now = time.strftime("%b%d_%H-%M-%S")
            log_dir = os.path.join("runs", now + "_" + socket.gethostname() + comment)
        self.log_dir = os.fspath(log_dir)
        self.purge_step, self.max_queue, self.flush_secs, self.filename_suffix = (
            purge_step,
            max_queue,
            flush_secs,
            filename_suffix,
        )
        self.file_writer = self.all_writers = None
        self._get_file_writer()

    def _get_file_writer(self):
        if self.all_writers is None or self.file_writer is None:
            self.file_writer = FileWriter(self.log_dir, self.max_queue, self.flush_secs, self.filename_suffix)
            self.all_writers = {self.log_dir: self.file_writer}
        return self.file_writer

    @property
    def _h(self):
        return self._get_file_writer()._h

    def get_logdir(self):
        """The folder."""
        return self.log_dir

    def add_scalar(self, tag, scalar_value, global_step=None, walltime=None, new_style=False, double_precision=False):
        """A number."""
        _check(_SCALAR(self._h, _text(tag), float(scalar_value), global_step or 0, _when(walltime)))

    def add_scalars(self, main_tag, tag_scalar_dict, global_step=None, walltime=None):
        """Several curves of one chart: each has an event file of its own, below the writer's folder."""
        when = time.time() if walltime is None else walltime
        folder = self._get_file_writer().get_logdir()
        for tag, value in tag_scalar_dict.items():
            name = os.path.join(folder, main_tag.replace("/", "_") + "_" + tag)
            if name not in self.all_writers:
                self.all_writers[name] = FileWriter(name, self.max_queue, self.flush_secs, self.filename_suffix)
            h = self.all_writers[name]._h
            _check(_SCALAR(h, _text(main_tag), float(value), global_step or 0, _when(when)))

    def add_histogram(self, tag, values, global_step=None, bins="tensorflow", walltime=None, max_bins=None):
        """How values are spread, over buckets that grow by a tenth (bins "tensorflow")."""
        if bins != "tensorflow" or max_bins is not None:
            raise NotImplementedError("add_histogram: the buckets are those of bins='tensorflow', without max_bins")
        values = _tensor(values)
        _check(_HISTOGRAM(self._h, _text(tag), values._h, global_step or 0, _when(walltime)))

    def add_image(self, tag, img_tensor, global_step=None, walltime=None, dataformats="CHW"):
        """A picture: uint8, or floats from 0 to 1."""
        image = _tensor(img_tensor)
        order = dataformats.upper()
        if sorted(order) not in (sorted("CHW"), sorted("HW"), sorted("NCHW")):
            raise ValueError(f"dataformats must be an order of CHW, HW or NCHW, got {dataformats!r}")
        if len(order) != image.dim():
            raise ValueError(
                f"size of input tensor and input format are different: {tuple(image.shape)} and {dataformats}"
            )
        image = image.permute(*[order.index(c) for c in "NCHW" if c in order])
        _check(_IMAGE(self._h, _text(tag), image._h, global_step or 0, _when(walltime)))

    def add_images(self, tag, img_tensor, global_step=None, walltime=None, dataformats="NCHW"):
        """Several pictures, side by side."""
        self.add_image(tag, img_tensor, global_step, walltime, dataformats)

    def add_figure(self, tag, figure, global_step=None, close=True, walltime=None):
        """A figure of matplotlib's, or several."""
        import numpy as np

        figures = figure if isinstance(figure, list) else [figure]
        pictures = []
        for f in figures:
            f.canvas.draw()
            pictures.append(np.asarray(f.canvas.buffer_rgba())[..., :3])
            if close:
                import matplotlib.pyplot as plt

                plt.close(f)
        self.add_image(tag, np.stack(pictures).copy(), global_step, walltime, "NHWC")

    def add_text(self, tag, text_string, global_step=None, walltime=None):
        """A text, read as Markdown."""
        _check(_TEXT(self._h, _text(tag), _text(text_string), global_step or 0, _when(walltime)))

    def add_graph(self, model, input_to_model=None, verbose=False, use_strict_trace=True):
        """The graph that is recorded when a model is called with `input_to_model` (a tensor or a tuple of them)."""
        from ..._grad_mode import enable_grad

        if input_to_model is None:
            raise ValueError("add_graph: input_to_model must be given: the model is called with it")
        inputs = input_to_model if isinstance(input_to_model, (tuple, list)) else (input_to_model,)
        with enable_grad():
            output = model(*inputs)
        while not isinstance(output, Tensor):
            if not output:
                raise ValueError("add_graph: the model gave no tensor")
            output = next(iter(output.values() if isinstance(output, dict) else output))
        with _Names(model) as names:
            _check(_GRAPH(self._h, output._h, names, None))

    def flush(self):
        """Has the system write to the disk what it holds."""
        for writer in (self.all_writers or {}).values():
            writer.flush()

    def close(self):
        """Closes all files."""
        for writer in (self.all_writers or {}).values():
            writer.close()
        self.file_writer = self.all_writers = None

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.close()
