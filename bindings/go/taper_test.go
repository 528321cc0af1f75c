package taper

import (
	"errors"
	"fmt"
	"path/filepath"
	"reflect"
	"runtime"
	"strings"
	"sync"
	"testing"
	"unsafe"
)

// pair gives its input and, unless a second input is given, nothing else.
type pair struct{}

func (pair) ForwardList(inputs ...*Tensor) ([]*Tensor, error) {
	sum, err := inputs[0].AddScalar(Int(1))
	return []*Tensor{inputs[0], sum, inputs[1]}, err
}

func TestListModules(t *testing.T) {
	m := Must(NewListModule("Pair", pair{}))
	x := Must(Ones([]int64{2}))
	out := Must(m.ForwardList(x, nil))
	if len(out) != 3 || out[2] != nil || !reflect.DeepEqual(values(t, out[1]), []float64{2, 2}) {
		t.Error(out)
	}
	var e *Error
	if _, err := m.Forward(x, x); !errors.As(err, &e) || e.Code != ErrorType || !strings.Contains(e.Message, "3 outputs") {
		t.Error(err)
	}
	id := Must(m.RegisterForwardListHook(func(_ *Module, in, out []*Tensor) ([]*Tensor, error) {
		if in[1] != nil || len(out) != 3 {
			t.Error(in, out)
		}
		return out[1:2], nil
	}))
	if out := Must(m.ForwardList(x, nil)); len(out) != 1 {
		t.Error(out)
	}
	if err := m.RemoveHook(id); err != nil {
		t.Error(err)
	}
	if relu := Must(NewReLU()); len(Must(relu.ForwardList(x))) != 1 {
		t.Error("one output")
	}
}

func TestVersions(t *testing.T) {
	numbers := fmt.Sprintf("%d.%d.%d", VersionMajor, VersionMinor, VersionPatch)
	if Version() != ModuleVersion || !strings.HasPrefix(ModuleVersion, numbers) {
		t.Error(Version(), ModuleVersion, numbers)
	}
}

func TestLazyLayersAndAttributes(t *testing.T) {
	m := Must(NewLazyConv2d(4, Ints(3), func(o *ConvSettings) { o.Padding = Ints(1); o.Bias = false }))
	if s := m.String(); s != "LazyConv2d(0, 4, kernel_size=(3, 3), stride=(1, 1), padding=(1, 1), bias=False)" {
		t.Error(s)
	}
	y := Must(m.Forward(Must(Ones([]int64{1, 2, 5, 5}))))
	if s := y.Sizes(); !reflect.DeepEqual(s, []int64{1, 4, 5, 5}) {
		t.Error(s)
	}
	if m.Name() != "Conv2d" || Must(m.Attribute("in_channels")) != any(int64(2)) ||
		Must(m.Attribute("padding_mode")) != any("zeros") || Must(m.Attribute("transposed")) != any(false) ||
		!reflect.DeepEqual(Must(m.Attribute("kernel_size")), []int64{3, 3}) {
		t.Error(m)
	}
	if names := Must(m.AttributeNames()); names[0] != "in_channels" {
		t.Error(names)
	}
	var e *Error
	if _, err := m.Attribute("gain"); !errors.As(err, &e) || e.Code != ErrorKey {
		t.Error(err)
	}
	if d := Must(NewDropout(0.25)); Must(d.Attribute("p")) != any(0.25) {
		t.Error(d)
	}
}

func values(t *testing.T, x *Tensor) []float64 {
	t.Helper()
	d := Must(x.Cast(Float64))
	return Must(ToSlice[float64](d))
}
func want(t *testing.T, x *Tensor, v ...float64) {
	t.Helper()
	if got := values(t, x); !reflect.DeepEqual(got, v) {
		t.Errorf("got %v, want %v", got, v)
	}
}
func wantError(t *testing.T, err error, code Code, part string) {
	t.Helper()
	var e *Error
	if !errors.As(err, &e) {
		t.Fatalf("got %v, want an error with %q", err, part)
	}
	if e.Code != code || !strings.Contains(e.Message, part) {
		t.Errorf("got code %d, %q; want %d with %q", e.Code, e.Message, code, part)
	}
}

