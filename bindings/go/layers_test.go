package taper

import (
	"encoding/binary"
	"errors"
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

// What PyTorch's from_pretrained and forward(x, output_size=...) have.
func TestGivenTablesAndOutputSizes(t *testing.T) {
	table, _ := FromSlice([]float32{1, 2, 3, 4, 5, 6}, 3, 2)
	index, _ := FromSlice([]int64{2}, 1)
	for _, freeze := range []bool{false, true} {
		m, err := NewEmbeddingWith(3, 2, func(o *EmbeddingSettings) { o.Weight, o.Freeze = table, freeze })
		if err != nil {
			t.Fatal(err)
		}
		y, err := m.Forward(index)
		if err != nil {
			t.Fatal(err)
		}
		if v, err := Data[float32](y); err != nil || v[0] != 5 || v[1] != 6 {
			t.Error(v, err)
		}
		if w, err := m.Parameter("weight"); err != nil || w.RequiresGrad() == freeze || table.RequiresGrad() {
			t.Error("freeze", freeze, err)
		}
	}
	_, err := NewEmbeddingWith(2, 2, func(o *EmbeddingSettings) { o.Weight = table })
	if !errors.Is(err, ErrorValue) || !strings.Contains(err.Error(), "Shape of weight does not match num_embeddings and embedding_dim") {
		t.Error(err)
	}
	m, err := NewConvTranspose2d(1, 1, Ints(3), func(o *ConvTransposeSettings) { o.Stride = Ints(2) })
	if err != nil {
		t.Fatal(err)
	}
	x, _ := Ones(Ints(1, 1, 3, 3))
	for last, size := range map[int64][]int64{7: nil, 8: {8, 8}} {
		y, err := m.ConvTranspose2dForward(x, size)
		if err != nil || y.Size(-1) != last {
			t.Error(size, err)
		}
	}
	if _, err = m.ConvTranspose2dForward(x, Ints(9, 9)); !errors.Is(err, ErrorValue) {
		t.Error(err)
	}
}

// numbered are numbers that depend on their place, as in tests/attention.rs.
func numbered(t *testing.T, salt int, sizes ...int64) *Tensor {
	t.Helper()
	values := make([]float32, sizes[0]*sizes[1]*sizes[2])
	for k := range values {
		values[k] = float32((k*37+11+salt*13)%101)/50 - 1
	}
	return Must(FromSlice(values, sizes...))
}

// Ten steps of a small Transformer: the losses are PyTorch's.
func TestTransformer(t *testing.T) {
	recorded, err := os.ReadFile("../../tests/fixtures/transformer.txt")
	if err != nil {
		t.Fatal(err)
	}
	ManualSeed(2)
	m, err := NewTransformer(func(o *TransformerSettings) {
		o.DModel, o.Nhead, o.NumEncoderLayers, o.NumDecoderLayers, o.DimFeedforward = 8, 2, 1, 1, 16
		o.Dropout, o.BatchFirst = 0, true
	})
	if err != nil {
		t.Fatal(err)
	}
	adam := Must(NewAdam(Must(m.Parameters()), 0.01))
	mse := Must(NewMSELoss())
	mask := Must(GenerateSquareSubsequentMask(3))
	for step, line := range strings.Fields(string(recorded)) {
		var wanted float64
		if _, err := fmt.Sscan(line, &wanted); err != nil {
			t.Fatal(err)
		}
		x, y := numbered(t, step, 2, 4, 8), numbered(t, step+1, 2, 3, 8)
		Check(adam.ZeroGrad())
		out, err := m.TransformerForward(x, y, nil, mask, nil, nil, nil, nil, nil, nil, false)
		if err != nil {
			t.Fatal(err)
		}
		loss := Must(mse.Forward(out, y))
		Check(loss.Backward())
		Check(adam.Step())
		if got := Must(loss.Item()).Float64(); got-wanted > 1e-4 || wanted-got > 1e-4 {
			t.Errorf("step %d: %v, PyTorch's is %v", step, got, wanted)
		}
	}
}

// Inputs and outputs that may be absent, modules among the arguments, copies.
func TestAttention(t *testing.T) {
	m := Must(NewMultiheadAttention(8, 2))
	x := numbered(t, 0, 2, 4, 8)
	mask := Must(GenerateSquareSubsequentMask(2))
	y, weights, err := m.MultiheadAttentionForward(x, x, x, nil, mask, true, false, false)
	if err != nil || fmt.Sprint(y.Sizes(), weights.Sizes()) != "[2 4 8] [4 2 2 2]" {
		t.Error(y, weights, err)
	}
	if y, weights, err = m.MultiheadAttentionForward(x, x, x, nil, nil, false, true, false); err != nil || weights != nil {
		t.Error(y, weights, err)
	}
	if _, _, err = m.MultiheadAttentionForward(x, x, x, nil, nil, true, true, true); !errors.Is(err, ErrorRuntime) {
		t.Error(err)
	}
	if _, err = NewMultiheadAttention(8, 3); !errors.Is(err, ErrorValue) {
		t.Error(err)
	}
	layer := Must(NewTransformerEncoderLayer(8, 2, func(o *TransformerEncoderLayerSettings) { o.DimFeedforward = 16 }))
	norm := Must(NewLayerNormWith(Ints(8)))
	stack := Must(NewTransformerEncoder(layer, 2, func(o *TransformerEncoderSettings) { o.Norm = norm }))
	layer.Close()
	copied := Must(stack.Copy())
	if copied.String() != stack.String() {
		t.Error(copied)
	}
	if y, err = copied.TransformerEncoderForward(x, nil, nil, Ptr(false)); err != nil || y.Size(1) != 4 {
		t.Error(y, err)
	}
	if _, err = NewTransformerEncoder(nil, 2); err == nil {
		t.Error("a stack without a layer")
	}
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
