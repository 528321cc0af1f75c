package taper

/*
#include "shims.h"

static inline go_pair go_read_idx(const char *path) {
    taper_tensor *t = 0;
    go_pair r = {0, 0};
    r.err = (uintptr_t)taper_read_idx(path, &t);
    r.out = (uintptr_t)t;
    return r;
}
static inline go_several go_read_cifar(const char *path, int64_t classes) {
    taper_tensor *images = 0, *labels = 0;
    go_several r = {0};
    r.err = (uintptr_t)taper_read_cifar(path, classes, &images, &labels);
    r.out[0] = (uintptr_t)images;
    r.out[1] = (uintptr_t)labels;
    return r;
}
static inline go_several go_read_csv(const char *path, const char *separator, int header, double missing, int32_t dtype) {
    taper_tensor *values = 0;
    taper_string *names = 0;
    go_several r = {0};
    bool known = header > 0;
    r.err = (uintptr_t)taper_read_csv(path, separator, header < 0 ? 0 : &known, missing, dtype, &values, &names);
    r.out[0] = (uintptr_t)values;
    r.out[1] = (uintptr_t)names;
    return r;
}
static inline go_pair go_read_image(const char *path, int64_t channels) {
    taper_tensor *t = 0;
    go_pair r = {0, 0};
    r.err = (uintptr_t)taper_read_image(path, channels, &t);
    r.out = (uintptr_t)t;
    return r;
}
static inline go_pair go_decode_image(const void *data, size_t n, int64_t channels) {
    taper_tensor *t = 0;
    go_pair r = {0, 0};
    r.err = (uintptr_t)taper_decode_image(data, n, channels, &t);
    r.out = (uintptr_t)t;
    return r;
}
typedef struct { uintptr_t err, paths, labels, classes; } go_folder;
static inline go_folder go_image_folder(const char *folder) {
    taper_string *paths = 0, *classes = 0;
    taper_tensor *labels = 0;
    go_folder r = {0};
    r.err = (uintptr_t)taper_image_folder(folder, &paths, &labels, &classes);
    r.paths = (uintptr_t)paths;
    r.labels = (uintptr_t)labels;
    r.classes = (uintptr_t)classes;
    return r;
}
static inline go_pair go_image_resize(uintptr_t images, int64_t height, int64_t width, const char *filter) {
    taper_tensor *t = 0;
    go_pair r = {0, 0};
    r.err = (uintptr_t)taper_image_resize((taper_tensor *)images, height, width, filter, &t);
    r.out = (uintptr_t)t;
    return r;
}
*/
import "C"

import (
	"math"
	"runtime"
	"strings"
	"unsafe"
)

// ReadIDX reads the array of an IDX file (MNIST and its kin), plain or compressed by gzip.
func ReadIDX(path string) (*Tensor, error) {
	p, err := text(path)
	if err != nil {
		return nil, err
	}
	defer freeText(p)
	r := C.go_read_idx((*C.char)(p))
	if err := check(uintptr(r.err)); err != nil {
		return nil, err
	}
	return adopt(uintptr(r.out)), nil
}

// ReadCIFAR reads a binary file of CIFAR-10 or CIFAR-100, plain or compressed by gzip: images are uint8 [n, 3, 32, 32], labels
// int64, [n] with 10 classes, [n, 2] with 100, the coarse ones first.
func ReadCIFAR(path string, classes int64) (images, labels *Tensor, err error) {
	p, err := text(path)
	if err != nil {
		return nil, nil, err
	}
	defer freeText(p)
	r := C.go_read_cifar((*C.char)(p), C.int64_t(classes))
	if err := check(uintptr(r.err)); err != nil {
		return nil, nil, err
	}
	return adopt(uintptr(r.out[0])), adopt(uintptr(r.out[1])), nil
}

// Table is a table of numbers: [rows, columns], and the columns' names where the file has them.
type Table struct {
	Values *Tensor
	Names  []string
}

