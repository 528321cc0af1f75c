"""For people who look: pictures of tensors, curves and graphs, and a line of progress."""

from .. import _c
from .._tensor import Tensor

_image, _plot = _c.proto("save_image"), _c.proto("save_plot")
_dot, _svg = _c.proto("tensor_graph_dot"), _c.proto("tensor_graph_svg")


def _check(error):
    if error:
        _c.fail(error)


def _text(value):
    return None if value is None else _c.text(value)


def save_image(images, path, nrow=8, padding=2, normalize=False):
    """Writes images into a PNG file: [H, W], [C, H, W] or [N, C, H, W] with 1 or 3 channels; uint8, bool, or floats from 0 to 1.

    A batch stands side by side, `nrow` in a row, with `padding` black pixels around each; `normalize` shifts and scales all
    images together to 0 to 1.
    """
    if nrow < 1:
        raise ValueError(f"nrow must be at least 1, got {nrow}")
    _check(_image(images._h, _c.path_bytes(path), nrow, padding, normalize))


def save_plot(curves, path, title=None, width=800, height=500):
    """Draws curves into a PNG file, or SVG where `path` ends in .svg.

    `curves` maps labels to values (a list or tensor of n numbers, or [n, 2] pairs of x and y), or is one of those.
    """
    import taper

    named = curves if isinstance(curves, dict) else {"": curves}
    tensors = [
        v if isinstance(v, Tensor) else taper.tensor(v, dtype=taper.float64, device="cpu") for v in named.values()
    ]
    labels = "\n".join(str(k).replace("\n", " ") for k in named)
    handles = _c.handles(tensors)
    _check(_plot(handles, len(tensors), _c.path_bytes(path), _text(labels), _text(title), width, height))


class _Names:
    """A module of the core that holds a model's parameters under their names, for pictures of graphs."""

    def __init__(self, model):
        self._h = None
        if model is None:
            return
        o, p = _c.tls.o
        _check(_c.proto("nn_identity_new")(p))
        self._h = o.value
        register = _c.proto("module_register_parameter")
        for name, parameter in model.named_parameters():
            if parameter.requires_grad:
                _check(register(self._h, _text(name.replace(".", "/")), parameter._h))

    def __enter__(self):
        return self._h

    def __exit__(self, *exc):
        if self._h is not None:
            _c.proto("module_free")(self._h)


def _graph(call, output, model):
    with _Names(model) as names:
        o, p = _c.tls.o
        _check(call(output._h, names, p))
    return _c.take_string(o.value)


def graph_dot(output, model=None):
    """The recorded graph behind a tensor in the language of Graphviz; parameters have their names in `model`."""
    return _graph(_dot, output, model)


def graph_svg(output, model=None):
    """The recorded graph behind a tensor as SVG."""
    return _graph(_svg, output, model)


class Progress:
    """A line on standard error that says how far a loop is, how fast, and how long it will still take.

        for batch in Progress(loader, "epoch 1"): ...

        with Progress(total=100) as progress:
            progress.update(1, "loss 0.5")

    On a terminal it is drawn again in its place; elsewhere a line appears every ten seconds.
    """

    _h = None

    def __init__(self, iterable=None, description=None, total=None):
        if total is None and hasattr(iterable, "__len__"):
            total = len(iterable)
        self._iterable = iterable
        o, p = _c.tls.o
        _check(_c.proto("progress_create")(total or 0, _text(description), p))
        self._h = o.value
        self._update = _c.proto("progress_update")
        self._free = _c.proto("progress_free")

    def update(self, steps=1, note=None):
        """`steps` more are done; `note` stands behind from now on."""
        _check(self._update(self._h, steps, _text(note)))

    def close(self):
        """Draws the last line."""
        h, self._h = self._h, None
        if h is not None:
            self._free(h)

    def __iter__(self):
        with self:
            for item in self._iterable:
                yield item
                self.update()

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.close()

    def __del__(self):
        self.close()
