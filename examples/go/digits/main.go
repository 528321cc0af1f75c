// Trains a small convolutional network to read handwritten digits, saves it, and reads some in a fresh process.
//
//	scripts/example.sh go digits --epochs 5
//
// A folder with MNIST's four files works too: --data DIR.
package main

import (
	"encoding/binary"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	taper "github.com/taper-torch/taper/bindings/go"
)

// net is conv 1-6-3, conv 6-16-3, pools, 576-120-84-10.
type net struct{ conv1, conv2, fc1, fc2, fc3 *taper.Module }

func (n *net) Forward(in ...*taper.Tensor) (*taper.Tensor, error) {
	x := in[0]
	// Each step's input is closed as soon as its output is there: autograd keeps what it needs by itself.
	step := func(f func(*taper.Tensor) (*taper.Tensor, error)) error {
		y, err := f(x)
		if err != nil {
			return err
		}
		if x != in[0] {
			taper.CloseAll(x)
		}
		x = y
		return nil
	}
	pool := func(x *taper.Tensor) (*taper.Tensor, error) { return x.MaxPool2d([]int64{2, 2}) }
	layer := func(m *taper.Module) func(*taper.Tensor) (*taper.Tensor, error) {
		return func(x *taper.Tensor) (*taper.Tensor, error) { return m.Forward(x) }
	}
	flat := func(x *taper.Tensor) (*taper.Tensor, error) {
		features := int64(1)
		for _, s := range x.Sizes()[1:] {
			features *= s
		}
		return x.View([]int64{-1, features})
	}
	for _, f := range []func(*taper.Tensor) (*taper.Tensor, error){
		layer(n.conv1), (*taper.Tensor).Relu, pool,
		layer(n.conv2), (*taper.Tensor).Relu, pool,
		flat,
		layer(n.fc1), (*taper.Tensor).Relu,
		layer(n.fc2), (*taper.Tensor).Relu,
		layer(n.fc3),
	} {
		if err := step(f); err != nil {
			return nil, err
		}
	}
	return x, nil
}

func newNet() *taper.Module {
	n := &net{
		conv1: taper.Must(taper.NewConv2d(1, 6, []int64{3})),
		conv2: taper.Must(taper.NewConv2d(6, 16, []int64{3})),
		fc1:   taper.Must(taper.NewLinear(16*6*6, 120)),
		fc2:   taper.Must(taper.NewLinear(120, 84)),
		fc3:   taper.Must(taper.NewLinear(84, 10)),
	}
	m := taper.Must(taper.NewModule("Net", n))
	taper.Check(m.RegisterModule("conv1", n.conv1))
	taper.Check(m.RegisterModule("conv2", n.conv2))
	taper.Check(m.RegisterModule("fc1", n.fc1))
	taper.Check(m.RegisterModule("fc2", n.fc2))
	taper.Check(m.RegisterModule("fc3", n.fc3))
	return m
}

// readIDX reads a file of bytes in the IDX format.
func readIDX(path string) *taper.Tensor {
	b, err := os.ReadFile(path)
	taper.Check(err)
	if len(b) < 4 || b[0] != 0 || b[1] != 0 || b[2] != 8 || len(b) < 4+4*int(b[3]) {
		taper.Check(fmt.Errorf("%s: not an IDX file of bytes", path))
	}
	var sizes []int64
	for i := range int(b[3]) {
		sizes = append(sizes, int64(binary.BigEndian.Uint32(b[4+4*i:])))
	}
	return taper.Must(taper.FromSlice(b[4+4*int(b[3]):], sizes...))
}

// images makes [n, 1, 32, 32] floats: 8x8 images repeat each pixel 4x4, 28x28 ones get a border.
func images(path string) *taper.Tensor {
	x := taper.Must(readIDX(path).Cast(taper.Float32))
	if x.Size(1) == 8 {
		x = taper.Must(x.RepeatInterleaveInt(4, taper.RepeatInterleaveIntOptions{Dim: taper.Ptr(int64(1))}))
		x = taper.Must(x.RepeatInterleaveInt(4, taper.RepeatInterleaveIntOptions{Dim: taper.Ptr(int64(2))}))
		x = taper.Must(x.DivScalar(taper.Float(16)))
	} else {
		x = taper.Must(taper.Pad(x, []int64{2, 2, 2, 2}))
		x = taper.Must(x.DivScalar(taper.Float(255)))
	}
	return taper.Must(x.Unsqueeze(1))
}
func labels(path string) *taper.Tensor { return taper.Must(readIDX(path).Cast(taper.Int64)) }

func accuracy(m *taper.Module, x, y *taper.Tensor) float64 {
	right := int64(0)
	taper.Check(m.Eval())
	taper.Check(taper.NoGrad(func() error {
		for i := int64(0); i < x.Size(0); i += 256 {
			end := min(i+256, x.Size(0))
			out := taper.Must(m.Forward(taper.Must(x.Get(taper.Range(i, end)))))
			guess := taper.Must(out.Argmax(taper.ArgmaxOptions{Dim: taper.Ptr(int64(1))}))
			hits := taper.Must(taper.Must(guess.Eq(taper.Must(y.Get(taper.Range(i, end))))).Sum())
			right += taper.Must(hits.Item()).Int64()
		}
		return nil
	}))
	taper.Check(m.Train(true))
	return float64(right) / float64(x.Size(0))
}

