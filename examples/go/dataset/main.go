// A data set of one's own, read in shuffled batches that two threads make:  scripts/example.sh go dataset
package main

import (
	"fmt"
	"math"

	taper "github.com/taper-torch/taper/bindings/go"
	"github.com/taper-torch/taper/examples/go/example"
)

var must = taper.Must[*taper.Tensor]

// rings are points of the plane, and on which of two rings around the origin each lies.
type rings struct{ angle, ring, radius *taper.Tensor }

func newRings(n int64) rings {
	angle := must(must(must(taper.Rand([]int64{n})).MulScalar(taper.Int(2))).MulScalar(taper.Float(math.Pi)))
	ring := must(taper.Randint(2, []int64{n}))
	noise := must(taper.Randn([]int64{n}))
	radius := must(must(ring.AddScalar(taper.Int(1))).Add(must(noise.MulScalar(taper.Float(0.2)))))
	return rings{angle, ring, radius}
}

func (r rings) Len() int64 { return r.ring.Numel() }

func (r rings) Get(i int64, _ uint64) (sample []*taper.Tensor, err error) {
	err = taper.Try(func() {
		angle, radius := must(r.angle.Select(0, i)), must(r.radius.Select(0, i))
		x, y := must(radius.Mul(must(angle.Cos()))), must(radius.Mul(must(angle.Sin())))
		sample = []*taper.Tensor{must(taper.Stack([]*taper.Tensor{x, y})), must(r.ring.Select(0, i))}
	})
	return sample, err
}

func main() {
	taper.ManualSeed(0)
	points := taper.Must(taper.NewDataset(newRings(1000)))
	parts := taper.Must(points.RandomSplit([]float64{800, 200}, nil))
	batches := taper.Must(taper.NewDataLoader(parts[0], taper.LoaderOptions{BatchSize: 32, Shuffle: true, Workers: 2}))
	test := taper.Must(taper.NewDataLoader(parts[1], taper.LoaderOptions{BatchSize: 200}))
	net := taper.Must(taper.NewSequential(taper.Must(taper.NewLinear(2, 16)), taper.Must(taper.NewReLU()),
		taper.Must(taper.NewLinear(16, 2))))
	optimizer := taper.Must(taper.NewAdam(taper.Must(net.Parameters()), 0.02))

	for epoch := 1; epoch <= 5; epoch++ {
		total := 0.0
		for batch, err := range batches.Batches() {
			taper.Check(err)
			loss := example.Descend(optimizer, must(taper.CrossEntropy(must(net.Forward(batch[0])), batch[1])))
			total += loss * float64(batch[0].Size(0))
		}
		fmt.Printf("epoch %d  loss %.4f\n", epoch, total/800)
	}

	taper.Check(taper.NoGrad(func() error {
		for batch, err := range test.Batches() {
			taper.Check(err)
			said := must(must(net.Forward(batch[0])).Argmax(taper.ArgmaxOptions{Dim: taper.Ptr(int64(1))}))
			right := must(must(must(said.Eq(batch[1])).Cast(taper.Float32)).Mean())
			fmt.Printf("on the right ring: %.1f%% of %d other points\n", 100*example.Item(right), 200)
		}
		return nil
	}))
}
