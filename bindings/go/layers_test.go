package taper

import (
	"encoding/binary"
	"fmt"
	"hash/fnv"
	"os"
	"strings"
	"testing"
)

// described is a module's line of tests/fixtures/layers.txt.
func described(t *testing.T, name string, m *Module) string {
	t.Helper()
	s := name + "|" + strings.ReplaceAll(m.String(), "\n", "\\n")
	state, err := m.StateDict()
	if err != nil {
		t.Fatal(err)
	}
	defer state.Close()
	for key, x := range state.All() {
		s += "|" + key
		if strings.HasPrefix(name, "Lazy") {
			continue
		}
		hash := fnv.New64a()
		var values any
		if x.DType() == Int64 {
			values, err = Data[int64](x)
		} else {
			values, err = Data[float32](x)
		}
		if err != nil {
			t.Fatal(err)
		}
		if err := binary.Write(hash, binary.LittleEndian, values); err != nil {
			t.Fatal(err)
		}
		sizes := strings.Trim(strings.ReplaceAll(fmt.Sprint(x.Sizes()), " ", ","), "[]")
		s += fmt.Sprintf(" %d %s %016x", x.DType().code(), sizes, hash.Sum64())
	}
	return s
}

// Every layer with its defaults: the printed form, the keys and the seeded values are those of Python's classes.
func TestEveryLayer(t *testing.T) {
	recorded, err := os.ReadFile("../../tests/fixtures/layers.txt")
	if err != nil {
		t.Fatal(err)
	}
	wanted := strings.Split(strings.TrimSuffix(string(recorded), "\n"), "\n")
	if len(wanted) != len(everyLayer) {
		t.Fatalf("%d layers are recorded, there are %d", len(wanted), len(everyLayer))
	}
	for i, l := range everyLayer {
		ManualSeed(0)
		m, err := l.make()
		if err != nil {
			t.Fatal(l.name, err)
		}
		if got := described(t, l.name, m); got != wanted[i] {
			t.Errorf("%s:\ngot      %s\nexpected %s", l.name, got, wanted[i])
		}
		m.Close()
	}
}
