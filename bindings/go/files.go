package taper

/*
#include "shims.h"
#include <stdlib.h>
#include <string.h>

typedef struct { uintptr_t err, missing, unexpected, extra; } go_keys;

static inline go_pair go_named_from_memory(const void *data, size_t n, taper_device d) {
    taper_named_tensors *out = 0;
    go_pair r;
    r.err = (uintptr_t)taper_named_tensors_from_memory(data, n, d, &out);
    r.out = (uintptr_t)out;
    return r;
}
static inline uintptr_t go_named_save_as(uintptr_t n, const char *path, const char *format) {
    return (uintptr_t)taper_named_tensors_save_as((taper_named_tensors *)n, path, format);
}
static inline go_pair go_named_to_memory(uintptr_t n, const char *format) {
    taper_tensor *t = 0;
    go_pair r;
    r.err = (uintptr_t)taper_named_tensors_to_memory((taper_named_tensors *)n, format, &t);
    r.out = (uintptr_t)t;
    return r;
}
static inline go_pair go_named_save_sharded(uintptr_t n, const char *folder, const char *stem, uint64_t most) {
    size_t files = 0;
    go_pair r;
    r.err = (uintptr_t)taper_named_tensors_save_sharded((taper_named_tensors *)n, folder, stem, most, &files);
    r.out = files;
    return r;
}
static inline go_pair go_named_select(uintptr_t n, const char *prefix) {
    taper_named_tensors *out = 0;
    go_pair r;
    r.err = (uintptr_t)taper_named_tensors_select((taper_named_tensors *)n, prefix, &out);
    r.out = (uintptr_t)out;
    return r;
}
static inline size_t go_named_num_metadata(uintptr_t n) {
    return taper_named_tensors_num_metadata((taper_named_tensors *)n);
}
static inline go_pair go_named_metadata_key(uintptr_t n, size_t i) {
    taper_string *s = 0;
    go_pair r;
    r.err = (uintptr_t)taper_named_tensors_metadata_key((taper_named_tensors *)n, i, &s);
    r.out = (uintptr_t)s;
    return r;
}
static inline go_pair go_file_open(const char *path, bool mapped) {
    taper_tensor_file *f = 0;
    go_pair r;
    r.err = (uintptr_t)taper_tensor_file_open(path, mapped, &f);
    r.out = (uintptr_t)f;
    return r;
}
// The copy is freed by the file.
static inline go_pair go_file_open_memory(void *copy, size_t n) {
    taper_tensor_file *f = 0;
    go_pair r;
    r.err = (uintptr_t)taper_tensor_file_open_memory(copy, n, free, copy, &f);
    r.out = (uintptr_t)f;
    return r;
}
static inline size_t go_file_len(uintptr_t f) { return taper_tensor_file_len((taper_tensor_file *)f); }
static inline const char *go_file_name(uintptr_t f, size_t i) { return taper_tensor_file_name((taper_tensor_file *)f, i); }
static inline go_pair go_file_format(uintptr_t f) {
    taper_string *s = 0;
    go_pair r;
    r.err = (uintptr_t)taper_tensor_file_format((taper_tensor_file *)f, &s);
    r.out = (uintptr_t)s;
    return r;
}
static inline uintptr_t go_file_about(uintptr_t f, const char *name, int32_t *dtype, int64_t *sizes, size_t *n) {
    taper_error *e = taper_tensor_file_dtype((taper_tensor_file *)f, name, dtype);
    if (e)
        return (uintptr_t)e;
    return (uintptr_t)taper_tensor_file_sizes((taper_tensor_file *)f, name, sizes, 64, n);
}
static inline go_pair go_file_get(uintptr_t f, const char *name, taper_device d) {
    taper_tensor *t = 0;
    go_pair r;
    r.err = (uintptr_t)taper_tensor_file_get((taper_tensor_file *)f, name, d, &t);
    r.out = (uintptr_t)t;
    return r;
}
static inline go_pair go_file_get_rows(uintptr_t f, const char *name, int64_t start, int64_t stop, taper_device d) {
    taper_tensor *t = 0;
    go_pair r;
    r.err = (uintptr_t)taper_tensor_file_get_rows((taper_tensor_file *)f, name, start, stop, d, &t);
    r.out = (uintptr_t)t;
    return r;
}
static inline go_pair go_file_metadata(uintptr_t f) {
    taper_named_tensors *n = 0;
    go_pair r;
    r.err = (uintptr_t)taper_tensor_file_metadata((taper_tensor_file *)f, &n);
    r.out = (uintptr_t)n;
    return r;
}
static inline void go_file_free(uintptr_t f) { taper_tensor_file_free((taper_tensor_file *)f); }
static inline go_keys go_module_load_keys(uintptr_t m, const char *path, bool strict) {
    taper_string *missing = 0, *unexpected = 0;
    go_keys r = {0};
    r.err = (uintptr_t)taper_module_load_keys((taper_module *)m, path, strict, &missing, &unexpected);
    r.missing = (uintptr_t)missing;
    r.unexpected = (uintptr_t)unexpected;
    return r;
}
static inline go_keys go_module_load_state_dict_keys(uintptr_t m, uintptr_t n, bool strict) {
    taper_string *missing = 0, *unexpected = 0;
    go_keys r = {0};
    r.err = (uintptr_t)taper_module_load_state_dict_keys((taper_module *)m, (taper_named_tensors *)n, strict, &missing,
                                                         &unexpected);
    r.missing = (uintptr_t)missing;
    r.unexpected = (uintptr_t)unexpected;
    return r;
}
// Handles in one list: those of models, optimizers, schedules and generators follow each other.
static inline uintptr_t go_checkpoint_save(const char *path, const uintptr_t *h, const size_t *n, uintptr_t extra) {
    const uintptr_t *m = h, *o = m + n[0], *s = o + n[1], *g = s + n[2];
    return (uintptr_t)taper_checkpoint_save(path, (taper_module *const *)m, n[0], (taper_optimizer *const *)o, n[1],
                                            (taper_schedule *const *)s, n[2], (taper_generator *const *)g, n[3],
                                            (taper_named_tensors *)extra);
}
static inline go_keys go_checkpoint_load(const char *path, const uintptr_t *h, const size_t *n, bool strict) {
    const uintptr_t *m = h, *o = m + n[0], *s = o + n[1], *g = s + n[2];
    taper_named_tensors *extra = 0;
    taper_string *missing = 0, *unexpected = 0;
    go_keys r = {0};
    r.err = (uintptr_t)taper_checkpoint_load(path, (taper_module *const *)m, n[0], (taper_optimizer *const *)o, n[1],
                                             (taper_schedule *const *)s, n[2], (taper_generator *const *)g, n[3], strict,
                                             &extra, &missing, &unexpected);
    r.extra = (uintptr_t)extra;
    r.missing = (uintptr_t)missing;
    r.unexpected = (uintptr_t)unexpected;
    return r;
}
*/
import "C"

