// Fits a small network to noisy values of a curve and draws both:  scripts/example.sh go regression [PICTURE]
package main

import (
	"fmt"
	"os"

	taper "github.com/taper-torch/taper/bindings/go"
)

func main() {
	path := "regression.png"
	if len(os.Args) > 1 {
		path = os.Args[1]
	}
	must := taper.Must[*taper.Tensor]
	taper.ManualSeed(0)
	x := must(must(taper.Linspace(taper.Float(-3), taper.Float(3), 200)).Unsqueeze(1))
	noise := must(must(taper.Randn([]int64{200, 1})).MulScalar(taper.Float(0.1)))
	y := must(must(must(x.MulScalar(taper.Float(2))).Sin()).Add(noise))

	net := taper.Must(taper.NewSequential(
		taper.Must(taper.NewLinear(1, 32)), taper.Must(taper.NewTanh()),
		taper.Must(taper.NewLinear(32, 32)), taper.Must(taper.NewTanh()),
		taper.Must(taper.NewLinear(32, 1))))
	optimizer := taper.Must(taper.NewAdam(taper.Must(net.Parameters()), 0.01))
	for step := 1; step <= 1000; step++ {
		taper.Check(optimizer.ZeroGrad())
		loss := must(taper.MseLoss(must(net.Forward(x)), y))
		taper.Check(loss.Backward())
		taper.Check(optimizer.Step())
		if step%200 == 0 {
			fmt.Printf("step %4d  loss %.4f\n", step, taper.Must(loss.Item()).Float64())
		}
	}

	taper.Check(taper.NoGrad(func() error {
		data := must(taper.Cat([]*taper.Tensor{x, y}, taper.CatOptions{Dim: 1}))
		fitted := must(taper.Cat([]*taper.Tensor{x, must(net.Forward(x))}, taper.CatOptions{Dim: 1}))
		curves := []taper.Curve{{Label: "data", Values: data}, {Label: "network", Values: fitted}}
		return taper.SavePlot(path, curves, taper.PlotOptions{Title: "A network of 1,153 parameters and what it saw"})
	}))
	fmt.Println("drawn:", path)
}
