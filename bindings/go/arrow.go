package taper

/*
#include "shims.h"

static inline go_pair go_arrow_import(void *schema, void *array, bool masks) {
    taper_named_tensors *n = 0;
    go_pair r = {0, 0};
    r.err = (uintptr_t)taper_arrow_import((struct ArrowSchema *)schema, (struct ArrowArray *)array, masks, &n);
    r.out = (uintptr_t)n;
    return r;
}
static inline go_pair go_arrow_import_next(void *stream, bool masks) {
    taper_named_tensors *n = 0;
    go_pair r = {0, 0};
    r.err = (uintptr_t)taper_arrow_import_next((struct ArrowArrayStream *)stream, masks, &n);
    r.out = (uintptr_t)n;
    return r;
}
static inline uintptr_t go_arrow_export(uintptr_t n, void *schema, void *array) {
    return (uintptr_t)taper_arrow_export((taper_named_tensors *)n, (struct ArrowSchema *)schema, (struct ArrowArray *)array);
}
*/
import "C"

import (
	"runtime"
	"unsafe"
)

// FromArrow makes tensors over the memory of a table of Arrow's C data interface, whose structs are given by their addresses (in
// Go's Arrow library those of cdata.CArrowSchema and cdata.CArrowArray): numbers are [rows], lists of one length [rows, length ..],
// dates and times integers; bools are copied. A column with nulls is an error, or with masks gets a tensor NAME.valid beside
// it. What both structs hold is taken over, also when it fails. What others see must not be written to.
func FromArrow(schema, array unsafe.Pointer, masks bool) (*NamedTensors, error) {
	return adoptNamed(C.go_arrow_import(schema, array, C.bool(masks)))
}

// FromArrowStream gives the next table of a stream of Arrow's C stream interface; nil without an error at the end.
func FromArrowStream(stream unsafe.Pointer, masks bool) (*NamedTensors, error) {
	r := C.go_arrow_import_next(stream, C.bool(masks))
	if r.err == 0 && r.out == 0 {
		return nil, nil
	}
	return adoptNamed(r)
}

// ToArrow puts tensors of one length on the CPU into two structs of Arrow's C data interface, which the receiver releases.
func (n *NamedTensors) ToArrow(schema, array unsafe.Pointer) error {
	e := C.go_arrow_export(n.ptr(), schema, array)
	runtime.KeepAlive(n)
	return check(uintptr(e))
}
