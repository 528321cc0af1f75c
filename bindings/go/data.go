package taper

/*
#include "shims.h"

static inline go_pair go_dataset_from_tensors(uintptr_t *tensors, size_t n) {
    taper_dataset *d = 0;
    go_pair r = {0, 0};
    r.err = (uintptr_t)taper_dataset_from_tensors((taper_tensor *const *)tensors, n, &d);
    r.out = (uintptr_t)d;
    return r;
}
static inline go_pair go_dataset_subset(uintptr_t of, const int64_t *indices, size_t n) {
    taper_dataset *d = 0;
    go_pair r = {0, 0};
    r.err = (uintptr_t)taper_dataset_subset((taper_dataset *)of, indices, n, &d);
    r.out = (uintptr_t)d;
    return r;
}
// 0: one after the other, 1: side by side, 2: streams one after the other.
static inline go_pair go_dataset_join(uintptr_t *parts, size_t n, int how) {
    taper_dataset *d = 0;
    taper_dataset *const *p = (taper_dataset *const *)parts;
    go_pair r = {0, 0};
    r.err = (uintptr_t)(how == 0 ? taper_dataset_concat(p, n, &d)
                                 : how == 1 ? taper_dataset_stack(p, n, &d) : taper_dataset_chain(p, n, &d));
    r.out = (uintptr_t)d;
    return r;
}
static inline go_pair go_dataset_subset_tensor(uintptr_t of, uintptr_t indices) {
    taper_dataset *d = 0;
    go_pair r = {0, 0};
    r.err = (uintptr_t)taper_dataset_subset_tensor((taper_dataset *)of, (taper_tensor *)indices, &d);
    r.out = (uintptr_t)d;
    return r;
}
static inline go_pair go_dataset_random_split(uintptr_t d, const double *lengths, size_t n, uintptr_t g) {
    taper_tensor_list *l = 0;
    go_pair r = {0, 0};
    r.err = (uintptr_t)taper_dataset_random_split((taper_dataset *)d, lengths, n, (taper_generator *)g, &l);
    r.out = (uintptr_t)l;
    return r;
}
typedef struct {
    uintptr_t err;
    int64_t n;
} go_length;
static inline go_length go_dataset_len(uintptr_t d) {
    go_length r = {0, 0};
    r.err = (uintptr_t)taper_dataset_len((taper_dataset *)d, &r.n);
    return r;
}
static inline go_pair go_dataset_get(uintptr_t d, int64_t index, uint64_t seed) {
    taper_tensor_list *l = 0;
    go_pair r = {0, 0};
    r.err = (uintptr_t)taper_dataset_get((taper_dataset *)d, index, seed, &l);
    r.out = (uintptr_t)l;
    return r;
}
static inline void go_dataset_free(uintptr_t d) { taper_dataset_free((taper_dataset *)d); }

#define GO_SAMPLER(call) \
    taper_sampler *s = 0; \
    go_pair r = {0, 0}; \
    r.err = (uintptr_t)(call); \
    r.out = (uintptr_t)s; \
    return r
static inline go_pair go_sampler_sequential(int64_t n) { GO_SAMPLER(taper_sampler_sequential(n, &s)); }
static inline go_pair go_sampler_random(int64_t n, bool replacement, const int64_t *num_samples, uintptr_t g) {
    GO_SAMPLER(taper_sampler_random(n, replacement, num_samples, (taper_generator *)g, &s));
}
static inline go_pair go_sampler_fixed(const int64_t *indices, size_t n) { GO_SAMPLER(taper_sampler_fixed(indices, n, &s)); }
static inline go_pair go_sampler_subset_random(const int64_t *indices, size_t n, uintptr_t g) {
    GO_SAMPLER(taper_sampler_subset_random(indices, n, (taper_generator *)g, &s));
}
static inline go_pair go_sampler_weighted(const double *weights, size_t n, int64_t num_samples, bool replacement, uintptr_t g) {
    GO_SAMPLER(taper_sampler_weighted(weights, n, num_samples, replacement, (taper_generator *)g, &s));
}
static inline go_pair go_sampler_distributed(int64_t n, int64_t replicas, int64_t rank, bool shuffle, int64_t seed,
                                             bool drop_last) {
    GO_SAMPLER(taper_sampler_distributed(n, replicas, rank, shuffle, seed, drop_last, &s));
}
static inline go_pair go_sampler_batch(uintptr_t of, int64_t size, bool drop_last) {
    GO_SAMPLER(taper_sampler_batch((taper_sampler *)of, size, drop_last, &s));
}
static inline uintptr_t go_sampler_set_epoch(uintptr_t s, int64_t epoch) {
    return (uintptr_t)taper_sampler_set_epoch((taper_sampler *)s, epoch);
}
static inline int64_t go_sampler_len(uintptr_t s) { return taper_sampler_len((taper_sampler *)s); }
static inline go_pair go_sampler_draw(uintptr_t s) {
    taper_tensor *t = 0;
    go_pair r = {0, 0};
    r.err = (uintptr_t)taper_sampler_draw((taper_sampler *)s, &t);
    r.out = (uintptr_t)t;
    return r;
}
static inline void go_sampler_free(uintptr_t s) { taper_sampler_free((taper_sampler *)s); }

static inline go_pair go_loader_create(uintptr_t d, uintptr_t s, uintptr_t g, int64_t batch_size, int64_t workers,
                                       int64_t prefetch, bool shuffle, bool drop_last, uintptr_t collate) {
    taper_data_loader_options o = TAPER_DATA_LOADER_OPTIONS_INIT;
    o.batch_size = batch_size;
    o.num_workers = workers;
    o.prefetch_factor = prefetch;
    o.shuffle = shuffle;
    o.drop_last = drop_last;
    return go_data_loader_create(d, s, g, &o, collate);
}
static inline go_length go_data_loader_len(uintptr_t l) {
    go_length r = {0, 0};
    r.err = (uintptr_t)taper_data_loader_len((taper_data_loader *)l, &r.n);
    return r;
}
static inline go_pair go_data_loader_begin(uintptr_t l) {
    taper_batches *b = 0;
    go_pair r = {0, 0};
    r.err = (uintptr_t)taper_data_loader_begin((taper_data_loader *)l, &b);
    r.out = (uintptr_t)b;
    return r;
}
static inline go_pair go_data_loader_resume(uintptr_t l, uintptr_t state) {
    taper_batches *b = 0;
    go_pair r = {0, 0};
    r.err = (uintptr_t)taper_data_loader_resume((taper_data_loader *)l, (taper_named_tensors *)state, &b);
    r.out = (uintptr_t)b;
    return r;
}
static inline void go_data_loader_free(uintptr_t l) { taper_data_loader_free((taper_data_loader *)l); }
static inline go_pair go_batches_next(uintptr_t b) {
    taper_tensor_list *l = 0;
    go_pair r = {0, 0};
    r.err = (uintptr_t)taper_batches_next((taper_batches *)b, &l);
    r.out = (uintptr_t)l;
    return r;
}
static inline go_pair go_batches_state_dict(uintptr_t b) {
    taper_named_tensors *n = 0;
    go_pair r = {0, 0};
    r.err = (uintptr_t)taper_batches_state_dict((taper_batches *)b, &n);
    r.out = (uintptr_t)n;
    return r;
}
static inline void go_batches_free(uintptr_t b) { taper_batches_free((taper_batches *)b); }
*/
import "C"

