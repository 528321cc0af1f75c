// A small Transformer reads Shakespeare's sonnets, letter by letter, and goes on in their manner:
//
//	scripts/example.sh go char_transformer [--quick] [PICTURE]
package main

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"os"
	"slices"

	taper "github.com/taper-torch/taper/bindings/go"
	"github.com/taper-torch/taper/examples/go/example"
)

const context, batch, width, heads, layers = 48, 16, 64, 4, 2

var must = taper.Must[*taper.Tensor]

// model makes letters to the odds of each next letter. No position sees a later one: the mask forbids it.
type model struct {
	letter, place, layers, head *taper.Module
	mask                        *taper.Tensor
}

func newModel(letters int64) *taper.Module {
	m := &model{letter: taper.Must(taper.NewEmbedding(letters, width)), place: taper.Must(taper.NewEmbedding(context, width))}
	layer := taper.Must(taper.NewTransformerEncoderLayer(width, heads, func(o *taper.TransformerEncoderLayerSettings) {
		o.DimFeedforward, o.Dropout, o.BatchFirst, o.NormFirst = 4*width, 0, true, true
	}))
	m.layers = taper.Must(taper.NewTransformerEncoder(layer, layers)) // copies the layer
	m.head = taper.Must(taper.NewLinear(width, letters))
	m.mask = must(must(taper.Full([]int64{context, context}, taper.Float(math.Inf(-1)))).Triu(taper.TriuOptions{Diagonal: 1}))
	whole := taper.Must(taper.NewModule("Model", m))
	taper.Check(whole.RegisterModule("letter", m.letter))
	taper.Check(whole.RegisterModule("place", m.place))
	taper.Check(whole.RegisterModule("layers", m.layers))
	taper.Check(whole.RegisterModule("head", m.head))
	return whole
}

func (m *model) Forward(in ...*taper.Tensor) (*taper.Tensor, error) {
	n := in[0].Size(1)
	h := must(must(m.letter.Forward(in[0])).Add(must(m.place.Forward(must(taper.Arange(taper.Int(n)))))))
	mask := must(m.mask.Get(taper.Range(0, n), taper.Range(0, n)))
	return m.head.Forward(must(m.layers.Forward(h, mask)))
}

// read gives the text as numbers of letters, and the letters.
func read() (codes []int64, alphabet []byte) {
	text, err := os.ReadFile("data/sonnets/sonnets.txt")
	if err != nil {
		err = errors.New("cannot read data/sonnets (run from the root of the checkout)")
	}
	taper.Check(err)
	alphabet = slices.Compact(slices.Sorted(slices.Values(text)))
	for _, c := range text {
		codes = append(codes, int64(bytes.IndexByte(alphabet, c)))
	}
	return codes, alphabet
}

func main() {
	quick, path := example.Arguments("char_transformer.png")
	taper.ManualSeed(0)
	text, alphabet := read()
	codes, letters := must(taper.FromSlice(text)), int64(len(alphabet))
	m := newModel(letters)
	parameters := taper.Must(m.Parameters())
	optimizer := taper.Must(taper.NewAdam(parameters, 2e-3, taper.AdamOptions{Decoupled: true, WeightDecay: 0.01})) // AdamW
	count := int64(0)
	for _, p := range parameters {
		count += p.Numel()
	}
	fmt.Printf("%d letters of %d kinds, %d parameters\n", len(text), letters, count)

	steps, told, length := 1000, 100, 400
	if quick {
		steps, told, length = 10, 5, 40
	}
	var losses []float64
	for step := 1; step <= steps; step++ {
		starts := must(taper.Randint(int64(len(text)-context), []int64{batch, 1}))
		window := must(starts.Add(must(taper.Arange(taper.Int(context + 1)))))
		window = must(codes.Get(window)) // each row a piece of the text, with the letter after it
		odds := must(must(m.Forward(must(window.Narrow(1, 0, context)))).Reshape([]int64{-1, letters}))
		next := must(must(window.Narrow(1, 1, context)).Reshape([]int64{-1}))
		losses = append(losses, example.Descend(optimizer, must(taper.CrossEntropy(odds, next))))
		if step%told == 0 {
			fmt.Printf("step %4d  loss %.3f\n", step, losses[step-1])
		}
	}

	taper.Check(m.Eval())
	said := slices.Clone(text[:20])
	for range length {
		taper.Check(taper.NoGrad(func() error {
			seen := said[max(0, len(said)-context):]
			odds := must(m.Forward(must(taper.FromSlice(seen, 1, int64(len(seen))))))
			odds = must(must(odds.Get(taper.At(0), taper.At(-1))).DivScalar(taper.Float(0.7)))
			said = append(said, taper.Must(must(must(odds.Softmax(0)).Multinomial(1)).Item()).Int64())
			return nil
		}))
	}
	for _, c := range said {
		fmt.Printf("%c", alphabet[c])
	}
	fmt.Println()
	curve := []taper.Curve{{Label: "loss", Values: must(taper.FromSlice(losses))}}
	taper.Check(taper.SavePlot(path, curve, taper.PlotOptions{Title: "Reading the sonnets, letter by letter"}))
	fmt.Println("drawn:", path)
}