func TestTensors(t *testing.T) {
	a := Must(FromRows([][]int64{{1, 2}, {3, 4}}))
	if s := a.String(); s != "tensor([[1, 2],\n        [3, 4]])" {
		t.Error(s)
	}
	if a.DType() != Int64 || !reflect.DeepEqual(a.Sizes(), []int64{2, 2}) || a.Size(-1) != 2 || a.Size(5) != -1 {
		t.Error(a.DType(), a.Sizes())
	}
	want(t, Must(a.AddScalar(Int(1))), 2, 3, 4, 5)
	want(t, Must(a.Add(a, AddOptions{Alpha: Int(2)})), 3, 6, 9, 12)
	want(t, Must(a.DivScalar(Int(2))), .5, 1, 1.5, 2)
	want(t, Must(a.SumDim([]int64{0})), 4, 6)
	want(t, Must(a.Sum()), 10)
	v, i, err := a.MaxDim(1)
	Check(err)
	want(t, v, 2, 4)
	want(t, i, 1, 1)
	want(t, Must(Cat([]*Tensor{a, a}, CatOptions{Dim: 1})), 1, 2, 1, 2, 3, 4, 3, 4)
	want(t, Must(a.Get(At(1))), 3, 4)
	want(t, Must(a.Get(Ellipsis, Range(1, 2))), 2, 4)
	want(t, Must(a.Get(Must(a.GtScalar(Int(2))))), 3, 4)
	b := Must(Zeros([]int64{2, 2}))
	Check(b.SetScalar(Float(5), At(0)))
	Check(b.Set(Must(Ones([]int64{2})), Slice{}, At(1)))
	want(t, b, 5, 1, 0, 1)
	Check(b.MulScalarInPlace(Float(2)))
	want(t, b, 10, 2, 0, 2)
	if n := len(Must(a.Split(1))); n != 2 {
		t.Error(n)
	}
	if !Must(a.Equal(a)) {
		t.Error("a is not equal to itself")
	}
	if s := Must(Zeros([]int64{2}, ZerosOptions{Dtype: Uint8})).String(); s != "tensor([0, 0], dtype=torch.uint8)" {
		t.Error(s)
	}
}

func TestErrors(t *testing.T) {
	_, err := Must(Ones([]int64{2, 3})).Matmul(Must(Ones([]int64{4, 5})))
	wantError(t, err, ErrorRuntime, "mat1 and mat2 shapes cannot be multiplied (2x3 and 4x5)")
	_, err = Must(Ones([]int64{2})).Get(At(7))
	wantError(t, err, ErrorIndex, "index 7 is out of bounds")
	x := Must(Ones([]int64{2}))
	Check(x.Close())
	Check(x.Close())
	if _, err = x.Sum(); err == nil {
		t.Error("a closed tensor gave no error")
	}
	if _, err = (*Tensor)(nil).Sum(); err == nil {
		t.Error("a nil tensor gave no error")
	}
	_, err = FromSlice([]float32{1, 2, 3}, 2, 2)
	wantError(t, err, ErrorValue, "need 4 elements, but 3")
	_, err = ToSlice[float64](Must(Ones([]int64{2})))
	wantError(t, err, ErrorType, "convert with Cast")
	_, err = Empty([]int64{1 << 40, 1 << 40})
	if err == nil {
		t.Error("a huge size gave no error")
	}
	_, err = LoadTensors("/nowhere/at/all", CPU)
	wantError(t, err, ErrorIO, "")
	_, err = Must(Arange(Int(4))).Item()
	wantError(t, err, ErrorRuntime, "cannot be converted to Scalar")
	_, err = ParseDevice("gpu")
	wantError(t, err, ErrorRuntime, "opencl")
}

type cube struct{ fail bool }