import (
	"iter"
	"runtime"
	"runtime/cgo"
	"unsafe"
)

// Dataset has samples by number, or one after the other. A sample is some tensors. Several goroutines may use it.
type Dataset struct{ object }

// Samples is a data set of one's own. Any thread may call it, several at once. The library takes over the tensors that Get
// returns and are marked with HandOver.
type Samples interface {
	// Len is the number of samples.
	Len() int64
	// Get makes sample index of 0 to Len() - 1. Draws made from seed do not depend on how many threads there are.
	Get(index int64, seed uint64) ([]*Tensor, error)
}

// NextSample gives the next sample of a stream; nil without an error at the end.
type NextSample func(seed uint64) ([]*Tensor, error)

func freeDataset(h uintptr) { C.go_dataset_free(C.uintptr_t(h)) }
func adoptDataset(r C.go_pair) (*Dataset, error) {
	if r.err != 0 {
		return nil, check(uintptr(r.err))
	}
	d := &Dataset{}
	d.own(uintptr(r.out), freeDataset)
	return d, nil
}
func (d *Dataset) ptr() C.uintptr_t {
	if d == nil {
		return 0
	}
	return C.uintptr_t(d.h)
}

// Close frees the data set; loaders of it keep it alive.
func (d *Dataset) Close() error { return d.release(freeDataset) }

