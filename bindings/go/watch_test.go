package taper

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestAutocast(t *testing.T) {
	x := Must(Ones([]int64{2, 2}))
	err := Autocast(CPU, func() error {
		if on, err := AutocastEnabled(CPU); err != nil || !on {
			t.Error(on, err)
		}
		if d, err := AutocastDType(CPU); err != nil || d != Float16 {
			t.Error(d, err)
		}
		if y := Must(x.Mm(x)); y.DType() != Float16 {
			t.Error(y.DType())
		}
		return Autocast(CPU, func() error {
			if y := Must(x.Mm(x)); y.DType() != Float32 {
				t.Error(y.DType())
			}
			return nil
		}, AutocastOptions{Off: true})
	}, AutocastOptions{DType: Float16})
	if err != nil {
		t.Fatal(err)
	}
	if y := Must(x.Mm(x)); y.DType() != Float32 {
		t.Error(y.DType())
	}
}

func TestProfile(t *testing.T) {
	x := Must(Ones([]int64{2, 2}))
	trace := filepath.Join(t.TempDir(), "trace.json")
	found, err := Profile(func() error {
		before := MultiplyAdds()
		err := RecordFunction("mine", func() error {
			_, err := x.Mm(x)
			return err
		})
		if n := MultiplyAdds() - before; n != 8 {
			t.Error(n)
		}
		return err
	}, ProfileOptions{Shapes: true, Trace: trace})
	if err != nil || !strings.Contains(found.Table, "mine") || !strings.Contains(found.Events, "[2, 2], [2, 2]") {
		t.Fatal(err, found)
	}
	if data, err := os.ReadFile(trace); err != nil || !strings.Contains(string(data), "traceEvents") {
		t.Fatal(err, string(data))
	}
	text, err := Must(NewLinear(2, 3)).Summary(x)
	if err != nil || !strings.Contains(text, "Multiply-adds: 12") {
		t.Fatal(err, text)
	}
}

func TestContextStopsWhatRuns(t *testing.T) {
	x := Must(Ones([]int64{2, 2}))
	ctx, cancel := context.WithCancel(context.Background())
	err := WithContext(ctx, func() error {
		if _, err := x.Mm(x); err != nil {
			return err
		}
		cancel()
		for {
			if _, err := x.Mm(x); err != nil {
				return err
			}
		}
	})
	if !errors.Is(err, ErrorCancelled) || !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	if _, err := x.Mm(x); err != nil {
		t.Fatal(err)
	}
	if err := WithContext(ctx, func() error { return nil }); !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
}
