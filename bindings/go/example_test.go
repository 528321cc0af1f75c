package taper_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	taper "github.com/taper-torch/taper/bindings/go"
)

func Example() {
	x := taper.Must(taper.FromRows([][]float32{{1, 2}, {3, 4}}))
	taper.Check(x.SetRequiresGrad(true))
	y := taper.Must(taper.Must(x.Mul(x)).Sum())
	taper.Check(y.Backward())
	fmt.Println(taper.Must(x.Grad()))
	// Output:
	// tensor([[2., 4.],
	//         [6., 8.]])
}

// Whatever can fail returns an error that says what was given and what would be valid.
func ExampleError() {
	a, b := taper.Must(taper.Ones([]int64{2, 3})), taper.Must(taper.Ones([]int64{4, 5}))
	_, err := a.Matmul(b)
	fmt.Println(err)
	var e *taper.Error
	fmt.Println(errors.As(err, &e) && e.Op == "matmul", errors.Is(err, taper.ErrorRuntime))
	// Output:
	// mm: mat1 and mat2 shapes cannot be multiplied (2x3 and 4x5)
	// true true
}

// A training loop that closes what a step has made, so that memory stays flat without waiting for the collector.
func ExampleOptimizer() {
	taper.ManualSeed(0)
	x := taper.Must(taper.FromRows([][]float32{{0}, {1}, {2}, {3}}))
	target := taper.Must(taper.FromRows([][]float32{{1}, {3}, {5}, {7}}))
	model := taper.Must(taper.NewLinear(1, 1))
	loss := taper.Must(taper.NewMSELoss())
	sgd := taper.Must(taper.NewSGD(taper.Must(model.Parameters()), 0.1))
	for range 300 {
		y := taper.Must(model.Forward(x))
		l := taper.Must(loss.Forward(y, target))
		taper.Check(sgd.ZeroGrad())
		taper.Check(l.Backward())
		taper.Check(sgd.Step())
		taper.CloseAll(y, l)
	}
	for name, p := range taper.Must(model.NamedParameters()).All() {
		fmt.Printf("%s %.2f\n", name, taper.Must(p.Item()).Float64())
	}
	// Output:
	// weight 2.00
	// bias 1.00
}

type scaled struct{ layer *taper.Module }

func (s scaled) Forward(inputs ...*taper.Tensor) (*taper.Tensor, error) {
	h, err := s.layer.Forward(inputs...)
	if err != nil {
		return nil, err
	}
	defer h.Close()
	return h.MulScalar(taper.Float(0.5))
}

// A module of one's own, saved and loaded.
func ExampleNewModule() {
	build := func() *taper.Module {
		fc := taper.Must(taper.NewLinear(3, 2))
		m := taper.Must(taper.NewModule("Scaled", scaled{fc}))
		taper.Check(m.RegisterModule("fc", fc))
		return m
	}
	m, other := build(), build()
	path := filepath.Join(os.TempDir(), "taper-example.safetensors")
	defer os.Remove(path)
	taper.Check(m.Save(path))
	taper.Check(other.Load(path, true))
	x := taper.Must(taper.Ones([]int64{1, 3}))
	fmt.Println(m)
	fmt.Println(taper.Must(taper.Must(m.Forward(x)).Equal(taper.Must(other.Forward(x)))))
	// Output:
	// Scaled(
	//   (fc): Linear(in_features=3, out_features=2, bias=True)
	// )
	// true
}

type square struct{}

func (square) Forward(ctx *taper.FunctionCtx, in []*taper.Tensor) ([]*taper.Tensor, error) {
	if err := ctx.SaveForBackward(in[0]); err != nil {
		return nil, err
	}
	y, err := in[0].Mul(in[0])
	return []*taper.Tensor{y}, err
}
func (square) Backward(ctx *taper.FunctionCtx, grads []*taper.Tensor) ([]*taper.Tensor, error) {
	saved, err := ctx.SavedTensors()
	if err != nil {
		return nil, err
	}
	defer taper.CloseAll(saved...)
	twice, err := saved[0].MulScalar(taper.Int(2))
	if err != nil {
		return nil, err
	}
	defer twice.Close()
	g, err := grads[0].Mul(twice)
	return []*taper.Tensor{g}, err
}