import (
	"runtime"
	"strings"
	"unsafe"
)

// LoadTensorsFromMemory reads the bytes of a file (safetensors, PyTorch's .pt, NPZ, NPY) onto a device.
func LoadTensorsFromMemory(data []byte, device Device) (*NamedTensors, error) {
	r := C.go_named_from_memory(unsafe.Pointer(unsafe.SliceData(data)), C.size_t(len(data)), device.c())
	runtime.KeepAlive(data)
	return adoptNamed(r)
}

// SaveAs writes a file of a format: "safetensors", "pt", "npz", "npz_compressed" or "npy".
func (n *NamedTensors) SaveAs(path, format string) error {
	return withTexts(path, format, func(p, f *C.char) error {
		e := C.go_named_save_as(n.ptr(), p, f)
		runtime.KeepAlive(n)
		return check(uintptr(e))
	})
}

// ToMemory is the bytes of such a file, as a tensor of uint8.
func (n *NamedTensors) ToMemory(format string) (*Tensor, error) {
	f, err := text(format)
	if err != nil {
		return nil, err
	}
	defer freeText(f)
	r := C.go_named_to_memory(n.ptr(), (*C.char)(f))
	runtime.KeepAlive(n)
	return adopt(uintptr(r.out)), check(uintptr(r.err))
}

// SaveSharded writes files of at most maxBytes of tensors each and their index into a folder; stem is "model" where it is
// empty. It gives the number of files.
func (n *NamedTensors) SaveSharded(folder, stem string, maxBytes uint64) (int, error) {
	if stem == "" {
		stem = "model"
	}
	files := 0
	err := withTexts(folder, stem, func(p, s *C.char) error {
		r := C.go_named_save_sharded(n.ptr(), p, s, C.uint64_t(maxBytes))
		runtime.KeepAlive(n)
		files = int(r.out)
		return check(uintptr(r.err))
	})
	return files, err
}