func (c cube) Forward(ctx *FunctionCtx, in []*Tensor) ([]*Tensor, error) {
	Check(ctx.SaveForBackward(in[0]))
	y, err := in[0].PowScalar(Int(3))
	return []*Tensor{y}, err
}

var errMine = errors.New("mine")

func (c cube) Backward(ctx *FunctionCtx, g []*Tensor) ([]*Tensor, error) {
	if c.fail {
		return nil, fmt.Errorf("wrapped: %w", errMine)
	}
	saved, err := ctx.SavedTensors()
	if err != nil {
		return nil, err
	}
	x2 := Must(saved[0].PowScalar(Int(2)))
	y, err := Must(g[0].Mul(x2)).MulScalar(Int(3))
	return []*Tensor{y}, err
}

func TestAutograd(t *testing.T) {
	x := Must(FromSlice([]float64{1, 2, 3}))
	Check(x.SetRequiresGrad(true))
	Check(Must(Must(x.Mul(x)).Sum()).Backward())
	want(t, Must(x.Grad()), 2, 4, 6)
	y := Must(Must(Apply(cube{}, "Cube", x))[0].Sum())
	g := Must(Grad([]*Tensor{y}, []*Tensor{x}, GradOptions{CreateGraph: true}))[0]
	want(t, g, 3, 12, 27)
	want(t, Must(Grad([]*Tensor{Must(g.Sum())}, []*Tensor{x}))[0], 6, 12, 18)
	// An error of a callback comes back as itself.
	err := Must(Must(Apply(cube{fail: true}, "Cube", x))[0].Sum()).Backward()
	if !errors.Is(err, errMine) {
		t.Errorf("got %v", err)
	}
	calls := 0
	id := Must(x.RegisterHook(func(g *Tensor) (*Tensor, error) {
		calls++
		return g.MulScalar(Int(10))
	}))
	Check(x.SetGrad(nil))
	Check(Must(x.Sum()).Backward())
	want(t, Must(x.Grad()), 10, 10, 10)
	Check(x.RemoveHook(id))
	if calls != 1 {
		t.Error(calls)
	}
	Check(NoGrad(func() error {
		if Must(x.MulScalar(Int(2))).RequiresGrad() {
			t.Error("recorded under NoGrad")
		}
		return nil
	}))
	_, err = x.RegisterHook(func(*Tensor) (*Tensor, error) { panic("in a hook") })
	Check(err)
	if err := Must(x.Sum()).Backward(); err == nil || !strings.Contains(err.Error(), "in a hook") {
		t.Errorf("a panicking hook gave %v", err)
	}
}

type net struct{ fc *Module }

func (n net) Forward(in ...*Tensor) (*Tensor, error) {
	h, err := n.fc.Forward(in...)
	if err != nil {
		return nil, err
	}
	defer CloseAll(h)
	return h.Relu()
}
func newNet() *Module {
	fc := Must(NewLinear(3, 2))
	m := Must(NewModule("Net", net{fc}))
	Check(m.RegisterModule("fc", fc))
	return m
}

func TestModules(t *testing.T) {
	ManualSeed(0)
	m := newNet()
	if s := m.String(); s != "Net(\n  (fc): Linear(in_features=3, out_features=2, bias=True)\n)" {
		t.Error(s)
	}
	if names := Must(m.NamedParameters()).Names(); !reflect.DeepEqual(names, []string{"fc.weight", "fc.bias"}) {
		t.Error(names)
	}
	x, y := Must(Randn([]int64{8, 3})), Must(Ones([]int64{8, 2}))
	loss := Must(NewMSELoss())
	o := Must(NewSGD(Must(m.Parameters()), 0.1, SGDOptions{Momentum: 0.9}))
	var losses []float64
	for range 20 {
		Check(o.ZeroGrad())
		l := Must(loss.Forward(Must(m.Forward(x)), y))
		Check(l.Backward())
		Check(o.Step())
		losses = append(losses, Must(l.Item()).Float64())
	}
	if losses[19] >= losses[0] {
		t.Error(losses)
	}
	path := filepath.Join(t.TempDir(), "net.safetensors")
	Check(m.Save(path))
	other := newNet()
	Check(other.Load(path, true))
	if !Must(Must(other.Forward(x)).Equal(Must(m.Forward(x)))) {
		t.Error("the loaded module computes something else")
	}
	err := Must(NewLinear(3, 3)).LoadStateDict(Must(m.StateDict()), true)
	wantError(t, err, ErrorRuntime, "Missing key(s)")
	visited := 0
	Check(m.Apply(func(*Module) error { visited++; return nil }))
	if visited != 2 {
		t.Error(visited)
	}
	s := Must(NewSequential(Must(NewLinear(3, 4)), Must(NewReLU()), Must(NewLinear(4, 1))))
	if got := Must(s.Forward(x)).Sizes(); !reflect.DeepEqual(got, []int64{8, 1}) {
		t.Error(got)
	}
}

