package taper

/*
#include "shims.h"

#define GO_IMAGE(call) \
    taper_tensor *t = 0; \
    go_pair r = {0, 0}; \
    r.err = (uintptr_t)(call); \
    r.out = (uintptr_t)t; \
    return r
#define GO_IN (taper_tensor *)images
static inline go_pair go_image_to_tensor(uintptr_t images, bool last) { GO_IMAGE(taper_image_to_tensor(GO_IN, last, &t)); }
static inline go_pair go_image_normalize(uintptr_t images, const double *mean, size_t m, const double *std, size_t s) {
    GO_IMAGE(taper_image_normalize(GO_IN, mean, m, std, s, &t));
}
static inline go_pair go_image_crop(uintptr_t images, int64_t top, int64_t left, int64_t h, int64_t w) {
    GO_IMAGE(taper_image_crop(GO_IN, top, left, h, w, &t));
}
static inline go_pair go_image_center_crop(uintptr_t images, int64_t h, int64_t w) {
    GO_IMAGE(taper_image_center_crop(GO_IN, h, w, &t));
}
static inline go_pair go_image_pad(uintptr_t images, const int64_t *p, size_t n, double fill, const char *mode) {
    GO_IMAGE(taper_image_pad(GO_IN, p, n, fill, mode, &t));
}
static inline go_pair go_image_grayscale(uintptr_t images, int64_t n) { GO_IMAGE(taper_image_grayscale(GO_IN, n, &t)); }
// 0: brightness, 1: contrast, 2: saturation, 3: hue.
static inline go_pair go_image_adjust(uintptr_t images, int what, double f) {
    GO_IMAGE(what == 0 ? taper_image_adjust_brightness(GO_IN, f, &t)
                       : what == 1 ? taper_image_adjust_contrast(GO_IN, f, &t)
                                   : what == 2 ? taper_image_adjust_saturation(GO_IN, f, &t) : taper_image_adjust_hue(GO_IN, f, &t));
}
static inline go_pair go_image_random_flip(uintptr_t images, double p, bool vertical, uintptr_t g) {
    GO_IMAGE(taper_image_random_flip(GO_IN, p, vertical, (taper_generator *)g, &t));
}
static inline go_pair go_image_random_crop(uintptr_t images, int64_t h, int64_t w, const int64_t *p, size_t n, bool needed,
                                           double fill, const char *mode, uintptr_t g) {
    GO_IMAGE(taper_image_random_crop(GO_IN, h, w, p, n, needed, fill, mode, (taper_generator *)g, &t));
}
static inline go_pair go_image_random_resized_crop(uintptr_t images, int64_t h, int64_t w, const double *scale, size_t s,
                                                   const double *ratio, size_t r_len, const char *filter, uintptr_t g) {
    GO_IMAGE(taper_image_random_resized_crop(GO_IN, h, w, scale, s, ratio, r_len, filter, (taper_generator *)g, &t));
}
static inline go_pair go_image_color_jitter(uintptr_t images, const double *b, size_t nb, const double *c, size_t nc,
                                            const double *s, size_t ns, const double *h, size_t nh, uintptr_t g) {
    GO_IMAGE(taper_image_color_jitter(GO_IN, b, nb, c, nc, s, ns, h, nh, (taper_generator *)g, &t));
}
*/
import "C"

import (
	"runtime"
	"unsafe"
)

// The transforms of images, [.., C, H, W], have torchvision's names and numbers. Those that draw take a generator (nil: the
// default one): one that was given a sample's seed makes batches that do not depend on the number of a loader's threads.

func image(of *Tensor, r C.go_pair) (*Tensor, error) {
	runtime.KeepAlive(of)
	if err := check(uintptr(r.err)); err != nil {
		return nil, err
	}
	return adopt(uintptr(r.out)), nil
}
func doubles(v []float64) (*C.double, C.size_t) {
	return (*C.double)(unsafe.SliceData(v)), C.size_t(len(v))
}

// ImageToTensor makes floats from 0 to 1 of bytes; other dtypes stay. channelsLast turns [.., H, W, C] into [.., C, H, W].
func ImageToTensor(img *Tensor, channelsLast bool) (*Tensor, error) {
	return image(img, C.go_image_to_tensor(img.ptr(), C.bool(channelsLast)))
}

// NormalizeImage computes (x - mean) / std, with a number for each channel or one for all.
func NormalizeImage(images *Tensor, mean, std []float64) (*Tensor, error) {
	m, nm := doubles(mean)
	s, ns := doubles(std)
	return image(images, C.go_image_normalize(images.ptr(), m, nm, s, ns))
}

// CropImage cuts out a box, with zeros for what is beyond an edge.
func CropImage(images *Tensor, top, left, height, width int64) (*Tensor, error) {
	return image(images, C.go_image_crop(images.ptr(), C.int64_t(top), C.int64_t(left), C.int64_t(height), C.int64_t(width)))
}

// CenterCrop cuts out the middle, with zeros around where images are smaller.
func CenterCrop(images *Tensor, height, width int64) (*Tensor, error) {
	return image(images, C.go_image_center_crop(images.ptr(), C.int64_t(height), C.int64_t(width)))
}

// Padding is a frame around images.
type Padding struct {
	// Sides are one number, two (left and right, top and bottom) or four (left, top, right, bottom); none: no frame.
	Sides []int64
	// Fill is the number in the frame.
	Fill float64
	// Mode is "constant" (also if empty), "edge", "reflect" or "symmetric".
	Mode string
}

