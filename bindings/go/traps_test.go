package taper

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

// returns is a module whose result somebody else owns.
type returns struct{ f func(x *Tensor) *Tensor }

func (r returns) Forward(in ...*Tensor) (*Tensor, error) { return r.f(in[0]), nil }

func TestResultsStayTheirOwners(t *testing.T) {
	x, kept := Must(Ones([]int64{2})), Must(Ones([]int64{2}))
	for name, f := range map[string]func(*Tensor) *Tensor{
		"input": func(in *Tensor) *Tensor { return in },
		"kept":  func(*Tensor) *Tensor { return kept },
	} {
		m := Must(NewModule(name, returns{f}))
		for range 3 {
			want(t, Must(m.Forward(x)), 1, 1)
		}
		Check(m.Close())
	}
	want(t, kept, 1, 1)
	want(t, x, 1, 1)
	// Hooks, and the same tensor twice.
	m := Must(NewModule("Net", returns{func(in *Tensor) *Tensor { return in }}))
	Must(m.RegisterForwardHook(func(*Module, []*Tensor, *Tensor) (*Tensor, error) { return kept, nil }))
	Must(m.RegisterForwardPreHook(func(_ *Module, in []*Tensor) ([]*Tensor, error) { return []*Tensor{kept}, nil }))
	for range 2 {
		want(t, Must(m.Forward(x)), 1, 1)
	}
	out := Must(Apply(twice{kept}, "Twice", x))
	want(t, out[0], 1, 1)
	want(t, out[1], 1, 1)
	want(t, kept, 1, 1)
	// What is handed over is closed.
	var made *Tensor
	m = Must(NewModule("Gives", returns{func(in *Tensor) *Tensor {
		made = Must(in.AddScalar(Int(1)))
		return made.HandOver()
	}}))
	want(t, Must(m.Forward(x)), 2, 2)
	if made.Dim() != -1 {
		t.Error("a tensor that was handed over is still open")
	}
}

type twice struct{ kept *Tensor }

func (c twice) Forward(*FunctionCtx, []*Tensor) ([]*Tensor, error) {
	return []*Tensor{c.kept, c.kept}, nil
}
func (c twice) Backward(*FunctionCtx, []*Tensor) ([]*Tensor, error) { return []*Tensor{c.kept}, nil }

func TestContainers(t *testing.T) {
	for _, f := range []Forwarder{nil, ForwardFunc(nil)} {
		m := Must(NewModule("Holder", f))
		Check(m.RegisterModule("fc", Must(NewLinear(2, 1))))
		if s := m.String(); !strings.HasPrefix(s, "Holder(\n  (fc): Linear(") {
			t.Error(s)
		}
		_, err := m.Forward(Must(Ones([]int64{1, 2})))
		wantError(t, err, ErrorNotImplemented, `Module [Holder] is missing the required "forward" function`)
		want(t, Must(Must(m.Child("fc")).Forward(Must(Zeros([]int64{1, 2})))), values(t, Must(m.Parameter("fc.bias")))...)
		Check(m.Close())
	}
}

func TestPlacesInErrors(t *testing.T) {
	fc := Must(NewLinear(3, 2))
	inner := Must(NewModule("Inner", ForwardFunc(func(x *Tensor) (*Tensor, error) { return fc.Forward(x) })))
	Check(inner.RegisterModule("fc", fc))
	body := Must(NewSequential(Must(NewIdentity()), inner))
	outer := Must(NewModule("Outer", ForwardFunc(func(x *Tensor) (*Tensor, error) { return body.Forward(x) })))
	Check(outer.RegisterModule("net", body))
	_, err := outer.Forward(Must(Ones([]int64{2, 5})))
	wantError(t, err, ErrorRuntime, "mat1 and mat2 shapes cannot be multiplied (2x5 and 3x2)\n  in net.1.fc (Linear(in_features=3")
	var e *Error
	if errors.As(err, &e) && e.Module != "net.1.fc (Linear(in_features=3, out_features=2, bias=True))" {
		t.Error(e.Module)
	}
	_, err = fc.Forward(Must(Ones([]int64{2, 5})))
	if errors.As(err, &e); e.Module != "" || strings.Contains(e.Message, "\n") {
		t.Error(e.Module, e.Message)
	}
	// An error of Go's comes back as itself.
	bad := Must(NewSequential(Must(NewModule("Bad", ForwardFunc(func(*Tensor) (*Tensor, error) { return nil, errMine })))))
	if _, err = bad.Forward(Must(Ones([]int64{1}))); err != errMine {
		t.Error(err)
	}
	// The argument at fault.
	_, err = Must(Ones([]int64{2, 3})).Softmax(7)
	if errors.As(err, &e); e.Arg != 1 || e.Code != ErrorIndex {
		t.Error(e.Arg, err)
	}
}