func show(image *taper.Tensor, guess, truth int64) {
	v := taper.Must(taper.ToSlice[float32](taper.Must(image.ToDevice(taper.CPU))))
	note := ""
	if guess != truth {
		note = "   <- wrong"
	}
	fmt.Printf("label %d, guess %d%s\n", truth, guess, note)
	for r := 0; r < 32; r += 4 {
		for c := 0; c < 32; c += 2 {
			fmt.Print(string(" .:-=+*#%@"[min(9, int(v[r*32+c]*9.99))]))
		}
		fmt.Println()
	}
}

type data struct{ trainX, trainY, testX, testY *taper.Tensor }

func load(dir string, where taper.Device) data {
	pair := func(kind string) (x, y *taper.Tensor) {
		x, y = images(filepath.Join(dir, kind+"-images-idx3-ubyte")), labels(filepath.Join(dir, kind+"-labels-idx1-ubyte"))
		if x.Size(0) != y.Size(0) {
			taper.Check(fmt.Errorf("%s: %d images but %d labels in the files %s-*", dir, x.Size(0), y.Size(0), kind))
		}
		return taper.Must(x.ToDevice(where)), taper.Must(y.ToDevice(where))
	}
	var d data
	d.trainX, d.trainY = pair("train")
	d.testX, d.testY = pair("t10k")
	return d
}

func report(m *taper.Module, d data) {
	fmt.Printf("test accuracy %.2f %% on %d images\n", 100*accuracy(m, d.testX, d.testY), d.testX.Size(0))
}

func train(m *taper.Module, d data, epochs int, where taper.Device) {
	move := func(t *taper.Tensor) *taper.Tensor { return taper.Must(t.ToDevice(where)) }
	const lr = 2e-3
	optimizer := taper.Must(taper.NewAdam(taper.Must(m.Parameters()), lr))
	criterion := taper.Must(taper.NewCrossEntropyLoss())
	n, batch := d.trainX.Size(0), int64(64)
	if epochs == 0 {
		epochs = 30
		if n >= 10000 {
			epochs = 2
		}
	}
	for epoch := range epochs {
		// The rate falls in a straight line, so that the last steps settle.
		taper.Check(optimizer.SetLR(lr * (1 - float64(epoch)/float64(epochs))))
		start, total := time.Now(), 0.0
		order := move(taper.Must(taper.Randperm(n)))
		for i := int64(0); i < n; i += batch {
			end := min(i+batch, n)
			pick := taper.Must(order.Get(taper.Range(i, end)))
			x, y := taper.Must(d.trainX.IndexSelect(0, pick)), taper.Must(d.trainY.IndexSelect(0, pick))
			out := taper.Must(m.Forward(x))
			loss := taper.Must(criterion.Forward(out, y))
			taper.Check(optimizer.ZeroGrad())
			taper.Check(loss.Backward())
			taper.Check(optimizer.Step())
			total += taper.Must(loss.Item()).Float64() * float64(end-i)
			taper.CloseAll(pick, x, y, out, loss)
			done := int(end * 20 / n)
			fmt.Printf("\repoch %2d/%d [%-20s] loss %.4f  %6.0f images/s", epoch+1, epochs,
				strings.Repeat("#", done), total/float64(end), float64(end)/time.Since(start).Seconds())
		}
		fmt.Println()
		taper.CloseAll(order)
	}
}

func main() {
	epochs := flag.Int("epochs", 0, "how often the training images are seen (0: 30, or 2 on MNIST)")
	dir := flag.String("data", "data/digits", "folder with four IDX files; MNIST's, unpacked, work")
	device := flag.String("device", "cpu", "cpu, opencl, opencl:N, cuda or cuda:N")
	weights := flag.String("weights", "digits.safetensors", "file for the weights")
	threads := flag.Int("threads", 0, "threads on the CPU (0: all)")
	seed := flag.Uint64("seed", 0, "seed of the random numbers")
	predict := flag.Bool("predict", false, "no training: load the weights and read some images")
	flag.Parse()
	defer func() {
		// What taper.Check and taper.Must found.
		if err, ok := recover().(error); ok {
			fmt.Fprintln(os.Stderr, "digits:", err)
			os.Exit(1)
		}
	}()

	where := taper.Must(taper.ParseDevice(*device))
	taper.Check(where.Check()) // says why, if there is no such device
	if *threads != 0 {
		taper.Check(taper.SetNumThreads(*threads))
	}
	taper.ManualSeed(*seed)
	d := load(*dir, where)
	m := newNet()
	if *predict {
		taper.Check(m.Load(*weights, true))
		taper.Check(m.To(0, where))
		fmt.Println("a fresh process loaded", *weights)
		report(m, d)
		taper.Check(m.Eval())
		taper.Check(taper.NoGrad(func() error {
			for i := range int64(3) {
				// The network takes mini-batches only: Unsqueeze(0) makes one of a single image.
				image := taper.Must(d.testX.Get(taper.At(i)))
				out := taper.Must(m.Forward(taper.Must(image.Unsqueeze(0))))
				guess := taper.Must(taper.Must(out.Argmax()).Item()).Int64()
				show(image, guess, taper.Must(taper.Must(d.testY.Get(taper.At(i))).Item()).Int64())
			}
			return nil
		}))
		return
	}
	fmt.Println(m)
	taper.Check(m.To(0, where))
	fmt.Printf("%d training images, %d test images, on %v (%s)\n", d.trainX.Size(0), d.testX.Size(0), where,
		taper.Must(where.Info()).Name)
	train(m, d, *epochs, where)
	report(m, d)
	taper.Check(m.Save(*weights))
	fmt.Println("saved the weights to", *weights)

	// Again, in a fresh process that only knows the file.
	again := exec.Command(os.Args[0], append(os.Args[1:], "--predict")...)
	again.Stdout, again.Stderr = os.Stdout, os.Stderr
	taper.Check(again.Run())
}