func TestGoroutines(t *testing.T) {
	x := Must(Ones([]int64{100}))
	var wg sync.WaitGroup
	for range 8 {
		wg.Add(1)
		go func() {
			defer wg.Done()
			for range 100 {
				y := Must(x.MulScalar(Int(2)))
				if v := Must(Must(y.Sum()).Item()).Float64(); v != 200 {
					t.Error(v)
				}
				Check(y.Close())
			}
		}()
	}
	wg.Wait()
}

func TestCleanupFreesTensors(t *testing.T) {
	before := handleCount()
	for range 2000 {
		_ = Must(Ones([]int64{16}))
	}
	for range 20 {
		runtime.GC()
		runtime.Gosched()
		if handleCount() <= before+100 {
			return
		}
	}
	t.Errorf("%d handles before, %d after", before, handleCount())
}

func TestErrorCodes(t *testing.T) {
	_, err := Must(Ones([]int64{2})).Get(At(7))
	if !errors.Is(err, ErrorIndex) || errors.Is(err, ErrorValue) {
		t.Errorf("errors.Is does not see the code of %v", err)
	}
	if s := ErrorIndex.Error(); s != "taper: index out of range" {
		t.Error(s)
	}
	x := Must(Ones([]int64{2}))
	Check(x.Close())
	_, err = Must(Ones([]int64{2})).Add(x)
	wantError(t, err, ErrorInvalidHandle, "has been freed")
	// A closed tensor is an error also where none would be fine.
	_, err = Conv2d(Must(Ones([]int64{1, 1, 3, 3})), Must(Ones([]int64{1, 1, 2, 2})), Conv2dOptions{Bias: x})
	wantError(t, err, ErrorInvalidHandle, "has been freed")
	if s := x.String(); !strings.Contains(s, "has been freed") {
		t.Error(s)
	}
	_, err = FromSlice([]float32{1}, -1, -1)
	wantError(t, err, ErrorValue, "invalid sizes")
	_, err = FromSlice([]float32{}, 1<<62, 1<<62, 0)
	wantError(t, err, ErrorValue, "invalid sizes")
	wantError(t, SetNumThreads(0), ErrorRuntime, "1 to 4096")
}

