package taper

/*
#include "shims.h"

static inline uintptr_t go_save_image(uintptr_t t, const char *path, int64_t columns, int64_t padding, bool normalize) {
    return (uintptr_t)taper_save_image((taper_tensor *)t, path, columns, padding, normalize);
}
static inline uintptr_t go_save_plot(uintptr_t *series, size_t n, const char *path, const char *labels, const char *title,
                                     int64_t width, int64_t height) {
    return (uintptr_t)taper_save_plot((taper_tensor *const *)series, n, path, labels, title, width, height);
}
static inline go_pair go_tensor_graph(uintptr_t t, uintptr_t m, bool svg) {
    taper_string *s = 0;
    go_pair r = {0, 0};
    r.err = (uintptr_t)(svg ? taper_tensor_graph_svg : taper_tensor_graph_dot)((taper_tensor *)t, (taper_module *)m, &s);
    r.out = (uintptr_t)s;
    return r;
}
static inline go_pair go_summary_writer_create(const char *folder, const char *suffix) {
    taper_summary_writer *w = 0;
    go_pair r = {0, 0};
    r.err = (uintptr_t)taper_summary_writer_create(folder, suffix, &w);
    r.out = (uintptr_t)w;
    return r;
}
static inline go_pair go_summary_writer_path(uintptr_t w) {
    taper_string *s = 0;
    go_pair r = {0, 0};
    r.err = (uintptr_t)taper_summary_writer_path((taper_summary_writer *)w, &s);
    r.out = (uintptr_t)s;
    return r;
}
static inline uintptr_t go_summary_writer_scalar(uintptr_t w, const char *tag, double value, int64_t step) {
    return (uintptr_t)taper_summary_writer_add_scalar((taper_summary_writer *)w, tag, value, step, 0);
}
static inline uintptr_t go_summary_writer_tensor(uintptr_t w, const char *tag, uintptr_t t, int64_t step, bool image) {
    return (uintptr_t)(image ? taper_summary_writer_add_image : taper_summary_writer_add_histogram)(
        (taper_summary_writer *)w, tag, (taper_tensor *)t, step, 0);
}
static inline uintptr_t go_summary_writer_text(uintptr_t w, const char *tag, const char *text, int64_t step) {
    return (uintptr_t)taper_summary_writer_add_text((taper_summary_writer *)w, tag, text, step, 0);
}
static inline uintptr_t go_summary_writer_graph(uintptr_t w, uintptr_t t, uintptr_t m) {
    return (uintptr_t)taper_summary_writer_add_graph((taper_summary_writer *)w, (taper_tensor *)t, (taper_module *)m, 0);
}
static inline uintptr_t go_summary_writer_flush(uintptr_t w) {
    return (uintptr_t)taper_summary_writer_flush((taper_summary_writer *)w);
}
static inline void go_summary_writer_free(uintptr_t w) { taper_summary_writer_free((taper_summary_writer *)w); }
static inline go_pair go_progress_create(uint64_t total, const char *description) {
    taper_progress *p = 0;
    go_pair r = {0, 0};
    r.err = (uintptr_t)taper_progress_create(total, description, &p);
    r.out = (uintptr_t)p;
    return r;
}
static inline uintptr_t go_progress_update(uintptr_t p, uint64_t steps, const char *note) {
    return (uintptr_t)taper_progress_update((taper_progress *)p, steps, note);
}
static inline void go_progress_free(uintptr_t p) { taper_progress_free((taper_progress *)p); }
*/
import "C"

import (
	"runtime"
	"strings"
)

// ImageOptions are the optional arguments of SaveImage.
type ImageOptions struct {
	// Columns is how many images of a batch stand in a row; zero means 8.
	Columns int64
	// Padding is how many black pixels stand around each image of a batch; zero means 2, a negative number none.
	Padding int64
	// Normalize shifts and scales all images together to 0 to 1.
	Normalize bool
}

