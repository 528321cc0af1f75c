package taper

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
)

// order of a line of tests/fixtures/samplers.txt.
func recordedOrder(t *testing.T, name string) string {
	text, err := os.ReadFile("../../tests/fixtures/samplers.txt")
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range strings.Split(string(text), "\n") {
		if rest, found := strings.CutPrefix(line, name+": "); found {
			order, _, _ := strings.Cut(rest, " | ")
			return order
		}
	}
	t.Fatal("no line ", name)
	return ""
}
func words(list []int64) string { return strings.Trim(fmt.Sprint(list), "[]") }

func arange(n int64) *Tensor {
	values := make([]int64, n)
	for i := range values {
		values[i] = int64(i)
	}
	return Must(FromSlice(values))
}

// readAll is what the batches of a loop hold, with -1 behind each.
func readAll(t *testing.T, l *DataLoader) []int64 {
	var all []int64
	for batch, err := range l.Batches() {
		if err != nil {
			t.Fatal(err)
		}
		all = append(append(all, Must(ToSlice[int64](batch[0]))...), -1)
		CloseAll(batch...)
	}
	return all
}

func TestSamplersDrawPyTorchsOrders(t *testing.T) {
	own := func() SamplerOptions {
		g := Must(NewGenerator())
		Check(g.ManualSeed(11))
		return SamplerOptions{Generator: g}
	}
	weights := []float64{0.1, 0.9, 0.4, 0.7, 3.0, 0.6}
	cases := map[string]func() (*Sampler, error){
		"random default":           func() (*Sampler, error) { return NewRandomSampler(10) },
		"random own":               func() (*Sampler, error) { return NewRandomSampler(10, own()) },
		"random.many default":      func() (*Sampler, error) { return NewRandomSampler(5, SamplerOptions{NumSamples: 13}) },
		"replacement default":      func() (*Sampler, error) { return NewRandomSampler(10, SamplerOptions{Replacement: true}) },
		"subset own":               func() (*Sampler, error) { return NewSubsetRandomSampler([]int64{3, 1, 4, 15, 9, 2, 6}, own()) },
		"weighted default":         func() (*Sampler, error) { return NewWeightedSampler(weights, 9, true) },
		"weighted.once own":        func() (*Sampler, error) { return NewWeightedSampler(weights, 5, false, own()) },
		"distributed.drop default": func() (*Sampler, error) { return NewDistributedSampler(10, 3, 0, DistributedOptions{DropLast: true}) },
		"distributed.few default":  func() (*Sampler, error) { return NewDistributedSampler(2, 5, 4, DistributedOptions{InOrder: true}) },
		"batches.full default":     func() (*Sampler, error) { return NewBatchSampler(Must(NewRandomSampler(10)), 3, true) },
	}
	for name, make := range cases {
		s := Must(make())
		ManualSeed(7)
		got := Must(ToSlice[int64](Must(s.Draw())))
		if wanted := recordedOrder(t, name); words(got) != wanted {
			t.Errorf("%s: %v, expected %s", name, got, wanted)
		}
		Check(s.Close())
	}
	s := Must(NewDistributedSampler(10, 3, 2, DistributedOptions{Seed: 3}))
	Check(s.SetEpoch(5))
	if got := Must(ToSlice[int64](Must(s.Draw()))); words(got) != recordedOrder(t, "distributed.epoch default") || s.Len() != 4 {
		t.Error(got)
	}
}

func TestLoaderIsTheSameWhateverItsThreads(t *testing.T) {
	d := Must(NewTensorDataset(arange(10)))
	for workers := range int64(3) {
		l := Must(NewDataLoader(d, LoaderOptions{BatchSize: 4, Shuffle: true, Workers: workers}))
		ManualSeed(7)
		if got := readAll(t, l); words(got) != recordedOrder(t, "loader default") {
			t.Error(workers, got)
		}
		if n := Must(l.Len()); n != 3 {
			t.Error(n)
		}
		b := Must(l.Begin())
		CloseAll(Must(b.Next())...)
		again := Must(l.Resume(Must(b.StateDict())))
		for batch, err := range again.All() {
			other := Must(b.Next())
			if err != nil || words(Must(ToSlice[int64](batch[0]))) != words(Must(ToSlice[int64](other[0]))) {
				t.Error(batch, other, err)
			}
		}
		if rest, err := b.Next(); rest != nil || err != nil {
			t.Error(rest, err)
		}
		Check(b.Close())
		Check(l.Close())
	}
}

