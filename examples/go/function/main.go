// A function with a gradient of its own:  scripts/example.sh go function
//
// log(1 + exp(x)) is about x for a large x, but written down like that it overflows, and its gradient is not a number.
package main

import (
	"fmt"

	taper "github.com/taper-torch/taper/bindings/go"
)

var must = taper.Must[*taper.Tensor]

type softplus struct{}

func (softplus) Forward(ctx *taper.FunctionCtx, inputs []*taper.Tensor) ([]*taper.Tensor, error) {
	x := inputs[0]
	small := must(must(must(must(x.Abs()).Neg()).Exp()).Log1p())
	y := must(must(x.Relu()).Add(small))
	return []*taper.Tensor{y.HandOver()}, ctx.SaveForBackward(x)
}

func (softplus) Backward(ctx *taper.FunctionCtx, grads []*taper.Tensor) ([]*taper.Tensor, error) {
	x := taper.Must(ctx.SavedTensors())[0]
	return []*taper.Tensor{must(grads[0].Mul(must(x.Sigmoid()))).HandOver()}, nil
}

func apply(inputs []*taper.Tensor) ([]*taper.Tensor, error) {
	return taper.Apply(softplus{}, "SoftplusBackward", inputs...)
}

func show(name string, f func(x *taper.Tensor) *taper.Tensor) {
	x := must(taper.FromSlice([]float32{-100, 0, 100}))
	taper.Check(x.SetRequiresGrad(true))
	y := f(x)
	taper.Check(must(y.Sum()).Backward())
	fmt.Printf("%-9s %v  gradient %v\n", name, must(y.Detach()), must(x.Grad()))
}

func main() {
	show("as it is", func(x *taper.Tensor) *taper.Tensor {
		return must(must(must(x.Exp()).AddScalar(taper.Int(1))).Log())
	})
	show("Softplus", func(x *taper.Tensor) *taper.Tensor { return taper.Must(apply([]*taper.Tensor{x}))[0] })

	// Gradients by hand should be checked: this compares them with differences of the function's values.
	at := must(taper.FromSlice([]float64{-2, 0.5, 3}))
	taper.Check(at.SetRequiresGrad(true))
	taper.Check(taper.Gradcheck(apply, []*taper.Tensor{at}))
	fmt.Println("the gradient is right")
}