// SaveImage writes images into a PNG file: [H, W], [C, H, W] or [N, C, H, W] with 1 or 3 channels; uint8, bool, or floats
// from 0 to 1.
func SaveImage(images *Tensor, path string, opts ...ImageOptions) error {
	o := first(opts)
	switch {
	case o.Padding == 0:
		o.Padding = 2
	case o.Padding < 0:
		o.Padding = 0
	}
	p, err := text(path)
	if err != nil {
		return err
	}
	defer freeText(p)
	e := C.go_save_image(images.ptr(), (*C.char)(p), C.int64_t(o.Columns), C.int64_t(o.Padding), C.bool(o.Normalize))
	runtime.KeepAlive(images)
	return check(uintptr(e))
}

// Curve is a line of a plot: [n] values over 0, 1, 2 .., or [n, 2] pairs of x and y. What is not finite leaves a gap.
type Curve struct {
	Label  string
	Values *Tensor
}

// PlotOptions are the optional arguments of SavePlot.
type PlotOptions struct {
	Title string
	// Width and Height are in pixels; zero means 800 and 500.
	Width, Height int64
}

// SavePlot draws curves into a PNG file, or SVG where the path ends in .svg.
func SavePlot(path string, curves []Curve, opts ...PlotOptions) error {
	o := first(opts)
	labels := make([]string, len(curves))
	series := make([]*Tensor, len(curves))
	for i, c := range curves {
		labels[i], series[i] = strings.ReplaceAll(c.Label, "\n", " "), c.Values
	}
	p, err := text(path)
	if err != nil {
		return err
	}
	defer freeText(p)
	l, err := text(strings.Join(labels, "\n"))
	if err != nil {
		return err
	}
	defer freeText(l)
	t, err := text(o.Title)
	if err != nil {
		return err
	}
	defer freeText(t)
	h := handlesOf(series)
	e := C.go_save_plot(handleArray(h), C.size_t(len(h)), (*C.char)(p), (*C.char)(l), (*C.char)(t), C.int64_t(o.Width),
		C.int64_t(o.Height))
	runtime.KeepAlive(series)
	return check(uintptr(e))
}

func (t *Tensor) graph(of *Module, svg bool) (string, error) {
	var m C.uintptr_t
	if of != nil {
		m = of.ptr()
	}
	r := C.go_tensor_graph(t.ptr(), m, C.bool(svg))
	runtime.KeepAlive(t)
	runtime.KeepAlive(of)
	if err := check(uintptr(r.err)); err != nil {
		return "", err
	}
	return takeString(uintptr(r.out)), nil
}

// GraphDOT is the recorded graph behind the tensor in the language of Graphviz; parameters have their names in module, which
// may be nil.
func (t *Tensor) GraphDOT(module *Module) (string, error) { return t.graph(module, false) }

// GraphSVG is the recorded graph behind the tensor as a picture.
func (t *Tensor) GraphSVG(module *Module) (string, error) { return t.graph(module, true) }

// SummaryWriter writes an event file for TensorBoard. Several goroutines may use it; Close closes its file.
type SummaryWriter struct{ object }

func freeSummaryWriter(h uintptr) { C.go_summary_writer_free(C.uintptr_t(h)) }

// NewSummaryWriter begins an event file in a folder, which is made where it is missing.
func NewSummaryWriter(folder string) (*SummaryWriter, error) {
	f, err := text(folder)
	if err != nil {
		return nil, err
	}
	defer freeText(f)
	r := C.go_summary_writer_create((*C.char)(f), nil)
	if err := check(uintptr(r.err)); err != nil {
		return nil, err
	}
	w := &SummaryWriter{}
	w.own(uintptr(r.out), freeSummaryWriter)
	return w, nil
}

// Close frees the writer. Later calls fail.
func (w *SummaryWriter) Close() error { return w.release(freeSummaryWriter) }

func (w *SummaryWriter) ptr() C.uintptr_t {
	if w == nil {
		return 0
	}
	return C.uintptr_t(w.h)
}

// Path is where the file lies.
func (w *SummaryWriter) Path() (string, error) {
	r := C.go_summary_writer_path(w.ptr())
	runtime.KeepAlive(w)
	if err := check(uintptr(r.err)); err != nil {
		return "", err
	}
	return takeString(uintptr(r.out)), nil
}

