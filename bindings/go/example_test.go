package taper_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

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
	// mat1 and mat2 shapes cannot be multiplied (2x3 and 4x5)
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