func TestGraph(t *testing.T) {
	x := Must(FromSlice([]float64{1, 2}))
	Check(x.SetRequiresGrad(true))
	if n := Must(x.GradFn()); n != nil {
		t.Error(n)
	}
	y := Must(Must(x.Mul(x)).Sum())
	sum := Must(y.GradFn())
	if sum.Name() != "SumBackward0" || sum.String() != "<SumBackward0>" {
		t.Error(sum)
	}
	next := Must(sum.NextFunctions())
	if len(next) != 1 || next[0].Node.Name() != "MulBackward0" || next[0].OutputNr != 0 {
		t.Fatal(next)
	}
	leaves := Must(next[0].Node.NextFunctions())
	if len(leaves) != 2 || leaves[0].Node.Name() != "AccumulateGrad" || leaves[0].Node.ID() != leaves[1].Node.ID() {
		t.Error(leaves)
	}
	calls := 0
	id := Must(next[0].Node.RegisterHook(func(in, out []*Tensor) ([]*Tensor, error) {
		calls += len(in) + len(out)
		return []*Tensor{Must(in[0].MulScalar(Int(10))), in[1]}, nil
	}))
	Must(sum.RegisterPrehook(func(out []*Tensor) ([]*Tensor, error) {
		return []*Tensor{Must(out[0].MulScalar(Int(2)))}, nil
	}))
	Check(y.Backward(BackwardOptions{RetainGraph: true}))
	want(t, Must(x.Grad()), 22, 44)
	if calls != 3 {
		t.Error(calls)
	}
	Check(next[0].Node.RemoveHook(id))
	Check(x.SetGrad(nil))
	Check(y.Backward())
	want(t, Must(x.Grad()), 4, 8)
	Check(sum.Close())
	if _, err := sum.NextFunctions(); !errors.Is(err, ErrorInvalidHandle) {
		t.Error(err)
	}

	// Of several roots, with respect to one leaf only.
	z := Must(FromSlice([]float64{3}))
	Check(z.SetRequiresGrad(true))
	Check(x.SetGrad(nil))
	seen := 0
	Must(z.RegisterPostAccumulateGradHook(func(leaf *Tensor) error {
		seen++
		want(t, Must(leaf.Grad()), 6)
		return nil
	}))
	roots := []*Tensor{Must(Must(x.Mul(z)).Sum()), Must(z.Mul(z))}
	Check(Backward(roots, []*Tensor{nil, Must(Full([]int64{1}, Float(0.5)))}, BackwardOptions{Inputs: []*Tensor{z}}))
	if g := Must(x.Grad()); g != nil || seen != 1 {
		t.Error(g, seen)
	}
	f := func(in []*Tensor) ([]*Tensor, error) {
		y, err := in[0].Exp()
		return []*Tensor{y}, err
	}
	Check(Gradcheck(f, []*Tensor{x}))
	Check(Gradgradcheck(f, []*Tensor{x}))
	wrong := func(in []*Tensor) ([]*Tensor, error) { return Apply(wrongGrad{}, "Wrong", in...) }
	if err := Gradcheck(wrong, []*Tensor{x}); err == nil {
		t.Error("a wrong gradient passed")
	}
	nan := func() error { return Must(Must(Must(x.SubScalar(Int(100))).Sqrt()).Sum()).Backward() }
	Check(nan())
	if DetectAnomaly(true) {
		t.Error("anomaly mode was on")
	}
	if err := nan(); err == nil || !strings.Contains(err.Error(), "Function 'SqrtBackward0' returned nan values") {
		t.Errorf("a NaN in anomaly mode: %v", err)
	}
	if !DetectAnomaly(false) {
		t.Error("anomaly mode was off")
	}
	Check(InferenceMode(func() error {
		if Must(x.Mul(x)).RequiresGrad() {
			t.Error("recorded in inference mode")
		}
		return nil
	}))
}

type wrongGrad struct{}

func (wrongGrad) Forward(_ *FunctionCtx, in []*Tensor) ([]*Tensor, error) {
	y, err := in[0].MulScalar(Int(2))
	return []*Tensor{y}, err
}
func (wrongGrad) Backward(_ *FunctionCtx, g []*Tensor) ([]*Tensor, error) { return g, nil }