var errTorn = errors.New("the picture is torn")

type pictures struct {
	n, bad, panics int64
}

func (p pictures) Len() int64 { return p.n }
func (p pictures) Get(index int64, seed uint64) ([]*Tensor, error) {
	if index == p.bad {
		return nil, errTorn
	}
	if index == p.panics {
		panic("a panic of a sample")
	}
	x, err := FromSlice([]float32{float32(index), 1})
	if err != nil {
		return nil, err
	}
	return []*Tensor{x.HandOver(), Must(FromSlice([]int64{index, int64(seed)})).HandOver()}, nil
}

func TestOwnDatasets(t *testing.T) {
	d := Must(NewDataset(pictures{n: 7, bad: 3, panics: 5}))
	for workers := range int64(3) {
		l := Must(NewDataLoader(d, LoaderOptions{BatchSize: 2, Workers: workers}))
		var said []string
		for batch, err := range l.Batches() {
			if err != nil {
				said = append(said, err.Error())
				var e *Error
				var p *PanicError
				if !errors.As(err, &e) || !errors.Is(err, errTorn) && !errors.As(err, &p) {
					t.Error(err)
				}
				continue
			}
			said = append(said, fmt.Sprint(Must(ToSlice[float32](batch[0]))[0]))
		}
		if len(said) != 4 || said[0] != "0" || said[1] != "sample 3 of the data set: the picture is torn" ||
			!strings.HasPrefix(said[2], "sample 5 of the data set: ") || said[3] != "6" {
			t.Error(workers, said)
		}
		for range l.Batches() { // leaving a loop ends its threads
			break
		}
	}
	if _, err := NewDataset(nil); err == nil {
		t.Error("no error")
	}
	if n := Must(d.Len()); n != 7 {
		t.Error(n)
	}
	if _, err := d.Get(3, 0); !errors.Is(err, errTorn) {
		t.Error(err)
	}
	both := Must(ConcatDatasets(Must(d.Subset([]int64{-1, 0})), d))
	if got := Must(both.Get(0, 0)); Must(ToSlice[float32](got[0]))[0] != 6 || Must(both.Len()) != 9 {
		t.Error(got)
	}
	sum := func(samples [][]*Tensor) ([]*Tensor, error) {
		total := float32(0)
		for _, s := range samples {
			total += Must(ToSlice[float32](s[0]))[0]
		}
		return []*Tensor{Must(FromSlice([]float32{total, float32(len(samples))})).HandOver()}, nil
	}
	ones := Must(NewDataset(pictures{n: 5, bad: -1, panics: -1}))
	l := Must(NewDataLoader(ones, LoaderOptions{BatchSize: 3, Workers: 2, Collate: sum}))
	var got []float32
	for batch, err := range l.Batches() {
		Check(err)
		got = append(got, Must(ToSlice[float32](batch[0]))...)
	}
	if fmt.Sprint(got) != "[3 3 7 2]" {
		t.Error(got)
	}
	single := Must(NewDataLoader(ones, LoaderOptions{BatchSize: -1}))
	if b := Must(Must(single.Begin()).Next()); b[0].Dim() != 1 {
		t.Error(b)
	}
	if _, err := NewDataLoader(ones, LoaderOptions{Workers: -1}); !errors.Is(err, ErrorValue) {
		t.Error(err)
	}
}

func TestStreams(t *testing.T) {
	begin := func() (NextSample, error) {
		i := int64(0)
		return func(uint64) ([]*Tensor, error) {
			if i == 5 {
				return nil, nil
			}
			i++
			return []*Tensor{Must(FromSlice([]int64{i - 1})).HandOver()}, nil
		}, nil
	}
	d := Must(NewStream(begin))
	for workers := range int64(3) {
		l := Must(NewDataLoader(d, LoaderOptions{BatchSize: 2, Workers: workers}))
		if got := readAll(t, l); words(got) != "0 1 -1 2 3 -1 4 -1" {
			t.Error(workers, got)
		}
		if _, err := l.Len(); !errors.Is(err, ErrorType) {
			t.Error(err)
		}
	}
	broken := Must(NewStream(func() (NextSample, error) { return nil, errTorn }))
	for _, err := range Must(NewDataLoader(broken)).Batches() {
		if !errors.Is(err, errTorn) {
			t.Error(err)
		}
	}
}
