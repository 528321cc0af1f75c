package taper

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestShow(t *testing.T) {
	folder := t.TempDir()
	at := func(name string) string { return filepath.Join(folder, name) }
	layer := Must(NewLinear(2, 1))
	out := Must(layer.Forward(Must(Ones([]int64{1, 2}))))
	Check(SaveImage(Must(Rand([]int64{4, 1, 8, 8})), at("grid.png"), ImageOptions{Columns: 2, Padding: -1}))
	data, err := os.ReadFile(at("grid.png"))
	if err != nil || string(data[1:4]) != "PNG" || data[19] != 16 || data[23] != 16 {
		t.Fatal(err, data)
	}
	curves := []Curve{{"train", Must(FromSlice([]float64{3, 2, 1}))}, {"test", Must(FromRows([][]float64{{0, 2}, {2, 1.5}}))}}
	Check(SavePlot(at("loss.svg"), curves, PlotOptions{Title: "Loss"}))
	if data, err := os.ReadFile(at("loss.svg")); err != nil || !strings.Contains(string(data), ">train<") {
		t.Fatal(err, string(data))
	}
	var e *Error
	if err := SavePlot(at("no.png"), nil); !errors.As(err, &e) || e.Code != ErrorValue {
		t.Error(err)
	}
	dot, err := out.GraphDOT(layer)
	if err != nil || !strings.Contains(dot, `"weight\n`) {
		t.Error(err, dot)
	}
	if svg, err := out.GraphSVG(nil); err != nil || !strings.Contains(svg, "input") {
		t.Error(err, svg)
	}
	w := Must(NewSummaryWriter(at("run")))
	Check(w.AddScalar("loss", 0.5, 1))
	Check(w.AddHistogram("weight", Must(Ones([]int64{3})), 1))
	Check(w.AddImage("digit", Must(Zeros([]int64{1, 4, 4})), 1))
	Check(w.AddText("note", "fine", 1))
	Check(w.AddGraph(out, layer))
	Check(w.Flush())
	if info, err := os.Stat(Must(w.Path())); err != nil || info.Size() < 300 {
		t.Error(err, info)
	}
	if err := w.AddScalar("", 1, 1); !errors.As(err, &e) || e.Code != ErrorValue {
		t.Error(err)
	}
	Check(w.Close())
	if err := w.AddScalar("loss", 1, 1); !errors.As(err, &e) || e.Code != ErrorInvalidHandle {
		t.Error(err)
	}
	p := Must(NewProgress(2, "nothing"))
	Check(p.Update(0, "is drawn where nothing was done"))
	Check(p.Close())
}