func TestSharedMemory(t *testing.T) {
	data := []float32{1, 2, 3, 4}
	x := Must(FromBuffer(data, 2, 2))
	data[0] = 10
	want(t, x, 10, 2, 3, 4)
	Check(x.MulScalarInPlace(Int(2)))
	if data[3] != 8 {
		t.Error(data)
	}
	row := Must(x.Get(At(1)))
	Check(x.Close())
	runtime.GC()
	want(t, row, 6, 8)
	Check(row.Close())
	_, err := FromBuffer(data, 3)
	wantError(t, err, ErrorValue, "need 3 elements, but 4")
	if n := Must(FromBuffer([]int64{})).Numel(); n != 0 {
		t.Error(n)
	}

	released := 0
	y := Must(FromPointer(unsafe.Pointer(&data[0]), Float32, []int64{2}, []int64{2}, func() { released++ }))
	want(t, y, 20, 6)
	z := Must(y.Get(At(0)))
	Check(y.Close())
	if released != 0 {
		t.Error("released while a view is in use")
	}
	Check(z.Close())
	if released != 1 {
		t.Error(released)
	}
	_, err = FromPointer(unsafe.Pointer(&data[0]), Float32, []int64{-2}, nil, func() { released++ })
	wantError(t, err, ErrorRuntime, "-2")
	_, err = FromPointer(unsafe.Pointer(&data[0]), Float32, []int64{2}, []int64{1, 1}, func() { released++ })
	wantError(t, err, ErrorValue, "1 sizes but 2 strides")
	if released != 3 {
		t.Error(released)
	}

	w := Must(Arange(Int(4)))
	view := Must(Data[int64](w))
	view[2] = 50
	want(t, w, 0, 1, 50, 3)
	_, err = Data[float32](w)
	wantError(t, err, ErrorType, "convert with Cast")
	d := Must(w.ToDLPack())
	back := Must(FromDLPack(d))
	if back.StorageID() == 0 || Must(Data[int64](back))[2] != 50 {
		t.Error("DLPack lost the memory")
	}
	tr := Must(Must(w.Reshape([]int64{2, 2})).T())
	if tr.IsContiguous() || !reflect.DeepEqual(tr.Strides(), []int64{1, 2}) {
		t.Error(tr.Strides())
	}
	if _, err = Data[int64](tr); err == nil {
		t.Error("a strided tensor's memory was handed out")
	}
}

func TestClipping(t *testing.T) {
	w := Must(Ones([]int64{2}))
	Check(w.SetRequiresGrad(true))
	Check(w.SetGrad(Must(FromSlice([]float32{3, 4}))))
	norm := Must(ClipGradNormInPlace([]*Tensor{w}, 10))
	Check(ClipGradValueInPlace([]*Tensor{w}, 3.5))
	if got := Must(ToSlice[float32](Must(w.Grad()))); Must(norm.Item()).Float64() != 5 || !reflect.DeepEqual(got, []float32{3, 3.5}) {
		t.Error(norm, got)
	}
}

func TestLayoutAndPrinting(t *testing.T) {
	x := Must(Zeros([]int64{4, 3}, ZerosOptions{Dtype: Float64}))
	part := Must(x.Get(Range(1, 3)))
	if part.StorageOffset() != 3 || part.Nbytes() != 48 || part.DType().Size() != 8 || (DType(0)).Size() != 0 {
		t.Error(part.StorageOffset(), part.Nbytes())
	}
	Check(part.Close())
	if part.Nbytes() != 0 || part.StorageOffset() != -1 {
		t.Error("a closed tensor has bytes")
	}
	defer func() { Check(SetPrintOptions(PrintOptions{})) }()
	Check(SetPrintOptions(PrintOptions{Precision: Ptr(int64(2)), SciMode: Ptr(true)}))
	if s := Must(FromSlice([]float32{1.5, 2})).String(); s != "tensor([1.50e+00, 2.00e+00])" {
		t.Error(s)
	}
	Check(SetPrintOptions(PrintOptions{}))
	if s := Must(FromSlice([]float32{1.5, 2})).String(); s != "tensor([1.5000, 2.0000])" {
		t.Error(s)
	}
	wantError(t, SetPrintOptions(PrintOptions{Profile: "loud"}), ErrorValue, "loud")
	if s := fmt.Sprint((*Tensor)(nil), (*Module)(nil), (*Optimizer)(nil)); s != "<nil> <nil> <nil>" {
		t.Error(s)
	}
}