// NewTensorDataset makes a data set whose sample i has row i of each tensor.
func NewTensorDataset(tensors ...*Tensor) (*Dataset, error) {
	h := handlesOf(tensors)
	r := C.go_dataset_from_tensors(handleArray(h), C.size_t(len(h)))
	runtime.KeepAlive(tensors)
	return adoptDataset(r)
}

// NewDataset makes a data set of one's own.
func NewDataset(samples Samples) (*Dataset, error) {
	if samples == nil {
		return nil, &Error{Code: ErrorType, Arg: 0, Op: "dataset_new", Message: "the data set is nil"}
	}
	return adoptDataset(C.go_dataset_new(C.uintptr_t(cgo.NewHandle(samples))))
}

// NewStream makes a data set whose samples come one after the other: begin is called for each pass. The threads of a loader
// take turns at one pass.
func NewStream(begin func() (NextSample, error)) (*Dataset, error) {
	if begin == nil {
		return nil, &Error{Code: ErrorType, Arg: 0, Op: "dataset_new_stream", Message: "the function is nil"}
	}
	return adoptDataset(C.go_dataset_new_stream(C.uintptr_t(cgo.NewHandle(begin))))
}

// Subset has the samples at indices, which may count from the end.
func (d *Dataset) Subset(indices []int64) (*Dataset, error) {
	r := C.go_dataset_subset(d.ptr(), (*C.int64_t)(unsafe.SliceData(indices)), C.size_t(len(indices)))
	runtime.KeepAlive(d)
	return adoptDataset(r)
}

func joinDatasets(parts []*Dataset, how C.int) (*Dataset, error) {
	h := make([]C.uintptr_t, len(parts))
	for i, d := range parts {
		h[i] = d.ptr()
	}
	r := C.go_dataset_join(handleArray(h), C.size_t(len(h)), how)
	runtime.KeepAlive(parts)
	return adoptDataset(r)
}

// ConcatDatasets makes one of data sets one after the other.
func ConcatDatasets(parts ...*Dataset) (*Dataset, error) { return joinDatasets(parts, 0) }

// StackDatasets makes one of data sets of one length side by side: sample i has the tensors of sample i of each.
func StackDatasets(parts ...*Dataset) (*Dataset, error) { return joinDatasets(parts, 1) }

// ChainDatasets makes one stream of streams one after the other.
func ChainDatasets(parts ...*Dataset) (*Dataset, error) { return joinDatasets(parts, 2) }

// RandomSplit makes parts at random in PyTorch's order, of as many samples each, or of fractions that sum up to 1. The
// generator (nil: the default one) is drawn from.
func (d *Dataset) RandomSplit(lengths []float64, generator *Generator) ([]*Dataset, error) {
	r := C.go_dataset_random_split(d.ptr(), (*C.double)(unsafe.SliceData(lengths)), C.size_t(len(lengths)), generator.ptr())
	runtime.KeepAlive(generator)
	if err := check(uintptr(r.err)); err != nil {
		return nil, err
	}
	indices, err := adoptList(uintptr(r.out))
	if err != nil {
		return nil, err
	}
	parts := make([]*Dataset, len(indices))
	for i, t := range indices {
		parts[i], err = adoptDataset(C.go_dataset_subset_tensor(d.ptr(), t.ptr()))
		runtime.KeepAlive(t)
		if err != nil {
			return nil, err
		}
	}
	runtime.KeepAlive(d)
	return parts, nil
}

// Len is the number of samples; an error for a stream.
func (d *Dataset) Len() (int64, error) {
	r := C.go_dataset_len(d.ptr())
	runtime.KeepAlive(d)
	return int64(r.n), check(uintptr(r.err))
}

// Get makes a sample; index may count from the end.
func (d *Dataset) Get(index int64, seed uint64) ([]*Tensor, error) {
	r := C.go_dataset_get(d.ptr(), C.int64_t(index), C.uint64_t(seed))
	runtime.KeepAlive(d)
	if err := check(uintptr(r.err)); err != nil {
		return nil, err
	}
	return adoptList(uintptr(r.out))
}