// A function of one's own, checked against finite differences.
func ExampleApply() {
	x := taper.Must(taper.FromSlice([]float64{1, 2, 3}))
	taper.Check(x.SetRequiresGrad(true))
	y := taper.Must(taper.Apply(square{}, "Square", x))[0]
	fmt.Println(y)
	fmt.Println(taper.Gradcheck(func(in []*taper.Tensor) ([]*taper.Tensor, error) {
		return taper.Apply(square{}, "Square", in...)
	}, []*taper.Tensor{x}))
	// Output:
	// tensor([1., 4., 9.], dtype=torch.float64, grad_fn=<Square>)
	// <nil>
}

// Memory is shared with a slice of Go, not copied.
func ExampleFromBuffer() {
	data := []float32{1, 2, 3}
	x := taper.Must(taper.FromBuffer(data))
	defer x.Close()
	data[1] = 20
	fmt.Println(x)
	// Output:
	// tensor([ 1., 20.,  3.])
}

// The learning rate follows a schedule; both remember where they are in their state dicts.
func ExampleNewStepLR() {
	w := taper.Must(taper.Ones([]int64{2}))
	taper.Check(w.SetRequiresGrad(true))
	sgd := taper.Must(taper.NewSGD([]*taper.Tensor{w}, 0.4))
	schedule := taper.Must(taper.NewStepLR(sgd, 2, func(o *taper.StepLROptions) { o.Gamma = 0.5 }))
	for range 5 {
		fmt.Print(taper.Must(sgd.LR()), " ")
		taper.Check(taper.Must(w.Sum()).Backward())
		taper.Check(sgd.Step())
		taper.Check(schedule.Step())
	}
	fmt.Println()
	// Output:
	// 0.4 0.4 0.2 0.2 0.1
}

// Products run in bfloat16 inside, losses in float32; the backward pass belongs outside.
func ExampleAutocast() {
	x, w := taper.Must(taper.Ones([]int64{2, 3})), taper.Must(taper.Ones([]int64{3, 2}))
	taper.Check(taper.Autocast(taper.CPU, func() error {
		y, err := x.Matmul(w)
		if err == nil {
			fmt.Println(y.DType())
		}
		return err
	}))
	// Output:
	// bfloat16
}

// A context ends what runs inside within one operation.
func ExampleWithContext() {
	ctx, cancel := context.WithCancel(context.Background())
	x := taper.Must(taper.Ones([]int64{8, 8}))
	steps := 0
	err := taper.WithContext(ctx, func() error {
		for {
			y, err := x.Matmul(x)
			if err != nil {
				return err
			}
			y.Close()
			if steps++; steps == 10 {
				cancel()
			}
		}
	})
	fmt.Println(errors.Is(err, context.Canceled), errors.Is(err, taper.ErrorCancelled), steps >= 10)
	// Output:
	// true true true
}

// What PyTorch calls no_grad: nothing is recorded inside.
func ExampleNoGrad() {
	x := taper.Must(taper.Ones([]int64{2}))
	taper.Check(x.SetRequiresGrad(true))
	taper.Check(taper.NoGrad(func() error {
		y, err := x.Add(x)
		if err == nil {
			fmt.Println(y.RequiresGrad())
		}
		return err
	}))
	// Output:
	// false
}

// Shapes, parameters and multiply-adds of a network.
func ExampleModule_Summary() {
	net := taper.Must(taper.NewSequential(taper.Must(taper.NewLinear(4, 8)), taper.Must(taper.NewReLU()), taper.Must(taper.NewLinear(8, 2))))
	text := taper.Must(net.Summary(taper.Must(taper.Ones([]int64{1, 4}))))
	fmt.Println(strings.Contains(text, "Linear"), strings.Contains(text, "[1, 8]"))
	// Output:
	// true true
}
