package taper

import (
	"errors"
	"strings"
	"testing"
)

func TestScopeFreesWhatWasMadeInIt(t *testing.T) {
	x := Must(FromSlice([]float32{1, 2, 3}, 3))
	defer x.Close()
	var lost, kept *Tensor
	before := handleCount()
	err := Scope(func() error {
		y, err := x.Add(x)
		if err != nil {
			return err
		}
		lost = y
		z, err := y.Mul(x)
		if err != nil {
			return err
		}
		kept = z.Keep()
		for range 50 {
			if _, err := y.Add(x); err != nil {
				return err
			}
		}
		if n := handleCount(); n < before+50 {
			t.Errorf("%d handles in the scope, %d before it", n, before)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if n := handleCount(); n > before+1 {
		t.Errorf("%d handles after the scope, %d before it and one kept", n, before)
	}
	if got := Must(ToSlice[float32](kept)); got[0] != 2 || got[1] != 8 || got[2] != 18 {
		t.Errorf("kept: %v", got)
	}
	kept.Close()
	if _, err := lost.Add(x); !errors.Is(err, ErrorInvalidHandle) {
		t.Errorf("a tensor of an ended scope gave %v", err)
	}
	lost.Close()
	if got := Must(ToSlice[float32](x)); got[2] != 3 {
		t.Errorf("x: %v", got)
	}
}

func TestScopesNestAndReturnErrors(t *testing.T) {
	wrong := errors.New("wrong")
	before := handleCount()
	var out *Tensor
	err := Scope(func() error {
		if err := Scope(func() error {
			out = Must(Ones([]int64{2})).Keep()
			return wrong
		}); err != wrong {
			t.Errorf("inner: %v", err)
		}
		// It belongs to the scope around now, and is kept once more.
		_, err := out.Keep().Add(out)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if got := Must(ToSlice[float32](out)); got[1] != 1 {
		t.Errorf("out: %v", got)
	}
	out.Close()
	var none *Tensor
	if none.Keep() != nil {
		t.Error("Keep of nil")
	}
	func() {
		defer func() {
			if recover() != "panic of f" {
				t.Error("the panic is gone")
			}
		}()
		_ = Scope(func() error {
			Must(Ones([]int64{3}))
			panic("panic of f")
		})
	}()
	if n := handleCount(); n > before {
		t.Errorf("%d handles after all, %d before", n, before)
	}
}

func TestTryTurnsMustIntoErrors(t *testing.T) {
	if err := Try(func() { Must(Ones([]int64{2})).Close() }); err != nil {
		t.Fatal(err)
	}
	reached := false
	err := Try(func() {
		x := Must(Ones([]int64{2}))
		defer x.Close()
		Must(x.Add(Must(Ones([]int64{3}))))
		reached = true
	})
	var e *Error
	if reached || !errors.As(err, &e) || !strings.Contains(err.Error(), "size") {
		t.Errorf("Try gave %v", err)
	}
	plain := errors.New("plain")
	if err := Try(func() { Check(plain) }); err != plain {
		t.Errorf("Check in Try: %v", err)
	}
	// Inside a scope: freed and reported.
	before := handleCount()
	if err := Scope(func() error { return Try(func() { Must(Ones([]int64{4})); Check(plain) }) }); err != plain {
		t.Errorf("Try in Scope: %v", err)
	}
	if n := handleCount(); n > before {
		t.Errorf("%d handles, %d before", n, before)
	}
	for name, f := range map[string]func(){
		"a text":   func() { panic("text") },
		"an index": func() { var s []int; _ = s[len(name(s))] },
	} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("Try swallowed %s", name)
				}
			}()
			_ = Try(f)
		}()
	}
}

// name is a length that the compiler does not know.
func name(s []int) string { return strings.Repeat("x", len(s)+1) }