// PadImage puts a frame around images.
func PadImage(images *Tensor, p Padding) (*Tensor, error) {
	mode, err := optionalText(p.Mode)
	if err != nil {
		return nil, err
	}
	defer freeText(mode)
	sides := (*C.int64_t)(unsafe.SliceData(p.Sides))
	return image(images, C.go_image_pad(images.ptr(), sides, C.size_t(len(p.Sides)), C.double(p.Fill), (*C.char)(mode)))
}

// GrayscaleImage makes grey images with 1 channel or 3 equal ones.
func GrayscaleImage(images *Tensor, channels int64) (*Tensor, error) {
	return image(images, C.go_image_grayscale(images.ptr(), C.int64_t(channels)))
}

// AdjustBrightness makes images factor times as bright, cut off at white.
func AdjustBrightness(images *Tensor, factor float64) (*Tensor, error) {
	return image(images, C.go_image_adjust(images.ptr(), 0, C.double(factor)))
}

// AdjustContrast gives the grey of the mean for 0, the images for 1.
func AdjustContrast(images *Tensor, factor float64) (*Tensor, error) {
	return image(images, C.go_image_adjust(images.ptr(), 1, C.double(factor)))
}

// AdjustSaturation gives grey images for 0, the images for 1.
func AdjustSaturation(images *Tensor, factor float64) (*Tensor, error) {
	return image(images, C.go_image_adjust(images.ptr(), 2, C.double(factor)))
}

// AdjustHue turns colours by a part of the circle, from -0.5 to 0.5.
func AdjustHue(images *Tensor, factor float64) (*Tensor, error) {
	return image(images, C.go_image_adjust(images.ptr(), 3, C.double(factor)))
}

func randomFlip(images *Tensor, p float64, vertical bool, g *Generator) (*Tensor, error) {
	r := C.go_image_random_flip(images.ptr(), C.double(p), C.bool(vertical), g.ptr())
	runtime.KeepAlive(g)
	return image(images, r)
}

// RandomHorizontalFlip reverses the order of columns with probability p.
func RandomHorizontalFlip(images *Tensor, p float64, g *Generator) (*Tensor, error) {
	return randomFlip(images, p, false, g)
}

// RandomVerticalFlip reverses the order of rows with probability p.
func RandomVerticalFlip(images *Tensor, p float64, g *Generator) (*Tensor, error) {
	return randomFlip(images, p, true, g)
}

// RandomCropOptions are the optional arguments of RandomCrop.
type RandomCropOptions struct {
	Padding
	// PadIfNeeded widens what is too small.
	PadIfNeeded bool
	// Generator is what is drawn from; nil is the default one.
	Generator *Generator
}

// RandomCrop cuts out height rows of width pixels, anywhere, after padding.
func RandomCrop(images *Tensor, height, width int64, opts ...RandomCropOptions) (*Tensor, error) {
	o := first(opts)
	mode, err := optionalText(o.Mode)
	if err != nil {
		return nil, err
	}
	defer freeText(mode)
	sides := (*C.int64_t)(unsafe.SliceData(o.Sides))
	r := C.go_image_random_crop(images.ptr(), C.int64_t(height), C.int64_t(width), sides, C.size_t(len(o.Sides)),
		C.bool(o.PadIfNeeded), C.double(o.Fill), (*C.char)(mode), o.Generator.ptr())
	runtime.KeepAlive(o.Generator)
	return image(images, r)
}

// RandomResizedCropOptions are the optional arguments of RandomResizedCrop.
type RandomResizedCropOptions struct {
	// Scale is the part's least and greatest area, of the whole; nil: 0.08 and 1.
	Scale []float64
	// Ratio is the part's least and greatest width by height; nil: 3/4 and 4/3.
	Ratio []float64
	// Filter is what ResizeImage takes.
	Filter string
	// Generator is what is drawn from; nil is the default one.
	Generator *Generator
}

// RandomResizedCrop cuts out a part of random area and shape, anywhere, and resizes it.
func RandomResizedCrop(images *Tensor, height, width int64, opts ...RandomResizedCropOptions) (*Tensor, error) {
	o := first(opts)
	filter, err := optionalText(o.Filter)
	if err != nil {
		return nil, err
	}
	defer freeText(filter)
	s, ns := doubles(o.Scale)
	q, nq := doubles(o.Ratio)
	r := C.go_image_random_resized_crop(images.ptr(), C.int64_t(height), C.int64_t(width), s, ns, q, nq, (*C.char)(filter),
		o.Generator.ptr())
	runtime.KeepAlive(o.Generator)
	return image(images, r)
}

// Jitter says what ColorJitter draws from: one number x means 1 - x to 1 + x (Hue: -x to x), two are a range, none changes nothing.
type Jitter struct {
	Brightness, Contrast, Saturation, Hue []float64
	// Generator is what is drawn from; nil is the default one.
	Generator *Generator
}

// ColorJitter changes brightness, contrast, saturation and hue at random, in random order.
func ColorJitter(images *Tensor, j Jitter) (*Tensor, error) {
	b, nb := doubles(j.Brightness)
	c, nc := doubles(j.Contrast)
	s, ns := doubles(j.Saturation)
	h, nh := doubles(j.Hue)
	r := C.go_image_color_jitter(images.ptr(), b, nb, c, nc, s, ns, h, nh, j.Generator.ptr())
	runtime.KeepAlive(j.Generator)
	return image(images, r)
}
