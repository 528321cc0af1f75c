// Nested slices and arrays as tensors, and how tensors print:  scripts/example.sh go tensors
package main

import (
	"fmt"
	"strings"

	taper "github.com/taper-torch/taper/bindings/go"
)

func printShape(x *taper.Tensor) {
	fmt.Printf("torch.Size([%s])\n", strings.Trim(strings.Join(strings.Fields(fmt.Sprint(x.Sizes())), ", "), "[]"))
}

func main() {
	// Numbers to a tensor: they are copied.
	data := taper.Must(taper.FromRows([][]int64{{1, 2}, {3, 4}}))
	fmt.Println(data)
	printShape(data)

	// A slice's own memory as a tensor: nothing is copied, a write to one is seen in the other. int32 is not the usual
	// type of whole numbers, so it is printed.
	array := []int32{1, 2, 3, 4}
	shared := taper.Must(taper.FromBuffer(array, 2, 2))
	fmt.Println(shared)
	printShape(shared)
	array[0] = 10
	fmt.Println(shared)

	// A gradient: y = sum(x * x), so dy/dx = 2 x.
	x := taper.Must(taper.FromSlice([]float32{1, 2, 3}))
	taper.Check(x.SetRequiresGrad(true))
	y := taper.Must(taper.Must(x.Mul(x)).Sum())
	fmt.Println(y)
	taper.Check(y.Backward())
	fmt.Println(taper.Must(x.Grad()))

	// What a mistake looks like: an error that says what is wrong, and the program goes on.
	_, err := taper.Must(taper.Ones([]int64{2, 3})).Matmul(taper.Must(taper.Ones([]int64{4, 5})))
	fmt.Println(err)
}
