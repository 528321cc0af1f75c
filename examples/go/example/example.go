// Package example is what several examples share: their arguments, and the digits.
package example

import (
	"errors"
	"fmt"
	"os"

	taper "github.com/taper-torch/taper/bindings/go"
)

// Arguments are those of an example: --quick for a few steps only, and the path of the picture.
func Arguments(picture string) (quick bool, path string) {
	path = picture
	for _, a := range os.Args[1:] {
		if a == "--quick" {
			quick = true
		} else {
			path = a
		}
	}
	return quick, path
}

// Digits are the 1,438 small digits: float32 [1438, 8, 8] from 0 (paper) to 1 (ink).
func Digits() *taper.Tensor {
	file, err := os.ReadFile("data/digits/train-images-idx3-ubyte")
	if err != nil {
		err = errors.New("cannot read data/digits (run from the root of the checkout)")
	}
	taper.Check(err)
	// 16 bytes of header, then a byte for each pixel, from 0 to 16.
	pixels := taper.Must(taper.FromSlice(file[16:], 1438, 8, 8))
	return taper.Must(taper.Must(pixels.Cast(taper.Float32)).DivScalar(taper.Float(16)))
}

// SaveDigits writes images [n, 1, 8, 8], each pixel four times as large, into a PNG file.
func SaveDigits(images *taper.Tensor, path string) {
	large := taper.Must(taper.Interpolate(images, taper.InterpolateOptions{ScaleFactor: taper.Ptr(4.0)}))
	taper.Check(taper.SaveImage(large, path, taper.ImageOptions{Columns: 16}))
	fmt.Println("drawn:", path)
}

// Descend computes the gradients of a loss anew, takes a step and gives the loss as a number.
func Descend(optimizer *taper.Optimizer, loss *taper.Tensor) float64 {
	taper.Check(optimizer.ZeroGrad())
	taper.Check(loss.Backward())
	taper.Check(optimizer.Step())
	return Item(loss)
}

// Item is the number in a tensor of one element.
func Item(t *taper.Tensor) float64 { return taper.Must(t.Item()).Float64() }