// Sampler says the order of samples. Several goroutines may use it.
type Sampler struct{ object }

func freeSampler(h uintptr) { C.go_sampler_free(C.uintptr_t(h)) }
func adoptSampler(r C.go_pair) (*Sampler, error) {
	if r.err != 0 {
		return nil, check(uintptr(r.err))
	}
	s := &Sampler{}
	s.own(uintptr(r.out), freeSampler)
	return s, nil
}
func (s *Sampler) ptr() C.uintptr_t {
	if s == nil {
		return 0
	}
	return C.uintptr_t(s.h)
}

// Close frees the sampler; loaders with it keep it alive.
func (s *Sampler) Close() error { return s.release(freeSampler) }

// SamplerOptions are the optional arguments of samplers that draw.
type SamplerOptions struct {
	// Replacement draws each index anew.
	Replacement bool
	// NumSamples is how many are drawn; zero means all.
	NumSamples int64
	// Generator is what is drawn from; nil is the default one.
	Generator *Generator
}

// NewSequentialSampler gives 0 to n - 1 in order.
func NewSequentialSampler(n int64) (*Sampler, error) {
	return adoptSampler(C.go_sampler_sequential(C.int64_t(n)))
}

// NewRandomSampler gives 0 to n - 1 in random order. Without a generator each pass seeds one of its own from the default one.
func NewRandomSampler(n int64, opts ...SamplerOptions) (*Sampler, error) {
	o := first(opts)
	var count *C.int64_t
	if o.NumSamples != 0 {
		c := C.int64_t(o.NumSamples)
		count = &c
	}
	r := C.go_sampler_random(C.int64_t(n), C.bool(o.Replacement), count, o.Generator.ptr())
	runtime.KeepAlive(o.Generator)
	return adoptSampler(r)
}

// NewFixedSampler gives these indices in this order.
func NewFixedSampler(indices []int64) (*Sampler, error) {
	return adoptSampler(C.go_sampler_fixed((*C.int64_t)(unsafe.SliceData(indices)), C.size_t(len(indices))))
}

// NewSubsetRandomSampler gives these indices in random order.
func NewSubsetRandomSampler(indices []int64, opts ...SamplerOptions) (*Sampler, error) {
	g := first(opts).Generator
	r := C.go_sampler_subset_random((*C.int64_t)(unsafe.SliceData(indices)), C.size_t(len(indices)), g.ptr())
	runtime.KeepAlive(g)
	return adoptSampler(r)
}

// NewWeightedSampler draws numSamples indices with weights, which need not sum up to 1. PyTorch's default is with replacement.
func NewWeightedSampler(weights []float64, numSamples int64, replacement bool, opts ...SamplerOptions) (*Sampler, error) {
	g := first(opts).Generator
	r := C.go_sampler_weighted((*C.double)(unsafe.SliceData(weights)), C.size_t(len(weights)), C.int64_t(numSamples),
		C.bool(replacement), g.ptr())
	runtime.KeepAlive(g)
	return adoptSampler(r)
}

// DistributedOptions are the optional arguments of NewDistributedSampler.
type DistributedOptions struct {
	// InOrder leaves out the shuffle.
	InOrder bool
	// Seed is the same in all processes.
	Seed int64
	// DropLast leaves out the last indices, so that all parts are of one length; otherwise some come twice.
	DropLast bool
}

// NewDistributedSampler gives the part of process rank of numReplicas.
func NewDistributedSampler(n, numReplicas, rank int64, opts ...DistributedOptions) (*Sampler, error) {
	o := first(opts)
	return adoptSampler(C.go_sampler_distributed(C.int64_t(n), C.int64_t(numReplicas), C.int64_t(rank), C.bool(!o.InOrder),
		C.int64_t(o.Seed), C.bool(o.DropLast)))
}

// NewBatchSampler gives batches of another sampler's indices.
func NewBatchSampler(of *Sampler, batchSize int64, dropLast bool) (*Sampler, error) {
	r := C.go_sampler_batch(of.ptr(), C.int64_t(batchSize), C.bool(dropLast))
	runtime.KeepAlive(of)
	return adoptSampler(r)
}

// SetEpoch gives a distributed sampler's next pass another order.
func (s *Sampler) SetEpoch(epoch int64) error {
	e := C.go_sampler_set_epoch(s.ptr(), C.int64_t(epoch))
	runtime.KeepAlive(s)
	return check(uintptr(e))
}

