package taper

import (
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"testing"
)

func TestRead(t *testing.T) {
	folder := t.TempDir()
	at := func(name string) string { return filepath.Join(folder, name) }
	write := func(name, text string) string {
		Check(os.MkdirAll(filepath.Dir(at(name)), 0o777))
		Check(os.WriteFile(at(name), []byte(text), 0o666))
		return at(name)
	}
	idx := Must(ReadIDX(write("x.idx", "\x00\x00\x08\x01\x00\x00\x00\x03abc")))
	if idx.DType() != Uint8 || idx.String() != "tensor([97, 98, 99], dtype=torch.uint8)" {
		t.Error(idx)
	}
	images, labels, err := ReadCIFAR(write("x.bin", "\x07"+string(make([]byte, 3072))), 10)
	if err != nil || !reflect.DeepEqual(images.Sizes(), []int64{1, 3, 32, 32}) || labels.String() != "tensor([7])" {
		t.Error(err, labels)
	}
	missing := -1.0
	table := Must(ReadCSV(write("x.csv", "a;b\n1;\n"), CSVOptions{Separator: ";", Missing: &missing}))
	if !reflect.DeepEqual(table.Names, []string{"a", "b"}) || table.Values.String() != "tensor([[ 1., -1.]])" {
		t.Error(table)
	}
	header := false
	var e *Error
	if _, err := ReadCSV(at("x.csv"), CSVOptions{Separator: ";", Header: &header}); !errors.As(err, &e) || e.Code != ErrorIO {
		t.Error(err)
	}
	write("images/only/notes.txt", "")
	Check(SaveImage(Must(Ones([]int64{3, 4, 6})), at("images/only/x.png")))
	found := Must(FindImages(at("images")))
	if len(found.Paths) != 1 || !reflect.DeepEqual(found.Classes, []string{"only"}) || found.Labels.String() != "tensor([0])" {
		t.Error(found)
	}
	data, err := os.ReadFile(found.Paths[0])
	Check(err)
	image := Must(DecodeImage(data, 1))
	same := Must(ReadImage(found.Paths[0], 1))
	small := Must(ResizeImage(image, 2, 3, ""))
	if !Must(image.Equal(same)) || small.String() != "tensor([[[255, 255, 255],\n         [255, 255, 255]]], dtype=torch.uint8)" {
		t.Error(small)
	}
	if _, err := DecodeImage(nil, 0); err == nil {
		t.Error("no bytes are an image")
	}
}