func explode() { panic(fmt.Errorf("boom: %w", errMine)) }

func TestPanicsKeepTheirStack(t *testing.T) {
	m := Must(NewModule("Bad", ForwardFunc(func(*Tensor) (*Tensor, error) { explode(); return nil, nil })))
	x := Must(Ones([]int64{1}))
	_, err := Must(NewSequential(m)).Forward(x)
	var p *PanicError
	if !errors.As(err, &p) || !errors.Is(err, errMine) || !strings.Contains(string(p.Stack), "explode") ||
		p.Module != "0 (Bad)" || !strings.Contains(err.Error(), "boom: mine\n  in 0 (Bad)\n") {
		t.Error(err)
	}
	Check(x.SetRequiresGrad(true))
	Must(x.RegisterHook(func(*Tensor) (*Tensor, error) { panic(42) }))
	if err = Must(x.Sum()).Backward(); !errors.As(err, &p) || p.Value != 42 {
		t.Error(err)
	}
	err = Must(NewLinear(1, 1)).Apply(func(*Module) error { var none []int; return fmt.Errorf("%d", none[3]) })
	var bounds runtime.Error
	if !errors.As(err, &bounds) {
		t.Error(err)
	}
}

// A goroutine that ends in a callback must not leave its thread in the state of that moment.
func TestGoexitInACallback(t *testing.T) {
	for range 8 {
		done := make(chan struct{})
		go func() {
			defer close(done)
			x := Must(Ones([]int64{1}))
			Check(x.SetRequiresGrad(true))
			Must(x.RegisterHook(func(*Tensor) (*Tensor, error) { runtime.Goexit(); return nil, nil }))
			_ = Must(x.Sum()).Backward()
		}()
		<-done
		ended := make(chan bool)
		for range 4 {
			go func() { ended <- GradEnabled() }()
		}
		for range 4 {
			if !<-ended {
				t.Fatal("a thread was left without recording")
			}
		}
	}
}

func TestNilArguments(t *testing.T) {
	x, m := Must(Ones([]int64{2})), Must(NewLinear(1, 1))
	Check(x.SetRequiresGrad(true))
	node := Must(x.Sum())
	fn := Must(node.GradFn())
	for i, err := range []error{
		NoGrad(nil), EnableGrad(nil), InferenceMode(nil), m.Apply(nil), Gradcheck(nil, nil), Gradgradcheck(nil, nil),
		second(x.RegisterHook(nil)), second(x.RegisterPostAccumulateGradHook(nil)), second(fn.RegisterHook(nil)),
		second(fn.RegisterPrehook(nil)), second(m.RegisterForwardHook(nil)), second(m.RegisterForwardPreHook(nil)),
		second(Apply(nil, "f")), second(CaptureGraph(CPU, nil)), second(x.Get(nil)), x.Set(x, nil), second(x.Add(nil)),
		second(Cat([]*Tensor{x, nil})), second(m.Forward(nil)), second((*Module)(nil).Forward(x)), second(FromDLPack(nil)),
		(*FunctionCtx)(nil).SaveForBackward(x), second((*FunctionCtx)(nil).SavedTensors()), m.LoadStateDict(nil, true),
		(*Optimizer)(nil).Step(), second((*NamedTensors)(nil).Get("a")), (*NamedTensors)(nil).Save("x"), Backward([]*Tensor{nil}, nil),
		second(ToSlice[float32](nil)), second(Data[float32](nil)), (*Tensor)(nil).SetGrad(x), second((*Tensor)(nil).Grad()),
		second(NewSequential(nil)), m.Append(nil), second((*Module)(nil).Children()),
	} {
		if err == nil {
			t.Errorf("call %d: nil gave no error", i)
		}
	}
	for range (*NamedTensors)(nil).All() {
		t.Error("an element of nothing")
	}
	_, _, _ = (*NamedTensors)(nil).Names(), (*Module)(nil).String(), (*Node)(nil).Name()
	Check(m.Close())
	Check(m.Close())
	if _, err := m.Forward(x); err == nil {
		t.Error("a closed module ran")
	}
}
func second[T any](_ T, err error) error { return err }

