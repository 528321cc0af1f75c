package taper

import (
	"os"
	"path/filepath"
	"reflect"
	"testing"
)

func TestFormats(t *testing.T) {
	dir := t.TempDir()
	n := Must(NewNamedTensors())
	Check(n.Insert("a.weight", Must(FromSlice([]float32{0, 1, 2, 3, 4, 5}, 3, 2))))
	Check(n.Insert("b", Must(FromSlice([]int64{7}, 1))))
	Check(n.SetMetadata("a.note", "text"))
	for _, format := range []string{"safetensors", "pt", "npz", "npz_compressed"} {
		path := filepath.Join(dir, format)
		Check(n.SaveAs(path, format))
		data, err := os.ReadFile(path)
		Check(err)
		for _, back := range []*NamedTensors{Must(LoadTensors(path, CPU)), Must(LoadTensorsFromMemory(data, CPU))} {
			if !Must(Must(back.Get("a.weight")).Equal(Must(n.Get("a.weight")))) || back.Len() != 2 {
				t.Error(format)
			}
		}
		if bytes := Must(n.ToMemory(format)); bytes.Numel() != int64(len(data)) {
			t.Error(format, bytes.Numel(), len(data))
		}
		_, err = LoadTensorsFromMemory(data[:len(data)-1], CPU)
		wantError(t, err, ErrorIO, "the bytes")
		for _, f := range []*TensorFile{Must(OpenTensors(path, true)), Must(OpenTensorsInMemory(data))} {
			d, sizes, err := f.About("a.weight")
			Check(err)
			if d != Float32 || !reflect.DeepEqual(sizes, []int64{3, 2}) || len(f.Names()) != 2 {
				t.Error(d, sizes, f.Names())
			}
			rows := Must(f.Rows("a.weight", -1, 9, CPU))
			if v := Must(ToSlice[float32](rows)); !reflect.DeepEqual(v, []float32{4, 5}) {
				t.Error(v)
			}
			_, err = f.Get("c", CPU)
			wantError(t, err, ErrorKey, "there is no tensor")
			Must(f.Metadata())
			Must(f.Format())
			Check(f.Close())
		}
	}
	if keys := Must(Must(n.Select("a.")).MetadataKeys()); !reflect.DeepEqual(keys, []string{"note"}) {
		t.Error(keys)
	}
	if files := Must(n.SaveSharded(dir, "", 24)); files != 2 || Must(LoadTensors(dir, CPU)).Len() != 2 {
		t.Error(files)
	}
	wantError(t, n.SaveAs(filepath.Join(dir, "x"), "gif"), ErrorValue, "there is no format")
	_, err := OpenTensors(filepath.Join(dir, "gone"), false)
	wantError(t, err, ErrorIO, "cannot read")
}

func TestPyTorchsFiles(t *testing.T) {
	n := Must(LoadTensors("../../tests/fixtures/files/checkpoint.pt", CPU))
	if v := Must(Must(n.Get("epoch")).Item()).Int64(); v != 3 {
		t.Error(v)
	}
	m := Must(NewLinear(4, 3))
	keys := Must(m.LoadKeys("../../tests/fixtures/files/state.pt", false))
	if !reflect.DeepEqual(keys.Missing, []string{"bias"}) || len(keys.Unexpected) != 9 {
		t.Error(keys)
	}
	_, err := m.LoadKeys("../../tests/fixtures/files/state.pt", true)
	wantError(t, err, ErrorRuntime, "Missing key(s)")
	_, err = m.LoadStateDictKeys(Must(n.Select("model.0.")), true)
	wantError(t, err, ErrorRuntime, "size mismatch for weight")
}

// A run in mixed precision that PyTorch saved goes on.
func TestPyTorchsRun(t *testing.T) {
	run := Must(LoadTensors("../../tests/fixtures/files/training.pt", CPU))
	after := Must(LoadTensors("../../tests/fixtures/files/training_after.pt", CPU))
	m := Must(NewLinear(3, 2))
	Must(m.LoadStateDictKeys(Must(run.Select("model.")), true))
	o := Must(NewAdam(Must(m.Parameters()), 1e-3))
	Check(o.LoadStateDict(Must(run.Select("optimizer."))))
	if Must(Must(run.Get("scaler.scale")).Item()).Float64() != 1024 {
		t.Error("the scaler's scale")
	}
	for _, p := range Must(m.Parameters()) {
		g := Must(Must(Must(Arange(Int(p.Numel()))).AddScalar(Int(1))).Cast(Float32))
		Check(p.SetGrad(Must(Must(g.View(p.Sizes())).DivScalar(Int(4)))))
	}
	Check(o.Step())
	none, ulp := 0.0, 1e-7
	for _, name := range []string{"weight", "bias"} {
		if !Must(Must(m.Parameter(name)).Allclose(Must(after.Get("model."+name)), AllcloseOptions{Rtol: &none, Atol: &ulp})) {
			t.Error("the run went on with other numbers:", name)
		}
	}
}

func TestCheckpoint(t *testing.T) {
	path := filepath.Join(t.TempDir(), "run")
	parts := func() Checkpoint {
		m := Must(NewLinear(3, 2))
		o := Must(NewAdam(Must(m.Parameters()), 1e-3))
		return Checkpoint{Models: []*Module{m}, Optimizers: []*Optimizer{o}, Schedules: []*Schedule{Must(NewStepLR(o, 2))}}
	}
	train := func(c Checkpoint) {
		Check(c.Optimizers[0].ZeroGrad())
		Check(Must(Must(c.Models[0].Forward(Must(Randn([]int64{4, 3})))).Sum()).Backward())
		Check(c.Optimizers[0].Step())
		Check(c.Schedules[0].Step())
	}
	a, b := parts(), parts()
	train(a)
	extra := Must(NewNamedTensors())
	Check(extra.SetMetadata("position", "7"))
	Check(a.Save(path, extra))
	train(a)
	train(a)
	back, keys, err := b.Load(path, true)
	Check(err)
	if v, ok, _ := back.Metadata("position"); v != "7" || !ok || len(keys.Missing) != 0 {
		t.Error(v, keys)
	}
	train(b)
	train(b)
	if !Must(Must(a.Models[0].Parameter("weight")).Equal(Must(b.Models[0].Parameter("weight")))) {
		t.Error("the run went on with other numbers")
	}
	_, _, err = Checkpoint{}.Load(path, true)
	wantError(t, err, ErrorValue, "has 1 models, but 0 were given")
}
