package taper

import (
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

func TestDeviceStrings(t *testing.T) {
	for text, want := range map[string]Device{"cpu": CPU, "cuda": CUDA, "opencl": OpenCL, "opencl:3": {DeviceOpenCL, 3}} {
		d, err := ParseDevice(text)
		if err != nil || d != want {
			t.Errorf("%s: %v, %v", text, d, err)
		}
	}
	if s := (Device{DeviceOpenCL, 3}).String(); s != "opencl:3" {
		t.Error(s)
	}
	if s := CPU.String() + (Device{}).String(); s != "cpunone" {
		t.Error(s)
	}
	_, err := ParseDevice("tpu")
	wantError(t, err, ErrorRuntime, "Expected one of cpu, cuda, opencl, meta")
	_, err = ParseDevice("cuda:x")
	wantError(t, err, ErrorRuntime, "Invalid device string: 'cuda:x'")
}

func TestDevices(t *testing.T) {
	all := Devices()
	if len(all) == 0 || all[0] != CPU {
		t.Fatal(all)
	}
	for _, d := range all {
		i := Must(d.Info())
		t.Logf("%v: %s, %s, %s, %d MB", d, i.Name, i.Platform, i.Version, i.TotalMemory>>20)
		if i.Device != d || i.Name == "" || !i.Supports(Float32) || i.Supports(DType(60)) || i.ComputeUnits < 1 {
			t.Errorf("%+v", i)
		}
		if found := Must(FindDevice(d.Type, strings.ToUpper(i.Name))); found.Type != d.Type {
			t.Error(found)
		}
		Check(d.Check())
		x := Must(Must(Zeros([]int64{1 << 20})).ToDevice(d))
		Check(d.Synchronize())
		if s := Must(d.MemoryStats()); s.Allocated < 4<<20 || s.AllocatedPeak < s.Allocated || s.Reserved == 0 {
			t.Errorf("%+v", s)
		}
		x.Close()
		Check(d.ResetPeakMemoryStats())
		Check(d.EmptyCache())
		free, total, err := d.MemoryInfo()
		if err != nil || free == 0 || free > total {
			t.Error(free, total, err)
		}
	}
	far := Device{DeviceOpenCL, 999}
	wantError(t, far.Check(), ErrorRuntime, "is not available: ")
	_, err := far.Info()
	wantError(t, err, ErrorRuntime, "is not available: ")
	_, err = Zeros([]int64{2}, ZerosOptions{Device: far})
	wantError(t, err, ErrorRuntime, "is not available: ")
	_, err = FindDevice(0, "no such device")
	wantError(t, err, ErrorRuntime, "no device is called 'no such device'; there are: ")
	wantError(t, SetDefaultDevice(far), ErrorRuntime, "is not available: ")
	if DefaultDevice() != CPU {
		t.Error(DefaultDevice())
	}
	_, err = DeviceCount(7)
	wantError(t, err, ErrorRuntime, "invalid device type 7")
}

// job is a small network with its optimiser.
type job struct {
	net       *Module
	optimizer *Optimizer
}

func newJob(d Device) job {
	ManualSeed(3)
	net := Must(NewSequential(Must(NewLinear(3, 4)), Must(NewTanh()), Must(NewLinear(4, 2))))
	Check(net.To(0, d))
	return job{net, Must(NewAdam(Must(net.Parameters()), 0.05))}
}

func (j job) step(t *testing.T, d Device) float64 {
	t.Helper()
	x := Must(Must(FromRows([][]float32{{1, 2, 3}, {-1, .5, 2}})).ToDevice(d))
	y := Must(Must(FromRows([][]float32{{1, 0}, {0, 1}})).ToDevice(d))
	Check(j.optimizer.ZeroGrad())
	loss := Must(MseLoss(Must(j.net.Forward(x)), y))
	if loss.Device() != d {
		t.Errorf("the loss is on %v, not on %v", loss.Device(), d)
	}
	Check(loss.Backward())
	Check(j.optimizer.Step())
	return Must(loss.Item()).Float64()
}

// Networks move between devices, their optimisers follow; what was saved on one is loaded on another.
func TestMoves(t *testing.T) {
	near := func(a, b float64) {
		t.Helper()
		if math.Abs(a-b) > 1e-5 {
			t.Errorf("%v differs from %v", a, b)
		}
	}
	for _, d := range Devices() {
		a, b := newJob(CPU), newJob(CPU)
		for i := range 8 {
			here := CPU
			if i/2%2 == 1 {
				here = d
			}
			Check(b.net.To(0, here))
			near(a.step(t, CPU), b.step(t, here))
		}
		weights, state := filepath.Join(t.TempDir(), "w.safetensors"), filepath.Join(t.TempDir(), "s.safetensors")
		Check(b.net.Save(weights))
		Check(b.optimizer.Save(state))
		next := b.step(t, d)
		for _, here := range []Device{CPU, d} {
			c := newJob(here)
			Check(c.net.Load(weights, true))
			Check(c.optimizer.Load(state))
			near(c.step(t, here), next)
		}
		e := newJob(CPU)
		Check(e.net.LoadStateDict(Must(b.net.StateDict()), true))
		Check(e.optimizer.LoadStateDict(Must(b.optimizer.StateDict())))
		near(e.step(t, CPU), b.step(t, d))
		loaded := Must(LoadTensors(weights, d))
		if x := Must(loaded.Get("0.weight")); x.Device() != d {
			t.Error(x.Device())
		}
	}
}

// The same tests in a process that sees no OpenCL platform.
func TestDevicesWithoutOpenCL(t *testing.T) {
	if n, _ := DeviceCount(DeviceOpenCL); n == 0 {
		t.Skip("this process sees none already")
	}
	command := exec.Command(os.Args[0], "-test.run", "^(TestDevices|TestMoves)$")
	command.Env = append(os.Environ(), "OCL_ICD_VENDORS=/nonexistent", "TAPER_TEST_DEVICE=")
	if out, err := command.CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}

func TestPrecision(t *testing.T) {
	Check(SetFloat32MatmulPrecision("high"))
	if Float32MatmulPrecision() != "high" {
		t.Error(Float32MatmulPrecision())
	}
	if err := SetFloat32MatmulPrecision("low"); err == nil {
		t.Error("low was accepted")
	}
	Check(SetFloat32MatmulPrecision("highest"))
	SetConvAllowTF32(false)
	if ConvAllowTF32() || Float32MatmulPrecision() != "highest" {
		t.Error(ConvAllowTF32(), Float32MatmulPrecision())
	}
	SetConvAllowTF32(true)
	winograd := ConvWinograd()
	SetConvWinograd(!winograd)
	if ConvWinograd() == winograd {
		t.Error(winograd)
	}
	SetConvWinograd(winograd)
}

func TestGraphs(t *testing.T) {
	_, err := CaptureGraph(CPU, func() error { return nil })
	wantError(t, err, ErrorNotImplemented, "graphs are captured on CUDA devices only, not on cpu")
	wantError(t, (&Graph{}).Replay(), ErrorInvalidHandle, "expected a graph handle, got NULL")
	if n, _ := DeviceCount(DeviceCUDA); n == 0 {
		t.Skip("there is no CUDA device")
	}
	x := Must(Must(FromRows([][]float32{{1, 2}})).ToDevice(CUDA))
	var y *Tensor
	work := func() error { y = Must(Must(x.MulScalar(Int(2))).Exp()); return nil }
	Check(work())
	g := Must(CaptureGraph(CUDA, work))
	defer g.Close()
	Check(x.CopyInPlace(Must(FromRows([][]float32{{0, 1}}))))
	Check(g.Replay())
	if v := values(t, Must(y.ToDevice(CPU))); math.Abs(v[0]-1) > 1e-6 || math.Abs(v[1]-math.Exp(2)) > 1e-4 {
		t.Error(v)
	}
}

func TestEvents(t *testing.T) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	devices := []Device{CPU}
	if n, _ := DeviceCount(DeviceCUDA); n > 0 {
		devices = append(devices, CUDA)
	}
	for _, d := range devices {
		start, end := Must(NewEvent(d)), Must(NewEvent(d))
		if done, err := start.Done(); !done || err != nil {
			t.Error(done, err)
		}
		_, err := end.Since(start)
		wantError(t, err, ErrorValue, "must be recorded")
		Check(start.Record())
		x := Must(Must(FromRows([][]float32{{1, 2}})).ToDevice(d))
		y := Must(x.MulScalar(Int(2)))
		Check(end.Record())
		Check(end.Synchronize())
		took, err := end.Since(start)
		if done := Must(end.Done()); err != nil || !done || took < 0 {
			t.Error(took, err, done)
		}
		if v := values(t, Must(y.ToDevice(CPU))); v[1] != 4 {
			t.Error(v)
		}
		Check(start.Close())
		Check(start.Close())
		wantError(t, start.Record(), ErrorInvalidHandle, "has been freed")
		Check(end.Close())
	}
	large := Must(Zeros([]int64{1 << 30, 1 << 30}, ZerosOptions{Device: Meta}))
	if d := Must(large.Relu()).Device(); d != Meta {
		t.Error(d)
	}
	_, err := large.ToDevice(CPU)
	wantError(t, err, ErrorNotImplemented, "Cannot copy out of meta tensor; no data!")
	_, err = NewEvent(Device{99, 0})
	wantError(t, err, ErrorRuntime, "invalid device type")
}

func TestLog(t *testing.T) {
	var said []string
	listen := func(level LogLevel, text string) {
		if strings.HasPrefix(text, "cpu: memory that was kept") && level == LogDebug {
			said = append(said, text)
		}
		panic("lost")
	}
	Check(SetLogCallback(listen, LogDebug))
	Check(CPU.EmptyCache())
	Check(SetLogCallback(listen, LogInfo))
	Check(CPU.EmptyCache())
	Check(SetLogCallback(nil, LogInfo))
	if len(said) != 1 {
		t.Error(said)
	}
	wantError(t, SetLogCallback(nil, 9), ErrorValue, "expected a TAPER_LOG_... code, got 9")
}
