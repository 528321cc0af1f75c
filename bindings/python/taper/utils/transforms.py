"""Transforms of images, tensors [.., C, H, W], under torchvision's names and with its numbers.

Each is a class whose objects are called with images, to be listed in `Compose`; the plain functions stand before them. Those
that draw take a `generator`, so that what a data set's sample gets follows from a seed of its own, whichever worker makes it;
without, they draw from the default one.
"""

from ctypes import c_double, c_int64

from .. import _c
from .._tensor import Tensor, wrap
from .read import resize_image

__all__ = [
    "CenterCrop",
    "ColorJitter",
    "Compose",
    "Grayscale",
    "Lambda",
    "Normalize",
    "Pad",
    "RandomApply",
    "RandomChoice",
    "RandomCrop",
    "RandomHorizontalFlip",
    "RandomOrder",
    "RandomResizedCrop",
    "RandomVerticalFlip",
    "Resize",
    "ToTensor",
    "adjust_brightness",
    "adjust_contrast",
    "adjust_hue",
    "adjust_saturation",
    "center_crop",
    "crop",
    "hflip",
    "normalize",
    "pad",
    "resize",
    "resized_crop",
    "rgb_to_grayscale",
    "to_tensor",
    "vflip",
]


def _call(name, *arguments):
    o, p = _c.tls.o
    e = _c.proto(name)(*arguments, p)
    if e:
        _c.fail(e)
    return wrap(o.value)


def _image(x):
    if not isinstance(x, Tensor):
        raise TypeError(f"img should be Tensor Image. Got {type(x)}")
    return x._h


def _floats(values):
    values = [float(v) for v in values]
    return (c_double * len(values))(*values), len(values)


def _ints(values):
    values = [int(v) for v in values]
    return (c_int64 * len(values))(*values), len(values)


def _generator(g):
    return g._h if g is not None else None


def _pair(size, message="Please provide only two dimensions (h, w) for size."):
    if isinstance(size, int):
        return size, size
    size = tuple(size)
    if len(size) == 1:
        size *= 2
    if len(size) != 2:
        raise ValueError(message)
    return size


def _padding(padding):
    if isinstance(padding, int):
        return [padding]
    padding = list(padding)
    if len(padding) not in (1, 2, 4):
        raise ValueError(f"Padding must be an int or a 1, 2, or 4 element tuple, not a {len(padding)} element tuple")
    return padding


def to_tensor(pic):
    """Floats from 0 to 1, [C, H, W], of bytes: a NumPy array [H, W] or [H, W, C], an image of PIL, or a tensor [C, H, W].

    Arrays and tensors of other dtypes keep them.
    """
    if isinstance(pic, Tensor):
        return _call("image_to_tensor", pic._h, False)
    from .._convert import from_numpy

    if not hasattr(pic, "__array_interface__"):
        raise TypeError(f"pic should be PIL Image or ndarray. Got {type(pic)}")
    import numpy

    array = numpy.ascontiguousarray(pic)
    if array.dtype == bool:  # PIL's images of one bit
        array = array.astype(numpy.uint8) * 255
    if array.ndim not in (2, 3):
        raise ValueError(f"pic should be 2/3 dimensional. Got {array.ndim} dimensions.")
    if not array.flags.writeable:
        array = array.copy()
    t = from_numpy(array)
    return _call("image_to_tensor", t._h, True)


def normalize(tensor, mean, std, inplace=False):
    """(tensor - mean) / std for each channel."""
    (m, nm), (s, ns) = _floats(mean), _floats(std)
    out = _call("image_normalize", _image(tensor), m, nm, s, ns)
    return tensor.copy_(out) if inplace else out


def crop(img, top, left, height, width):
    """What lies inside the box; zeros for what is beyond an edge."""
    return _call("image_crop", _image(img), top, left, height, width)


def center_crop(img, output_size):
    """The middle, with zeros around where the image is smaller."""
    return _call("image_center_crop", _image(img), *_pair(output_size))


def pad(img, padding, fill=0, padding_mode="constant"):
    """A frame around: one number, two (left and right, top and bottom) or four (left, top, right, bottom).

    `padding_mode` is "constant", "edge", "reflect" or "symmetric".
    """
    p, n = _ints(_padding(padding))
    return _call("image_pad", _image(img), p, n, float(fill), _c.text(padding_mode))