func TestTextWithNul(t *testing.T) {
	t.Chdir(t.TempDir())
	x, m, n := Must(Ones([]int64{2, 2})), Must(NewLinear(1, 1)), Must(NewNamedTensors())
	o := Must(NewSGD(Must(m.Parameters()), .1))
	const cut = "ab\x00cd"
	for i, err := range []error{
		m.Save(cut), m.Load(cut, true), n.Save(cut), second(LoadTensors(cut, CPU)), n.Insert(cut, x), second(n.Get(cut)),
		n.SetMetadata(cut, "v"), n.SetMetadata("k", cut), o.Save(cut), o.Load(cut), m.RegisterBuffer(cut, x, true),
		m.RegisterParameter(cut, Must(x.Clone())), m.RegisterModule(cut, m), second(m.Child(cut)), second(m.Buffer(cut)),
		second(NewModule(cut, nil)), second(ParseDevice(cut)), second(FindDevice(0, cut)), second(Einsum(cut, []*Tensor{x})),
		SetFloat32MatmulPrecision(cut), SetPrintOptions(PrintOptions{Profile: cut}), second(Apply(twice{x}, cut, x)),
		second(MseLoss(x, x, MseLossOptions{Reduction: cut})), second(NewMSELoss(LossOptions{Reduction: cut})),
	} {
		var e *Error
		if !errors.As(err, &e) || e.Code != ErrorValue || !strings.Contains(e.Message, "embedded null character") {
			t.Errorf("call %d: %v", i, err)
		}
	}
	if files := Must(filepath.Glob("*")); len(files) != 0 {
		t.Error(files)
	}
}

func resident() int {
	var all, pages int
	data, _ := os.ReadFile("/proc/self/statm")
	_, _ = fmt.Sscan(string(data), &all, &pages)
	return pages * os.Getpagesize()
}

// Training, errors and second derivatives in a loop: memory stays where it was.
func TestFlatMemory(t *testing.T) {
	round := func(i int) {
		fc := Must(NewLinear(8, 8))
		m := Must(NewModule("Net", ForwardFunc(func(x *Tensor) (*Tensor, error) {
			y, err := fc.Forward(x)
			return y.HandOver(), err
		})))
		Check(m.RegisterModule("fc", fc))
		o := Must(NewSGD(Must(m.Parameters()), .01))
		x := Must(Randn([]int64{int64(64 + i%7), 8}))
		loss := Must(Must(m.Forward(x)).Sum())
		Check(loss.Backward())
		Check(o.Step())
		v := Must(Randn([]int64{512}))
		Check(v.SetRequiresGrad(true))
		Check(Must(Must(v.PowScalar(Int(3))).Sum()).Backward(BackwardOptions{CreateGraph: true}))
		Check(v.SetGrad(nil)) // the gradient's graph holds v, as in PyTorch
		if _, err := m.Forward(v); err == nil {
			t.Error("no error")
		}
		Check(m.Close())
		Check(fc.Close())
		Check(o.Close())
		CloseAll(x, loss, v)
	}
	run := func(n int) {
		for i := range n {
			round(i)
		}
		collect()
	}
	run(60)
	before, handles, allocated := resident(), handleCount(), Must(CPU.MemoryStats()).Allocated
	run(400)
	if now := Must(CPU.MemoryStats()).Allocated; now > allocated+1<<18 {
		t.Errorf("%d bytes allocated, then %d", allocated, now)
	}
	// The race detector takes memory of its own.
	if grown := resident() - before; grown > 48<<20 {
		t.Errorf("%d bytes more", grown)
	}
	if now := handleCount(); now > handles+64 {
		t.Errorf("%d handles, then %d", handles, now)
	}
}