// Objects that are absent or closed give errors, never a crash.
func TestAbsentObjects(t *testing.T) {
	var g *Graph
	var e *Event
	wantError(t, g.Replay(), ErrorInvalidHandle, "expected a graph handle, got NULL")
	wantError(t, e.Record(), ErrorInvalidHandle, "expected an event handle, got NULL")
	here := Must(NewEvent(CPU))
	_, err := here.Since(nil)
	wantError(t, err, ErrorInvalidHandle, "got NULL")
	Check(g.Close())
	Check(e.Close())
	Check(here.Close())
	wantError(t, here.Record(), ErrorInvalidHandle, "this event handle")
}

// A loop that closes nothing must not fill the memory: Go's collector does not see what tensors hold.
func TestForgottenTensorsAreFreed(t *testing.T) {
	const n = 1 << 20 // 4 MiB
	for _, d := range Devices() {
		start := Must(d.MemoryStats()).Allocated
		peak := start
		for range 400 {
			Must(Empty([]int64{n}, EmptyOptions{Device: d}))
			peak = max(peak, Must(d.MemoryStats()).Allocated)
		}
		if grown := peak - start; grown > 600<<20 {
			t.Errorf("%v: 1600 MiB of forgotten tensors took up to %d MiB", d, grown>>20)
		}
	}
}

func TestOutOfMemoryRunsTheCollector(t *testing.T) {
	runtime.GC()
	before := handleCount()
	for range 500 {
		_ = Must(Ones([]int64{64}))
	}
	_, err := Empty([]int64{1 << 45})
	wantError(t, err, ErrorOutOfMemory, "")
	if n := handleCount(); n > before+50 {
		t.Errorf("%d handles before, %d after the library ran out of memory", before, n)
	}
}

func TestModuleTree(t *testing.T) {
	m := newNet()
	var order []string
	pre := Must(m.RegisterForwardPreHook(func(m *Module, in []*Tensor) ([]*Tensor, error) {
		order = append(order, "before "+m.Name())
		return []*Tensor{Must(in[0].MulScalar(Int(0)))}, nil
	}))
	post := Must(m.RegisterForwardHook(func(_ *Module, in []*Tensor, out *Tensor) (*Tensor, error) {
		order = append(order, "after")
		return out.AddScalar(Int(100))
	}))
	x := Must(Ones([]int64{1, 3}))
	y := Must(m.Forward(x))
	if v := values(t, y); v[0] < 100 || v[1] < 100 || !reflect.DeepEqual(order, []string{"before Net", "after"}) {
		t.Error(v, order)
	}
	Check(m.RemoveHook(pre))
	Check(m.RemoveHook(post))
	if v := values(t, Must(m.Forward(x))); v[0] >= 100 {
		t.Error(v)
	}
	Must(m.RegisterForwardHook(func(*Module, []*Tensor, *Tensor) (*Tensor, error) { return nil, errMine }))
	if _, err := m.Forward(x); !errors.Is(err, errMine) {
		t.Error(err)
	}
	fc := Must(m.Child("fc"))
	if fc.Name() != "Linear" || Must(fc.Parameter("bias")).Numel() != 2 {
		t.Error(fc)
	}
	_, err := m.Parameter("fc.nothing")
	wantError(t, err, ErrorKey, "nothing")
	names := []string{}
	for name, child := range Must(m.Children()) {
		names = append(names, name+":"+child.Name())
	}
	for name, p := range Must(m.NamedParameters()).All() {
		if !p.RequiresGrad() {
			t.Error(name)
		}
		names = append(names, name)
	}
	if !reflect.DeepEqual(names, []string{"fc:Linear", "fc.weight", "fc.bias"}) {
		t.Error(names)
	}
	Check(m.SetRequiresGrad(false))
	if Must(fc.Parameter("bias")).RequiresGrad() {
		t.Error("SetRequiresGrad did not reach the bias")
	}
	n := Must(NewNamedTensors())
	Check(n.Insert("x", x))
	Check(n.SetMetadata("epoch", "7"))
	path := filepath.Join(t.TempDir(), "n.safetensors")
	Check(n.Save(path))
	back := Must(LoadTensors(path, Device{}))
	if v, ok, err := back.Metadata("epoch"); v != "7" || !ok || err != nil {
		t.Error(v, ok, err)
	}
	if _, ok, err := back.Metadata("none"); ok || err != nil || back.Len() != 1 {
		t.Error(ok, err)
	}
}

