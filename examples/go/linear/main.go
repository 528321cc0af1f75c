// A line through points, by gradient descent:  scripts/example.sh go linear
package main

import (
	"fmt"

	taper "github.com/taper-torch/taper/bindings/go"
	"github.com/taper-torch/taper/examples/go/example"
)

func main() {
	must := taper.Must[*taper.Tensor]
	taper.ManualSeed(0)
	x := must(taper.Randn([]int64{100, 1}))
	noise := must(must(taper.Randn([]int64{100, 1})).MulScalar(taper.Float(0.1)))
	y := must(must(x.MulScalar(taper.Int(3))).SubScalar(taper.Int(2)))
	y = must(y.Add(noise)) // the line that is to be found, and noise

	model := taper.Must(taper.NewLinear(1, 1))
	parameters := taper.Must(model.Parameters())
	optimizer := taper.Must(taper.NewSGD(parameters, 0.1))
	for step := 1; step <= 100; step++ {
		loss := example.Descend(optimizer, must(taper.MseLoss(must(model.Forward(x)), y)))
		if step%20 == 0 {
			fmt.Printf("step %3d  loss %.6f\n", step, loss)
		}
	}
	fmt.Printf("y = %.3f x + %.3f\n", example.Item(parameters[0]), example.Item(parameters[1]))
}
