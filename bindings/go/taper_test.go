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
)

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
func wantError(t *testing.T, err error, code int, part string) {
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