// Two groups with learning rates of their own: p -= lr * grad.
func TestParameterGroups(t *testing.T) {
	a, b := Must(Ones([]int64{2})), Must(Ones([]int64{2}))
	Check(a.SetRequiresGrad(true))
	Check(b.SetRequiresGrad(true))
	o := Must(NewSGD([]*Tensor{a}, 0.5))
	Check(o.AddSGDGroup([]*Tensor{b}, 0.25, SGDOptions{Maximize: true}))
	Check(Must(Must(a.Add(b)).Sum()).Backward())
	Check(o.Step())
	want(t, a, 0.5, 0.5)
	want(t, b, 1.25, 1.25)
	if lr := Must(o.GroupLR(1)); o.NumGroups() != 2 || lr != 0.25 {
		t.Error(o.NumGroups(), lr)
	}
	wantError(t, o.AddSGDGroup([]*Tensor{a}, 0.1), ErrorValue, "more than one parameter group")
	wantError(t, o.AddAdamGroup([]*Tensor{Must(Ones([]int64{1}))}, 0.1), ErrorValue, "SGD")
	adam := Must(NewAdam([]*Tensor{a}, 0.1))
	Check(adam.AddAdamGroup([]*Tensor{b}, 0.2, AdamOptions{WeightDecay: 0.5}))
	if adam.NumGroups() != 2 {
		t.Error(adam.String())
	}
}

func TestOptimizerState(t *testing.T) {
	p := Must(Ones([]int64{2}))
	Check(p.SetRequiresGrad(true))
	o := Must(NewAdam([]*Tensor{p}, 0.1))
	if lr := Must(o.LR()); lr != 0.1 {
		t.Error(lr)
	}
	Check(Must(p.Sum()).Backward())
	Check(o.Step())
	state := Must(o.StateDict())
	other := Must(NewAdam([]*Tensor{p}, 0.5))
	Check(other.LoadStateDict(state))
	if lr := Must(other.LR()); lr != 0.1 {
		t.Error("the state dict carries the learning rate: ", lr)
	}
	if !strings.HasPrefix(other.String(), "Adam (") {
		t.Error(other.String())
	}
}

func TestGenerators(t *testing.T) {
	g := Must(NewGenerator())
	Check(g.ManualSeed(3))
	state := Must(g.State())
	a := Must(Rand([]int64{4}, RandOptions{Generator: g}))
	Check(g.SetState(state))
	b := Must(Rand([]int64{4}, RandOptions{Generator: g}))
	if !Must(a.Equal(b)) || g.InitialSeed() != 3 {
		t.Error(a, b, g.InitialSeed())
	}
	Check(g.SetAlgorithm(Philox))
	Check(g.ManualSeed(3))
	if c := Must(Rand([]int64{4}, RandOptions{Generator: g})); Must(a.Equal(c)) || g.Algorithm() != Philox {
		t.Error(a, c, g.Algorithm())
	}
	if OpenCL.Check() == nil {
		draw := func(d Device) *Tensor {
			Check(g.ManualSeed(3))
			return Must(Must(Rand([]int64{1000}, RandOptions{Generator: g, Device: d})).ToDevice(CPU))
		}
		if !Must(draw(CPU).Equal(draw(OpenCL))) {
			t.Error("CPU and OpenCL draw different numbers with Philox")
		}
	}
	Check(g.Close())
	_, err := Rand([]int64{4}, RandOptions{Generator: g})
	wantError(t, err, ErrorInvalidHandle, "has been freed")
	wantError(t, Must(NewGenerator()).SetState([]byte{1, 2}), ErrorRuntime, "")
}