def hflip(img):
    """Columns in reverse order."""
    _image(img)
    return img.flip(-1)


def vflip(img):
    """Rows in reverse order."""
    _image(img)
    return img.flip(-2)


def resize(img, size, interpolation="bilinear", max_size=None):
    """Resized as Pillow does, to (rows, columns), or so that the smaller edge has `size` pixels and the other at most `max_size`."""
    _image(img)
    rows, columns = img.shape[-2:]
    if not isinstance(size, int) and len(size) == 1:
        size = size[0]
    if isinstance(size, int):
        short, long = min(rows, columns), max(rows, columns)
        to = size, int(size * long / short)
        if max_size is not None:
            if max_size <= size:
                raise ValueError(
                    f"max_size = {max_size} must be strictly greater than the requested size for the smaller edge size = {size}"
                )
            if to[1] > max_size:
                to = int(max_size * to[0] / to[1]), max_size
        size = to if rows <= columns else to[::-1]
    elif max_size is not None:
        raise ValueError("max_size should only be passed if size specifies the length of the smaller edge")
    if tuple(size) == (rows, columns):
        return img
    return resize_image(img, size, interpolation)


def resized_crop(img, top, left, height, width, size, interpolation="bilinear"):
    """What lies inside the box, resized."""
    return resize(crop(img, top, left, height, width), size, interpolation)


def rgb_to_grayscale(img, num_output_channels=1):
    """Grey, with 1 channel or 3 equal ones."""
    return _call("image_grayscale", _image(img), num_output_channels)


def adjust_brightness(img, brightness_factor):
    """`brightness_factor` times as bright, cut off at white."""
    return _call("image_adjust_brightness", _image(img), brightness_factor)


def adjust_contrast(img, contrast_factor):
    """0 gives the grey of the mean, 1 the image."""
    return _call("image_adjust_contrast", _image(img), contrast_factor)


def adjust_saturation(img, saturation_factor):
    """0 gives the grey image, 1 the image."""
    return _call("image_adjust_saturation", _image(img), saturation_factor)


def adjust_hue(img, hue_factor):
    """Colours turned by a part of the circle, from -0.5 to 0.5."""
    return _call("image_adjust_hue", _image(img), hue_factor)


class Compose:
    """Transforms one after the other."""

    def __init__(self, transforms):
        self.transforms = list(transforms)

    def __call__(self, img):
        for t in self.transforms:
            img = t(img)
        return img

    def __repr__(self):
        lines = "".join(f"\n    {t}" for t in self.transforms)
        return f"{type(self).__name__}({lines}\n)"


class _Transform:
    """Shows the attributes that `_shown` names."""

    _shown = ()

    def __repr__(self):
        return f"{type(self).__name__}({', '.join(f'{n}={getattr(self, n)}' for n in self._shown)})"


class ToTensor(_Transform):
    """`to_tensor`."""

    def __call__(self, pic):
        return to_tensor(pic)


class Normalize(_Transform):
    """`normalize`."""

    _shown = ("mean", "std")

    def __init__(self, mean, std, inplace=False):
        self.mean, self.std, self.inplace = mean, std, inplace

    def __call__(self, tensor):
        return normalize(tensor, self.mean, self.std, self.inplace)


class Resize(_Transform):
    """`resize`."""

    _shown = ("size", "interpolation", "max_size")

    def __init__(self, size, interpolation="bilinear", max_size=None):
        self.size, self.interpolation, self.max_size = size, interpolation, max_size

    def __call__(self, img):
        return resize(img, self.size, self.interpolation, self.max_size)


class CenterCrop(_Transform):
    """`center_crop`."""

    _shown = ("size",)

    def __init__(self, size):
        self.size = _pair(size)

    def __call__(self, img):
        return center_crop(img, self.size)


class Pad(_Transform):
    """`pad`."""

    _shown = ("padding", "fill", "padding_mode")

    def __init__(self, padding, fill=0, padding_mode="constant"):
        _padding(padding)
        self.padding, self.fill, self.padding_mode = padding, fill, padding_mode

    def __call__(self, img):
        return pad(img, self.padding, self.fill, self.padding_mode)


