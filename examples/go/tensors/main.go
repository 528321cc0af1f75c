// The introduction's tensor examples: from nested slices, shapes, printing, gradients.
package main

import (
	"fmt"

	taper "github.com/taper-torch/taper/bindings/go"
)

func main() {
	data := [][]int64{{1, 2}, {3, 4}}
	x := taper.Must(taper.FromRows(data))
	fmt.Println(x)
	fmt.Println(x.Sizes())
	fmt.Println(x.DType())

	array := []int32{1, 2, 3, 4}
	y := taper.Must(taper.FromSlice(array, 2, 2))
	fmt.Println(y)
	back := taper.Must(taper.ToSlice[int32](y))
	fmt.Println(back)

	// Gradients: d/dx of sum(x^2) is 2x.
	v := taper.Must(taper.FromSlice([]float32{1, 2, 3}))
	taper.Check(v.SetRequiresGrad(true))
	s := taper.Must(taper.Must(v.Mul(v)).Sum())
	fmt.Println(s)
	taper.Check(s.Backward())
	fmt.Println(taper.Must(v.Grad()))
}