// Len is how many indices a pass has, of a sampler of batches how many batches; -1 of a closed one.
func (s *Sampler) Len() int64 {
	defer runtime.KeepAlive(s)
	return int64(C.go_sampler_len(s.ptr()))
}

// Draw gives the indices of a pass.
func (s *Sampler) Draw() (*Tensor, error) {
	r := C.go_sampler_draw(s.ptr())
	runtime.KeepAlive(s)
	if err := check(uintptr(r.err)); err != nil {
		return nil, err
	}
	return adopt(uintptr(r.out)), nil
}

// LoaderOptions are the optional arguments of NewDataLoader.
type LoaderOptions struct {
	// BatchSize is how many samples a batch has; zero means 1, a negative number no batches: each sample as it is.
	BatchSize         int64
	Shuffle, DropLast bool
	// Workers is how many threads make batches ahead; zero: the calling goroutine makes them.
	Workers int64
	// Prefetch is how many batches are made ahead for each thread; zero means 2.
	Prefetch int64
	// Sampler takes the place of Shuffle; one of batches that of BatchSize too.
	Sampler *Sampler
	// Generator is what the shuffle and each pass's seed are drawn from; nil is the default one.
	Generator *Generator
	// Collate makes a batch; nil stacks the tensors of each place. Any thread may call it. The samples are closed when it
	// returns.
	Collate func(samples [][]*Tensor) ([]*Tensor, error)
}

// DataLoader makes batches of a data set. Several goroutines may use it.
type DataLoader struct{ object }

func freeDataLoader(h uintptr) { C.go_data_loader_free(C.uintptr_t(h)) }
func (l *DataLoader) ptr() C.uintptr_t {
	if l == nil {
		return 0
	}
	return C.uintptr_t(l.h)
}

// NewDataLoader makes a loader.
func NewDataLoader(d *Dataset, opts ...LoaderOptions) (*DataLoader, error) {
	o := first(opts)
	switch {
	case o.BatchSize == 0:
		o.BatchSize = 1
	case o.BatchSize < 0:
		o.BatchSize = 0
	}
	var collate C.uintptr_t
	if o.Collate != nil {
		collate = C.uintptr_t(cgo.NewHandle(o.Collate))
	}
	r := C.go_loader_create(d.ptr(), o.Sampler.ptr(), o.Generator.ptr(), C.int64_t(o.BatchSize), C.int64_t(o.Workers),
		C.int64_t(o.Prefetch), C.bool(o.Shuffle), C.bool(o.DropLast), collate)
	runtime.KeepAlive(d)
	runtime.KeepAlive(o)
	if r.err != 0 {
		return nil, check(uintptr(r.err))
	}
	l := &DataLoader{}
	l.own(uintptr(r.out), freeDataLoader)
	return l, nil
}

// Close frees the loader; its passes go on.
func (l *DataLoader) Close() error { return l.release(freeDataLoader) }

// Len is the number of batches of a pass; an error for a stream.
func (l *DataLoader) Len() (int64, error) {
	r := C.go_data_loader_len(l.ptr())
	runtime.KeepAlive(l)
	return int64(r.n), check(uintptr(r.err))
}

// Begin begins a pass.
func (l *DataLoader) Begin() (*Batches, error) {
	r := C.go_data_loader_begin(l.ptr())
	runtime.KeepAlive(l)
	return adoptBatches(r)
}

// Resume begins a pass where another one's StateDict was asked.
func (l *DataLoader) Resume(state *NamedTensors) (*Batches, error) {
	r := C.go_data_loader_resume(l.ptr(), state.ptr())
	runtime.KeepAlive(l)
	runtime.KeepAlive(state)
	return adoptBatches(r)
}

// Batches goes through a pass; leaving the loop ends it. An error stands in the place of its batch, and the pass goes on behind
// it. The loop's body owns each batch.
//
//	for batch, err := range loader.Batches() {
//		...
//	}
func (l *DataLoader) Batches() iter.Seq2[[]*Tensor, error] {
	return func(yield func([]*Tensor, error) bool) {
		b, err := l.Begin()
		if err != nil {
			yield(nil, err)
			return
		}
		b.All()(yield)
	}
}

// Batches is a pass of a loader. One call at a time uses it.
type Batches struct{ object }