// Select is the tensors and texts whose names begin with a prefix, without it.
func (n *NamedTensors) Select(prefix string) (*NamedTensors, error) {
	p, err := text(prefix)
	if err != nil {
		return nil, err
	}
	defer freeText(p)
	r := C.go_named_select(n.ptr(), (*C.char)(p))
	runtime.KeepAlive(n)
	return adoptNamed(r)
}

// MetadataKeys are the keys of the text entries.
func (n *NamedTensors) MetadataKeys() ([]string, error) {
	defer runtime.KeepAlive(n)
	var out []string
	for i := range int(C.go_named_num_metadata(n.ptr())) {
		r := C.go_named_metadata_key(n.ptr(), C.size_t(i))
		if r.err != 0 {
			return nil, check(uintptr(r.err))
		}
		out = append(out, takeString(uintptr(r.out)))
	}
	return out, nil
}

func withTexts(a, b string, f func(a, b *C.char) error) error {
	x, err := text(a)
	if err != nil {
		return err
	}
	defer freeText(x)
	y, err := text(b)
	if err != nil {
		return err
	}
	defer freeText(y)
	return f((*C.char)(x), (*C.char)(y))
}

// TensorFile is an opened file, whose tensors are read when they are asked for.
type TensorFile struct{ object }

func freeFile(h uintptr) { C.go_file_free(C.uintptr_t(h)) }
func adoptFile(r C.go_pair) (*TensorFile, error) {
	if r.err != 0 {
		return nil, check(uintptr(r.err))
	}
	f := &TensorFile{}
	f.own(uintptr(r.out), freeFile)
	return f, nil
}
func (f *TensorFile) ptr() C.uintptr_t {
	if f == nil {
		return 0
	}
	return C.uintptr_t(f.h)
}

// OpenTensors opens a file of any format that LoadTensors reads. With mapped, tensors read onto the CPU have the file's pages
// as their memory where that can be; then nobody may shorten the file while they live.
func OpenTensors(path string, mapped bool) (*TensorFile, error) {
	p, err := text(path)
	if err != nil {
		return nil, err
	}
	defer freeText(p)
	return adoptFile(C.go_file_open((*C.char)(p), C.bool(mapped)))
}

// OpenTensorsInMemory opens a file's bytes, which are copied once.
func OpenTensorsInMemory(data []byte) (*TensorFile, error) {
	return adoptFile(C.go_file_open_memory(C.CBytes(data), C.size_t(len(data))))
}

// Close frees the file; tensors that were read stay.
func (f *TensorFile) Close() error {
	if f == nil {
		return nil
	}
	return f.release(freeFile)
}

// Names in order.
func (f *TensorFile) Names() []string {
	defer runtime.KeepAlive(f)
	out := make([]string, int(C.go_file_len(f.ptr())))
	for i := range out {
		out[i] = C.GoString(C.go_file_name(f.ptr(), C.size_t(i)))
	}
	return out
}

// Format is "safetensors", "safetensors index", "PyTorch", "NPZ" or "NPY".
func (f *TensorFile) Format() (string, error) {
	r := C.go_file_format(f.ptr())
	runtime.KeepAlive(f)
	if r.err != 0 {
		return "", check(uintptr(r.err))
	}
	return takeString(uintptr(r.out)), nil
}

// About is the dtype and the sizes of a tensor, which is not read.
func (f *TensorFile) About(name string) (DType, []int64, error) {
	s, err := text(name)
	if err != nil {
		return 0, nil, err
	}
	defer freeText(s)
	var dtype C.int32_t
	var n C.size_t
	sizes := make([]int64, 64)
	e := C.go_file_about(f.ptr(), (*C.char)(s), &dtype, (*C.int64_t)(unsafe.SliceData(sizes)), &n)
	runtime.KeepAlive(f)
	if e != 0 {
		return 0, nil, check(uintptr(e))
	}
	return dtypeFrom(int32(dtype)), sizes[:n], nil
}

// Get reads a tensor onto a device.
func (f *TensorFile) Get(name string, device Device) (*Tensor, error) {
	s, err := text(name)
	if err != nil {
		return nil, err
	}
	defer freeText(s)
	r := C.go_file_get(f.ptr(), (*C.char)(s), device.c())
	runtime.KeepAlive(f)
	return adopt(uintptr(r.out)), check(uintptr(r.err))
}

