// A network of 33 parameters learns the exclusive or:  scripts/example.sh go xor
package main

import (
	"fmt"

	taper "github.com/taper-torch/taper/bindings/go"
	"github.com/taper-torch/taper/examples/go/example"
)

func main() {
	must := taper.Must[*taper.Tensor]
	taper.ManualSeed(0)
	x := must(taper.FromRows([][]float32{{0, 0}, {0, 1}, {1, 0}, {1, 1}}))
	y := must(taper.FromRows([][]float32{{0}, {1}, {1}, {0}}))
	net := taper.Must(taper.NewSequential(taper.Must(taper.NewLinear(2, 8)), taper.Must(taper.NewTanh()),
		taper.Must(taper.NewLinear(8, 1))))
	optimizer := taper.Must(taper.NewAdam(taper.Must(net.Parameters()), 0.05))

	for step := 1; step <= 300; step++ {
		loss := example.Descend(optimizer, must(taper.BinaryCrossEntropyWithLogits(must(net.Forward(x)), y)))
		if step%100 == 0 {
			fmt.Printf("step %d  loss %.4f\n", step, loss)
		}
	}

	taper.Check(taper.NoGrad(func() error {
		questions := taper.Must(taper.ToSlice[float32](x))
		sure := taper.Must(taper.ToSlice[float32](must(must(net.Forward(x)).Sigmoid())))
		for i := range sure {
			fmt.Printf("%.0f xor %.0f: %.3f\n", questions[2*i], questions[2*i+1], sure[i])
		}
		return nil
	}))
}
