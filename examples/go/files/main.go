// Saves a training run half way and goes on with it, then keeps the weights alone:  scripts/example.sh go files [FOLDER]
package main

import (
	"fmt"
	"path/filepath"

	taper "github.com/taper-torch/taper/bindings/go"
	"github.com/taper-torch/taper/examples/go/example"
)

var must = taper.Must[*taper.Tensor]

func fresh() (*taper.Module, *taper.Optimizer) {
	net := taper.Must(taper.NewSequential(taper.Must(taper.NewLinear(2, 8)), taper.Must(taper.NewTanh()),
		taper.Must(taper.NewLinear(8, 1))))
	return net, taper.Must(taper.NewAdam(taper.Must(net.Parameters()), 0.05))
}

func train(net *taper.Module, optimizer *taper.Optimizer, steps int) (loss float64) {
	x := must(taper.FromRows([][]float32{{0, 0}, {0, 1}, {1, 0}, {1, 1}}))
	y := must(taper.FromRows([][]float32{{0}, {1}, {1}, {0}}))
	for range steps {
		loss = example.Descend(optimizer, must(taper.BinaryCrossEntropyWithLogits(must(net.Forward(x)), y)))
	}
	return loss
}

func main() {
	_, folder := example.Arguments(".")
	taper.ManualSeed(0)
	net, optimizer := fresh()
	fmt.Printf("after 150 steps   loss %.6f\n", train(net, optimizer, 150))

	// A checkpoint has all that a run needs to go on with the same bits, the default generator's state too.
	path := filepath.Join(folder, "xor.checkpoint")
	run := taper.Checkpoint{Models: []*taper.Module{net}, Optimizers: []*taper.Optimizer{optimizer}}
	taper.Check(run.Save(path, nil))
	fmt.Printf("150 more          loss %.6f\n", train(net, optimizer, 150))

	other, otherOptimizer := fresh() // as in a new process, with other weights
	resumed := taper.Checkpoint{Models: []*taper.Module{other}, Optimizers: []*taper.Optimizer{otherOptimizer}}
	_, _, err := resumed.Load(path, true)
	taper.Check(err)
	fmt.Printf("the same, resumed loss %.6f\n", train(other, otherOptimizer, 150))

	// The weights alone, as a file that every language and every library that knows safetensors reads.
	path = filepath.Join(folder, "xor.safetensors")
	weights := taper.Must(net.StateDict())
	taper.Check(weights.SetMetadata("task", "exclusive or"))
	taper.Check(weights.Save(path))
	read := taper.Must(taper.LoadTensors(path, taper.CPU))
	task, _, err := read.Metadata("task")
	taper.Check(err)
	fmt.Printf("xor.safetensors: %s\n", task)
	for name, tensor := range read.All() {
		fmt.Printf("  %s: %d numbers\n", name, tensor.Numel())
	}
}