// Rows reads rows start to stop (exclusive) of a tensor onto a device.
func (f *TensorFile) Rows(name string, start, stop int64, device Device) (*Tensor, error) {
	s, err := text(name)
	if err != nil {
		return nil, err
	}
	defer freeText(s)
	r := C.go_file_get_rows(f.ptr(), (*C.char)(s), C.int64_t(start), C.int64_t(stop), device.c())
	runtime.KeepAlive(f)
	return adopt(uintptr(r.out)), check(uintptr(r.err))
}

// Metadata is the file's text entries, in a collection without tensors.
func (f *TensorFile) Metadata() (*NamedTensors, error) {
	r := C.go_file_metadata(f.ptr())
	runtime.KeepAlive(f)
	return adoptNamed(r)
}

// IncompatibleKeys are names of a state dict that loading did not match.
type IncompatibleKeys struct{ Missing, Unexpected []string }

func lines(h C.uintptr_t) []string {
	s := takeString(uintptr(h))
	if s == "" {
		return nil
	}
	return strings.Split(s, "\n")
}
func keysOf(r C.go_keys) (IncompatibleKeys, error) {
	if r.err != 0 {
		return IncompatibleKeys{}, check(uintptr(r.err))
	}
	return IncompatibleKeys{lines(r.missing), lines(r.unexpected)}, nil
}

// LoadKeys loads a file (safetensors, PyTorch's .pt) and gives the names that did not match, which are an error when strict.
// A failure changes nothing.
func (m *Module) LoadKeys(path string, strict bool) (IncompatibleKeys, error) {
	p, err := text(path)
	if err != nil {
		return IncompatibleKeys{}, err
	}
	defer freeText(p)
	r := C.go_module_load_keys(m.ptr(), (*C.char)(p), C.bool(strict))
	runtime.KeepAlive(m)
	return keysOf(r)
}

// LoadStateDictKeys does the same from a collection.
func (m *Module) LoadStateDictKeys(state *NamedTensors, strict bool) (IncompatibleKeys, error) {
	r := C.go_module_load_state_dict_keys(m.ptr(), state.ptr(), C.bool(strict))
	runtime.KeepAlive(m)
	runtime.KeepAlive(state)
	return keysOf(r)
}

// Checkpoint is what a training run needs to go on with the same bits. The default generator is always in it.
type Checkpoint struct {
	Models     []*Module
	Optimizers []*Optimizer
	Schedules  []*Schedule
	Generators []*Generator
}

func (c Checkpoint) handles() ([]C.uintptr_t, [4]C.size_t) {
	var h []C.uintptr_t
	for _, m := range c.Models {
		h = append(h, m.ptr())
	}
	for _, o := range c.Optimizers {
		h = append(h, o.ptr())
	}
	for _, s := range c.Schedules {
		h = append(h, s.ptr())
	}
	for _, g := range c.Generators {
		h = append(h, g.ptr())
	}
	n := [4]C.size_t{C.size_t(len(c.Models)), C.size_t(len(c.Optimizers)), C.size_t(len(c.Schedules)), C.size_t(len(c.Generators))}
	return h, n
}

// Save writes a checkpoint; extra holds the caller's tensors and texts (a loader's position), or is nil.
func (c Checkpoint) Save(path string, extra *NamedTensors) error {
	p, err := text(path)
	if err != nil {
		return err
	}
	defer freeText(p)
	h, n := c.handles()
	e := C.go_checkpoint_save((*C.char)(p), unsafe.SliceData(h), &n[0], extra.ptr())
	runtime.KeepAlive(c)
	runtime.KeepAlive(extra)
	return check(uintptr(e))
}

// Load reads a checkpoint into objects of the same structure and gives the caller's tensors and texts, and the modules' names
// that did not match, which are an error when strict. A failure changes nothing.
func (c Checkpoint) Load(path string, strict bool) (*NamedTensors, IncompatibleKeys, error) {
	p, err := text(path)
	if err != nil {
		return nil, IncompatibleKeys{}, err
	}
	defer freeText(p)
	h, n := c.handles()
	r := C.go_checkpoint_load((*C.char)(p), unsafe.SliceData(h), &n[0], C.bool(strict))
	runtime.KeepAlive(c)
	keys, err := keysOf(r)
	if err != nil {
		return nil, keys, err
	}
	extra, err := adoptNamed(C.go_pair{out: r.extra})
	return extra, keys, err
}