class Grayscale(_Transform):
    """`rgb_to_grayscale`."""

    _shown = ("num_output_channels",)

    def __init__(self, num_output_channels=1):
        self.num_output_channels = num_output_channels

    def __call__(self, img):
        return rgb_to_grayscale(img, self.num_output_channels)


class Lambda(_Transform):
    """A function as a transform."""

    def __init__(self, lambd):
        if not callable(lambd):
            raise TypeError(f"Argument lambd should be callable, got {type(lambd).__name__!r}")
        self.lambd = lambd

    def __call__(self, img):
        return self.lambd(img)


class _RandomFlip(_Transform):
    _shown = ("p",)
    _vertical = False

    def __init__(self, p=0.5, generator=None):
        self.p, self.generator = p, generator

    def __call__(self, img):
        return _call("image_random_flip", _image(img), self.p, self._vertical, _generator(self.generator))


class RandomHorizontalFlip(_RandomFlip):
    """Columns in reverse order with probability `p`."""


class RandomVerticalFlip(_RandomFlip):
    """Rows in reverse order with probability `p`."""

    _vertical = True


class RandomCrop(_Transform):
    """A part of `size`, anywhere, after padding; `pad_if_needed` widens what is too small."""

    _shown = ("size", "padding")

    def __init__(self, size, padding=None, pad_if_needed=False, fill=0, padding_mode="constant", generator=None):
        self.size, self.padding, self.pad_if_needed = _pair(size), padding, pad_if_needed
        self.fill, self.padding_mode, self.generator = fill, padding_mode, generator

    def __call__(self, img):
        p, n = _ints([] if self.padding is None else _padding(self.padding))
        mode = _c.text(self.padding_mode)
        more = bool(self.pad_if_needed), float(self.fill), mode, _generator(self.generator)
        return _call("image_random_crop", _image(img), *self.size, p, n, *more)


class RandomResizedCrop(_Transform):
    """A part of random area and shape, anywhere, resized."""

    _shown = ("size", "scale", "ratio", "interpolation")

    def __init__(self, size, scale=(0.08, 1.0), ratio=(3 / 4, 4 / 3), interpolation="bilinear", generator=None):
        self.size, self.scale, self.ratio = _pair(size), scale, ratio
        self.interpolation, self.generator = interpolation, generator

    def __call__(self, img):
        (s, ns), (r, nr) = _floats(self.scale), _floats(self.ratio)
        more = _c.text(self.interpolation), _generator(self.generator)
        return _call("image_random_resized_crop", _image(img), *self.size, s, ns, r, nr, *more)


class ColorJitter(_Transform):
    """Brightness, contrast, saturation and hue changed at random, in random order.

    One number x draws factors from 1 - x to 1 + x (hue: -x to x), two from one to the other; 0 changes nothing.
    """

    _shown = ("brightness", "contrast", "saturation", "hue")

    def __init__(self, brightness=0, contrast=0, saturation=0, hue=0, generator=None):
        self.brightness, self.contrast, self.saturation, self.hue = brightness, contrast, saturation, hue
        self.generator = generator

    def __call__(self, img):
        given = []
        for name in self._shown:
            v = getattr(self, name)
            given += _floats(v if isinstance(v, (tuple, list)) else [v])
        return _call("image_color_jitter", _image(img), *given, _generator(self.generator))


def _uniform(generator):
    from .. import rand

    return rand(1, generator=generator, device="cpu").item()


class RandomApply(Compose):
    """All of the transforms with probability `p`, else none."""

    def __init__(self, transforms, p=0.5, generator=None):
        super().__init__(transforms)
        self.p, self.generator = p, generator

    def __call__(self, img):
        return img if self.p < _uniform(self.generator) else super().__call__(img)


class RandomOrder(Compose):
    """All of the transforms in random order."""

    def __init__(self, transforms, generator=None):
        super().__init__(transforms)
        self.generator = generator

    def __call__(self, img):
        from .. import randperm

        for i in randperm(len(self.transforms), generator=self.generator, device="cpu").tolist():
            img = self.transforms[i](img)
        return img


class RandomChoice(Compose):
    """One of the transforms."""

    def __init__(self, transforms, generator=None):
        super().__init__(transforms)
        self.generator = generator

    def __call__(self, img):
        from .. import randint

        return self.transforms[randint(len(self.transforms), (1,), generator=self.generator).item()](img)
