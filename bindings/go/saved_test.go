package taper

import (
	"errors"
	"testing"
)

func TestCheckpointed(t *testing.T) {
	ManualSeed(5)
	x, w := Must(Randn([]int64{4, 3})), Must(Randn([]int64{3, 3}))
	Check(x.SetRequiresGrad(true))
	Check(w.SetRequiresGrad(true))
	calls := 0
	block := func(in []*Tensor) ([]*Tensor, error) {
		calls++
		y, err := Dropout(Must(Must(in[0].Matmul(w)).Tanh()))
		return []*Tensor{y}, err
	}
	ManualSeed(1)
	plain := Must(Grad([]*Tensor{Must(Must(block([]*Tensor{x}))[0].Sum())}, []*Tensor{x, w}))
	calls = 0
	ManualSeed(1)
	y := Must(Must(Checkpointed(block, []*Tensor{x}))[0].Sum())
	again := Must(Grad([]*Tensor{y}, []*Tensor{x, w}))
	if calls != 2 || !Must(plain[0].Equal(again[0])) || !Must(plain[1].Equal(again[1])) {
		t.Error(calls, plain, again)
	}
	mine := errors.New("mine")
	n := 0
	fails := func(in []*Tensor) ([]*Tensor, error) {
		if n++; n == 2 {
			return nil, mine
		}
		y, err := in[0].Exp()
		return []*Tensor{y}, err
	}
	if err := Must(Must(Checkpointed(fails, []*Tensor{x}))[0].Sum()).Backward(); !errors.Is(err, mine) {
		t.Error(err)
	}
	if _, err := Checkpointed(nil, []*Tensor{x}); err == nil {
		t.Error("nil was taken")
	}
}

func TestSavedTensorsHooks(t *testing.T) {
	x := Must(FromSlice([]float32{1, 2}))
	Check(x.SetRequiresGrad(true))
	var y *Tensor
	packed, unpacked := 0, 0
	hooks := SavedTensorsHooks{
		Pack:   func(t *Tensor) (any, error) { packed++; return ToSlice[float32](Must(t.Detach())) },
		Unpack: func(kept any) (*Tensor, error) { unpacked++; return FromSlice(kept.([]float32)) },
	}
	Check(hooks.Run(func() error {
		y = Must(Must(x.Mul(x)).Sum())
		return nil
	}))
	_ = Must(x.Exp()) // not theirs any more
	Check(y.Backward())
	if packed != 2 || unpacked != 2 {
		t.Error(packed, unpacked)
	}
	want(t, Must(Must(x.Grad()).Cast(Float64)), 2, 4)
	full := errors.New("full")
	hooks.Pack = func(*Tensor) (any, error) { return nil, full }
	err := hooks.Run(func() error {
		_, err := x.Exp()
		return err
	})
	if !errors.Is(err, full) {
		t.Error(err)
	}
	for _, err := range []error{hooks.Run(nil), SavedTensorsHooks{}.Run(func() error { return nil })} {
		if err == nil {
			t.Error("nil was taken")
		}
	}
}

func TestPerSampleGrads(t *testing.T) {
	x := Must(FromRows([][]float64{{1, 2}, {3, 4}, {5, 6}}))
	w := Must(FromSlice([]float64{0.5, -1}))
	Check(w.SetRequiresGrad(true))
	loss := func(sample []*Tensor) (*Tensor, error) { return Must(sample[0].Mul(w)).Sum() }
	grads := Must(PerSampleGrads(loss, []*Tensor{w}, []*Tensor{x}))
	want(t, grads[0], 1, 2, 3, 4, 5, 6)
	if _, err := PerSampleGrads(loss, []*Tensor{w}, []*Tensor{x, w}); err == nil {
		t.Error("two numbers of samples were taken")
	}
	nothing := func([]*Tensor) (*Tensor, error) { return nil, nil }
	if _, err := PerSampleGrads(nothing, []*Tensor{w}, []*Tensor{x}); err == nil {
		t.Error("no loss was taken")
	}
	if _, err := PerSampleGrads(nil, []*Tensor{w}, []*Tensor{x}); err == nil {
		t.Error("nil was taken")
	}
}
