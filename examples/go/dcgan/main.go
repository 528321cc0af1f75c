// Two convolutional networks learn from each other to draw digits:  scripts/example.sh go dcgan [--quick] [PICTURE]
//
// The generator makes an image of random numbers; the critic says how real an image looks. The critic learns to tell the
// generator's images from the real ones, the generator to be taken for real (Radford, Metz and Chintala's DCGAN, 2015).
package main

import (
	"fmt"

	taper "github.com/taper-torch/taper/bindings/go"
	"github.com/taper-torch/taper/examples/go/example"
)

const codeSize, batch = 16, 64

var must = taper.Must[*taper.Tensor]

// conv is a convolution with a window of size x size; 4 halves the image, with steps of 2.
func conv(in, out, size int64, bias bool) *taper.Module {
	o := taper.ConvLayerOptions{NoBias: !bias}
	if size == 4 {
		o.Stride, o.Padding = []int64{2}, []int64{1}
	}
	return taper.Must(taper.NewConv2d(in, out, []int64{size}, o))
}

// convTranspose is its opposite: 4 doubles the image.
func convTranspose(in, out, size int64, bias bool) *taper.Module {
	return taper.Must(taper.NewConvTranspose2d(in, out, []int64{size}, func(o *taper.ConvTransposeSettings) {
		o.Bias = bias
		if size == 4 {
			o.Stride, o.Padding = []int64{2}, []int64{1}
		}
	}))
}

func newGenerator() *taper.Module {
	return taper.Must(taper.NewSequential(
		convTranspose(codeSize, 64, 2, false), // 1x1 to 2x2
		taper.Must(taper.NewBatchNorm2d(64)),
		taper.Must(taper.NewReLU()),
		convTranspose(64, 32, 4, false), // to 4x4
		taper.Must(taper.NewBatchNorm2d(32)),
		taper.Must(taper.NewReLU()),
		convTranspose(32, 1, 4, true), // to 8x8
		taper.Must(taper.NewTanh()),
	))
}

func newCritic() *taper.Module {
	return taper.Must(taper.NewSequential(
		conv(1, 32, 4, true), // to 4x4
		taper.Must(taper.NewLeakyReLU(0.2)),
		conv(32, 64, 4, false), // to 2x2
		taper.Must(taper.NewBatchNorm2d(64)),
		taper.Must(taper.NewLeakyReLU(0.2)),
		conv(64, 1, 2, true), // to 1x1: a number for each image
	))
}

// judge is how far the critic is from the answer, which is 1 for all images or 0 for all.
func judge(critic *taper.Module, images *taper.Tensor, answer float64) *taper.Tensor {
	answers := must(taper.Full([]int64{batch}, taper.Float(answer)))
	return must(taper.BinaryCrossEntropyWithLogits(must(must(critic.Forward(images)).View([]int64{batch})), answers))
}

func imagine(generator *taper.Module) *taper.Tensor {
	return must(generator.Forward(must(taper.Randn([]int64{batch, codeSize, 1, 1}))))
}

func main() {
	quick, path := example.Arguments("dcgan.png")
	taper.ManualSeed(0)
	images := must(example.Digits().View([]int64{-1, 1, 8, 8}))
	images = must(must(images.MulScalar(taper.Float(2))).SubScalar(taper.Float(1))) // from -1 to 1, as tanh draws them
	n := images.Size(0)
	generator, critic := newGenerator(), newCritic()
	beta := taper.AdamOptions{Beta1: taper.Ptr(0.5)}
	generatorOptimizer := taper.Must(taper.NewAdam(taper.Must(generator.Parameters()), 2e-3, beta))
	criticOptimizer := taper.Must(taper.NewAdam(taper.Must(critic.Parameters()), 5e-4, beta))

	epochs := 60
	if quick {
		epochs = 1
	}
	for epoch := 1; epoch <= epochs; epoch++ {
		order := must(taper.Randperm(n))
		var criticLoss, generatorLoss float64
		for start := int64(0); start+batch <= n; start += batch {
			x := must(images.IndexSelect(0, must(order.Get(taper.Range(start, start+batch)))))
			drawn := imagine(generator)
			loss := must(judge(critic, x, 1).Add(judge(critic, must(drawn.Detach()), 0)))
			criticLoss = example.Descend(criticOptimizer, loss)
			generatorLoss = example.Descend(generatorOptimizer, judge(critic, drawn, 1))
		}
		if quick || epoch%10 == 0 {
			fmt.Printf("epoch %2d  critic %.3f  generator %.3f\n", epoch, criticLoss, generatorLoss)
		}
	}

	taper.Check(generator.Eval())
	taper.Check(taper.NoGrad(func() error {
		samples := must(must(imagine(generator).DivScalar(taper.Float(2))).AddScalar(taper.Float(0.5)))
		example.SaveDigits(samples, path)
		return nil
	}))
}