// CSVOptions are the optional arguments of ReadCSV.
type CSVOptions struct {
	// Separator is one character; a space stands for any run of spaces and tabs. Nothing means a comma.
	Separator string
	// Header says whether the first line has names; nil: whether one of its fields is no number.
	Header *bool
	// Missing is put where a field is empty, NA, N/A, nan, null, None or ?; nil: NaN.
	Missing *float64
	// DType is a floating-point one; zero is the default.
	DType DType
}

// ReadCSV reads a table of numbers, plain or compressed by gzip.
func ReadCSV(path string, opts ...CSVOptions) (Table, error) {
	o := first(opts)
	p, err := text(path)
	if err != nil {
		return Table{}, err
	}
	defer freeText(p)
	separator, err := optionalText(o.Separator)
	if err != nil {
		return Table{}, err
	}
	defer freeText(separator)
	header, missing := C.int(-1), math.NaN()
	if o.Header != nil {
		header = 0
		if *o.Header {
			header = 1
		}
	}
	if o.Missing != nil {
		missing = *o.Missing
	}
	r := C.go_read_csv((*C.char)(p), (*C.char)(separator), header, C.double(missing), C.int32_t(o.DType.code()))
	if err := check(uintptr(r.err)); err != nil {
		return Table{}, err
	}
	return Table{adopt(uintptr(r.out[0])), terminated(takeString(uintptr(r.out[1])))}, nil
}

// terminated cuts a text into lines that each end with a newline.
func terminated(s string) []string {
	lines := strings.Split(s, "\n")
	return lines[:len(lines)-1]
}

// ReadImage reads a PNG or JPEG file as uint8 [channels, rows, columns]; channels is 0 (as the file has it), 1 (grey), 2 (grey
// and alpha), 3 (RGB) or 4 (RGB and alpha).
func ReadImage(path string, channels int64) (*Tensor, error) {
	p, err := text(path)
	if err != nil {
		return nil, err
	}
	defer freeText(p)
	r := C.go_read_image((*C.char)(p), C.int64_t(channels))
	if err := check(uintptr(r.err)); err != nil {
		return nil, err
	}
	return adopt(uintptr(r.out)), nil
}

// DecodeImage does the same with a file's bytes in memory.
func DecodeImage(data []byte, channels int64) (*Tensor, error) {
	r := C.go_decode_image(unsafe.Pointer(unsafe.SliceData(data)), C.size_t(len(data)), C.int64_t(channels))
	runtime.KeepAlive(data)
	if err := check(uintptr(r.err)); err != nil {
		return nil, err
	}
	return adopt(uintptr(r.out)), nil
}

// ImageFolder is what FindImages found: paths, each one's class as int64 [n], and the classes' names.
type ImageFolder struct {
	Paths   []string
	Labels  *Tensor
	Classes []string
}

// FindImages looks for images (.png, .jpg, .jpeg) in a folder that has a folder for each class.
func FindImages(folder string) (ImageFolder, error) {
	p, err := text(folder)
	if err != nil {
		return ImageFolder{}, err
	}
	defer freeText(p)
	r := C.go_image_folder((*C.char)(p))
	if err := check(uintptr(r.err)); err != nil {
		return ImageFolder{}, err
	}
	labels := adopt(uintptr(r.labels))
	return ImageFolder{terminated(takeString(uintptr(r.paths))), labels, terminated(takeString(uintptr(r.classes)))}, nil
}

// ResizeImage resizes the last two dimensions of images, uint8 or floating-point, as Pillow does: filter is "nearest", "box",
// "bilinear" (also if empty), "hamming", "bicubic" or "lanczos". Floats have gradients.
func ResizeImage(images *Tensor, height, width int64, filter string) (*Tensor, error) {
	f, err := optionalText(filter)
	if err != nil {
		return nil, err
	}
	defer freeText(f)
	r := C.go_image_resize(images.ptr(), C.int64_t(height), C.int64_t(width), (*C.char)(f))
	runtime.KeepAlive(images)
	if err := check(uintptr(r.err)); err != nil {
		return nil, err
	}
	return adopt(uintptr(r.out)), nil
}
