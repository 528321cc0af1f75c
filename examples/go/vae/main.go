// A variational autoencoder learns to draw digits:  scripts/example.sh go vae [--quick] [PICTURE]
//
// The encoder says for each image where it lies among the codes, as means and variances; the decoder draws an image from a
// code. Both learn together: the loss is what the drawing lacks, and how far the codes are from a normal distribution, from
// which new ones are drawn at the end.
package main

import (
	"fmt"

	taper "github.com/taper-torch/taper/bindings/go"
	"github.com/taper-torch/taper/examples/go/example"
)

const codeSize, batch = 8, 64

var must = taper.Must[*taper.Tensor]

func network(in, out int64) *taper.Module {
	return taper.Must(taper.NewSequential(taper.Must(taper.NewLinear(in, 128)), taper.Must(taper.NewReLU()),
		taper.Must(taper.NewLinear(128, out))))
}

// losses are those per image: how badly it is drawn, and the divergence of its codes from the normal distribution.
func losses(encoder, decoder *taper.Module, x *taper.Tensor) (drawn, apart *taper.Tensor) {
	n := taper.Int(x.Size(0))
	halves := taper.Must(must(encoder.Forward(x)).Chunk(2, taper.ChunkOptions{Dim: 1}))
	mean, logVar := halves[0], halves[1]
	spread := must(must(logVar.MulScalar(taper.Float(0.5))).Exp())
	code := must(mean.Add(must(spread.Mul(must(taper.Randn([]int64{x.Size(0), codeSize}))))))
	sum := taper.BinaryCrossEntropyWithLogitsOptions{Reduction: "sum"}
	drawn = must(must(taper.BinaryCrossEntropyWithLogits(must(decoder.Forward(code)), x, sum)).DivScalar(n))
	apart = must(must(logVar.Exp()).Add(must(mean.Mul(mean))))
	apart = must(must(apart.Sub(logVar)).SubScalar(taper.Float(1)))
	apart = must(must(must(apart.Sum()).MulScalar(taper.Float(0.5))).DivScalar(n))
	return drawn, apart
}

func main() {
	quick, path := example.Arguments("vae.png")
	taper.ManualSeed(0)
	images := must(example.Digits().View([]int64{-1, 64}))
	n := images.Size(0)
	encoder, decoder := network(64, 2*codeSize), network(codeSize, 64)
	parameters := append(taper.Must(encoder.Parameters()), taper.Must(decoder.Parameters())...)
	optimizer := taper.Must(taper.NewAdam(parameters, 2e-3))

	epochs := 60
	if quick {
		epochs = 2
	}
	for epoch := 1; epoch <= epochs; epoch++ {
		order := must(taper.Randperm(n))
		var total, drawn, apart float64
		for start := int64(0); start < n; start += batch {
			x := must(images.IndexSelect(0, must(order.Get(taper.Range(start, min(start+batch, n))))))
			bad, far := losses(encoder, decoder, x)
			loss := example.Descend(optimizer, must(bad.Add(far)))
			total += loss * float64(x.Size(0))
			drawn, apart = example.Item(bad), example.Item(far)
		}
		if quick || epoch%10 == 0 {
			fmt.Printf("epoch %2d  loss %.3f  (drawing %.3f, codes %.3f)\n", epoch, total/float64(n), drawn, apart)
		}
	}

	taper.Check(taper.NoGrad(func() error {
		samples := must(must(decoder.Forward(must(taper.Randn([]int64{64, codeSize})))).Sigmoid())
		example.SaveDigits(must(samples.View([]int64{64, 1, 8, 8})), path)
		return nil
	}))
}
