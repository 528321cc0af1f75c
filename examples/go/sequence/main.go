// An LSTM learns a wave and goes on with it by itself:  scripts/example.sh go sequence [PICTURE]
package main

import (
	"fmt"
	"os"

	taper "github.com/taper-torch/taper/bindings/go"
)

const seen, all = 300, 400

func main() {
	must := taper.Must[*taper.Tensor]
	taper.ManualSeed(0)
	t := must(must(taper.Arange(taper.Int(all), taper.ArangeOptions{Dtype: taper.Float32})).MulScalar(taper.Float(0.2)))
	second := must(must(must(t.MulScalar(taper.Float(2))).Sin()).MulScalar(taper.Float(0.5)))
	wave := must(must(must(t.Sin()).Add(second)).View([]int64{-1, 1, 1})) // time, batch, features

	lstm := taper.Must(taper.NewLSTM(1, 32))
	head := taper.Must(taper.NewLinear(32, 1))
	parameters := append(taper.Must(lstm.Parameters()), taper.Must(head.Parameters())...)
	optimizer := taper.Must(taper.NewLBFGS(parameters, func(o *taper.LBFGSOptions) { o.LR = 0.8 }))
	closure := func() (*taper.Tensor, error) {
		taper.Check(optimizer.ZeroGrad())
		output := taper.Must(lstm.ForwardList(must(wave.Narrow(0, 0, seen-1))))[0]
		loss := must(taper.MseLoss(must(head.Forward(output)), must(wave.Narrow(0, 1, seen-1))))
		return loss, loss.Backward()
	}
	for step := 1; step <= 8; step++ {
		loss := must(optimizer.StepClosure(closure))
		fmt.Printf("step %d  loss %.1e\n", step, taper.Must(loss.Item()).Float64())
	}

	path := "sequence.png"
	if len(os.Args) > 1 {
		path = os.Args[1]
	}
	taper.Check(taper.NoGrad(func() error {
		outputs := taper.Must(lstm.ForwardList(must(wave.Narrow(0, 0, seen))))
		said := []*taper.Tensor{must(head.Forward(must(outputs[0].Narrow(0, -1, 1))))}
		for len(said) < all-seen { // what it says is the next that it hears
			outputs = taper.Must(lstm.ForwardList(said[len(said)-1], outputs[1], outputs[2]))
			said = append(said, must(head.Forward(outputs[0])))
		}
		times := must(taper.ArangeStart(taper.Int(seen), taper.Int(all), taper.ArangeStartOptions{Dtype: taper.Float32}))
		alone := must(must(taper.Cat(said)).View([]int64{-1}))
		curves := []taper.Curve{
			{Label: "wave", Values: must(wave.View([]int64{-1}))},
			{Label: "the LSTM, alone from 300 on", Values: must(taper.Stack([]*taper.Tensor{times, alone}, taper.StackOptions{Dim: 1}))},
		}
		return taper.SavePlot(path, curves, taper.PlotOptions{Title: "An LSTM that learned 300 values"})
	}))
	fmt.Println("drawn:", path)
}