// with calls f with the writer and a tag.
func (w *SummaryWriter) with(tag string, f func(w C.uintptr_t, tag *C.char) C.uintptr_t) error {
	t, err := text(tag)
	if err != nil {
		return err
	}
	defer freeText(t)
	e := f(w.ptr(), (*C.char)(t))
	runtime.KeepAlive(w)
	return check(uintptr(e))
}

// AddScalar adds a number. Tags with slashes are shown in groups.
func (w *SummaryWriter) AddScalar(tag string, value float64, step int64) error {
	return w.with(tag, func(w C.uintptr_t, tag *C.char) C.uintptr_t {
		return C.go_summary_writer_scalar(w, tag, C.double(value), C.int64_t(step))
	})
}

// AddHistogram adds how the elements of a tensor are spread; NaN and infinities are left out.
func (w *SummaryWriter) AddHistogram(tag string, values *Tensor, step int64) error {
	err := w.with(tag, func(w C.uintptr_t, tag *C.char) C.uintptr_t {
		return C.go_summary_writer_tensor(w, tag, values.ptr(), C.int64_t(step), false)
	})
	runtime.KeepAlive(values)
	return err
}

// AddImage adds a picture, or a batch side by side, as SaveImage takes it.
func (w *SummaryWriter) AddImage(tag string, images *Tensor, step int64) error {
	err := w.with(tag, func(w C.uintptr_t, tag *C.char) C.uintptr_t {
		return C.go_summary_writer_tensor(w, tag, images.ptr(), C.int64_t(step), true)
	})
	runtime.KeepAlive(images)
	return err
}

// AddText adds a text, which TensorBoard reads as Markdown.
func (w *SummaryWriter) AddText(tag, words string, step int64) error {
	t, err := text(words)
	if err != nil {
		return err
	}
	defer freeText(t)
	return w.with(tag, func(w C.uintptr_t, tag *C.char) C.uintptr_t {
		return C.go_summary_writer_text(w, tag, (*C.char)(t), C.int64_t(step))
	})
}

// AddGraph adds the recorded graph behind a tensor; parameters have their names in module, which may be nil.
func (w *SummaryWriter) AddGraph(output *Tensor, module *Module) error {
	var m C.uintptr_t
	if module != nil {
		m = module.ptr()
	}
	e := C.go_summary_writer_graph(w.ptr(), output.ptr(), m)
	runtime.KeepAlive(w)
	runtime.KeepAlive(output)
	runtime.KeepAlive(module)
	return check(uintptr(e))
}

// Flush has the system write to the disk what it holds; without, events reach the file all the same.
func (w *SummaryWriter) Flush() error {
	e := C.go_summary_writer_flush(w.ptr())
	runtime.KeepAlive(w)
	return check(uintptr(e))
}

// Progress is a line on standard error that says how far a loop is, how fast, and how long it will still take.
type Progress struct{ object }

func freeProgress(h uintptr) { C.go_progress_free(C.uintptr_t(h)) }

// NewProgress begins the line of a loop of total steps; 0: nobody knows.
func NewProgress(total uint64, description string) (*Progress, error) {
	d, err := text(description)
	if err != nil {
		return nil, err
	}
	defer freeText(d)
	r := C.go_progress_create(C.uint64_t(total), (*C.char)(d))
	if err := check(uintptr(r.err)); err != nil {
		return nil, err
	}
	p := &Progress{}
	p.own(uintptr(r.out), freeProgress)
	return p, nil
}

// Update says that steps more are done; note stands behind from now on, unless it is empty.
func (p *Progress) Update(steps uint64, note string) error {
	n, err := optionalText(note)
	if err != nil {
		return err
	}
	defer freeText(n)
	e := C.go_progress_update(p.ptr(), C.uint64_t(steps), (*C.char)(n))
	runtime.KeepAlive(p)
	return check(uintptr(e))
}

// Close draws the last line.
func (p *Progress) Close() error { return p.release(freeProgress) }

func (p *Progress) ptr() C.uintptr_t {
	if p == nil {
		return 0
	}
	return C.uintptr_t(p.h)
}