func freeBatches(h uintptr) { C.go_batches_free(C.uintptr_t(h)) }
func adoptBatches(r C.go_pair) (*Batches, error) {
	if r.err != 0 {
		return nil, check(uintptr(r.err))
	}
	b := &Batches{}
	b.own(uintptr(r.out), freeBatches)
	return b, nil
}
func (b *Batches) ptr() C.uintptr_t {
	if b == nil {
		return 0
	}
	return C.uintptr_t(b.h)
}

// Close ends the pass: it waits until its threads have ended.
func (b *Batches) Close() error { return b.release(freeBatches) }

// Next is the next batch; nil without an error at the end. An error names the sample; Go's own error stands behind it.
func (b *Batches) Next() ([]*Tensor, error) {
	r := C.go_batches_next(b.ptr())
	runtime.KeepAlive(b)
	if r.err != 0 {
		return nil, checkSample(uintptr(r.err))
	}
	if r.out == 0 {
		return nil, nil
	}
	return adoptList(uintptr(r.out))
}

// All goes through what is left of the pass, and closes it.
func (b *Batches) All() iter.Seq2[[]*Tensor, error] {
	return func(yield func([]*Tensor, error) bool) {
		defer b.Close()
		for {
			batch, err := b.Next()
			if err == nil && batch == nil {
				return
			}
			if !yield(batch, err) || err != nil && b.closed.Load() {
				return
			}
		}
	}
}

// StateDict says where the pass is, for Resume.
func (b *Batches) StateDict() (*NamedTensors, error) {
	r := C.go_batches_state_dict(b.ptr())
	runtime.KeepAlive(b)
	return adoptNamed(r)
}

// ---- callbacks ----

//export goDatasetLen
func goDatasetLen(user C.uintptr_t, out *C.int64_t) C.uintptr_t {
	return guarded(func() error {
		*out = C.int64_t(cgo.Handle(user).Value().(Samples).Len())
		return nil
	})
}

// giveSample hands a sample over to the library.
func giveSample(tensors []*Tensor, out *C.uintptr_t) error {
	l, err := giveList(tensors)
	runtime.KeepAlive(tensors)
	handOver(tensors...)
	*out = C.uintptr_t(l)
	return err
}

//export goDatasetGet
func goDatasetGet(user C.uintptr_t, index C.int64_t, seed C.uint64_t, out *C.uintptr_t) C.uintptr_t {
	return guarded(func() error {
		sample, err := cgo.Handle(user).Value().(Samples).Get(int64(index), uint64(seed))
		if err != nil {
			return err
		}
		return giveSample(sample, out)
	})
}

//export goStreamBegin
func goStreamBegin(user C.uintptr_t, pass *C.uintptr_t) C.uintptr_t {
	return guarded(func() error {
		next, err := cgo.Handle(user).Value().(func() (NextSample, error))()
		if err != nil {
			return err
		}
		if next == nil {
			return &Error{Code: ErrorType, Arg: -1, Op: "NewStream", Message: "a stream began with no function and no error"}
		}
		*pass = C.uintptr_t(cgo.NewHandle(next))
		return nil
	})
}

//export goStreamNext
func goStreamNext(pass C.uintptr_t, seed C.uint64_t, out *C.uintptr_t) C.uintptr_t {
	return guarded(func() error {
		sample, err := cgo.Handle(pass).Value().(NextSample)(uint64(seed))
		if err != nil || sample == nil {
			return err
		}
		return giveSample(sample, out)
	})
}

//export goStreamEnd
func goStreamEnd(pass C.uintptr_t) { cgo.Handle(pass).Delete() }

//export goCollate
func goCollate(user C.uintptr_t, samples *C.uintptr_t, n C.size_t, out *C.uintptr_t) C.uintptr_t {
	return guarded(func() error {
		f := cgo.Handle(user).Value().(func([][]*Tensor) ([]*Tensor, error))
		list := make([][]*Tensor, int(n))
		defer func() {
			for _, s := range list {
				CloseAll(s...)
			}
		}()
		for i, l := range unsafe.Slice(samples, int(n)) {
			s, err := borrowList(l)
			if err != nil {
				return err
			}
			list[i] = s
		}
		batch, err := f(list)
		if err != nil {
			return err
		}
		return giveSample(batch, out)
	})
}
