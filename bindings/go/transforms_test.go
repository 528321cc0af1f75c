package taper

import (
	"errors"
	"fmt"
	"reflect"
	"testing"
	"unsafe"
)

func TestTransforms(t *testing.T) {
	bytes := make([]uint8, 24)
	for i := range bytes {
		bytes[i] = uint8(i * 10)
	}
	x := Must(ImageToTensor(Must(Must(FromSlice(bytes)).View([]int64{2, 4, 3})), true))
	if !reflect.DeepEqual(x.Sizes(), []int64{3, 2, 4}) || x.DType() != Float32 {
		t.Fatal(x)
	}
	g := Must(NewGenerator())
	sizes := func(y *Tensor, err error, want ...int64) {
		t.Helper()
		if err != nil || !reflect.DeepEqual(y.Sizes(), want) {
			t.Error(err, y, want)
		}
	}
	rtol, atol := 1e-4, 1e-5
	same := func(y *Tensor, err error) {
		t.Helper()
		if err != nil || !Must(y.Allclose(x, AllcloseOptions{Rtol: &rtol, Atol: &atol})) {
			t.Error(err, y)
		}
	}
	y, err := NormalizeImage(x, []float64{0}, []float64{1, 1, 1})
	same(y, err)
	y, err = CropImage(x, -1, 2, 4, 5)
	sizes(y, err, 3, 4, 5)
	y, err = CenterCrop(x, 1, 2)
	sizes(y, err, 3, 1, 2)
	y, err = PadImage(x, Padding{Sides: []int64{1, 0}, Mode: "reflect"})
	sizes(y, err, 3, 2, 6)
	y, err = GrayscaleImage(x, 1)
	sizes(y, err, 1, 2, 4)
	y, err = AdjustBrightness(x, 1)
	same(y, err)
	y, err = AdjustContrast(x, 1)
	same(y, err)
	y, err = AdjustSaturation(x, 1)
	same(y, err)
	y, err = AdjustHue(x, 0)
	same(y, err)
	y, err = RandomHorizontalFlip(Must(RandomHorizontalFlip(x, 1, g)), 1, nil)
	same(y, err)
	y, err = RandomVerticalFlip(x, 0, g)
	same(y, err)
	y, err = RandomCrop(x, 3, 9, RandomCropOptions{Padding: Padding{Sides: []int64{1}, Fill: 2}, PadIfNeeded: true, Generator: g})
	sizes(y, err, 3, 3, 9)
	y, err = RandomResizedCrop(x, 5, 6, RandomResizedCropOptions{Scale: []float64{0.5, 1}, Generator: g})
	sizes(y, err, 3, 5, 6)
	y, err = ColorJitter(x, Jitter{Brightness: []float64{0.5}, Hue: []float64{-0.1, 0.1}, Generator: g})
	sizes(y, err, 3, 2, 4)
	if _, err := AdjustHue(x, 2); !errors.Is(err, ErrorValue) {
		t.Error(err)
	}
}

func TestParts(t *testing.T) {
	d := Must(NewTensorDataset(Must(Arange(Int(10)))))
	parts := Must(d.RandomSplit([]float64{0.7, 0.3}, nil))
	if len(parts) != 2 || Must(parts[0].Len()) != 7 || Must(parts[1].Len()) != 3 {
		t.Error(parts)
	}
	both := Must(StackDatasets(d, d))
	if s := Must(both.Get(4, 0)); len(s) != 2 || s[1].String() != "tensor(4)" {
		t.Error(s)
	}
	if _, err := ChainDatasets(d); !errors.Is(err, ErrorType) {
		t.Error(err)
	}
	if _, err := d.RandomSplit([]float64{4, 4}, nil); !errors.Is(err, ErrorValue) {
		t.Error(err)
	}
}

// The structs of Arrow, for the test: only their sizes matter.
type arrowSchema [9]uintptr
type arrowArray [10]uintptr

func TestArrow(t *testing.T) {
	n := Must(NewNamedTensors())
	Check(n.Insert("x", Must(FromSlice([]float32{1, 2, 3}))))
	Check(n.Insert("m", Must(Must(Arange(Int(6))).View([]int64{3, 2}))))
	var schema arrowSchema
	var array arrowArray
	Check(n.ToArrow(unsafe.Pointer(&schema), unsafe.Pointer(&array)))
	back := Must(FromArrow(unsafe.Pointer(&schema), unsafe.Pointer(&array), false))
	if back.Len() != 2 || fmt.Sprint(Must(back.Get("m"))) != "tensor([[0, 1],\n        [2, 3],\n        [4, 5]])" {
		t.Error(back)
	}
	if schema[7] != 0 || array[8] != 0 {
		t.Error("the structs' content was taken over")
	}
	if _, err := FromArrow(unsafe.Pointer(&schema), unsafe.Pointer(&array), false); !errors.Is(err, ErrorValue) {
		t.Error(err)
	}
	if _, err := FromArrowStream(nil, false); !errors.Is(err, ErrorValue) {
		t.Error(err)
	}
}
