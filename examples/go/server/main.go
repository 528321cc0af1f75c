// An inference server: goroutines share one network, which tells digits apart.
//
//	scripts/example.sh go server                 measures itself with clients of its own, then ends
//	scripts/example.sh go server 100000          with that many requests
//	scripts/example.sh go server serve           serves until SIGTERM, on the port of 127.0.0.1 that it prints
//
// POST /digits with images of 64 float32 each (little endian) gives a byte, its digit, for each. After SIGTERM each connection
// gets the answer to what it has asked, which says that it is the last (Connection: close), then the program ends.
package main

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"net/http"
	"os"
	"os/signal"
	"runtime"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	taper "github.com/taper-torch/taper/bindings/go"
	"github.com/taper-torch/taper/examples/go/example"
)

const batch, pixels, most = 16, 64, 1 << 20

// patience is how long a connection may take after SIGTERM to ask for the last time.
const patience = 500 * time.Millisecond

var must = taper.Must[*taper.Tensor]

// train makes a network that has seen the digits three times.
func train() *taper.Module {
	taper.ManualSeed(0)
	images := must(example.Digits().View([]int64{-1, 1, 8, 8}))
	labels := must(must(taper.FromSlice(labels())).Cast(taper.Int64))
	padded := taper.ConvLayerOptions{Padding: []int64{1}}
	net := taper.Must(taper.NewSequential(
		taper.Must(taper.NewConv2d(1, 32, []int64{3}, padded)), taper.Must(taper.NewReLU()),
		taper.Must(taper.NewConv2d(32, 64, []int64{3}, padded)), taper.Must(taper.NewReLU()),
		taper.Must(taper.NewMaxPool2d([]int64{2}, nil, nil)), taper.Must(taper.NewFlatten()), taper.Must(taper.NewLinear(64*4*4, 10))))
	optimizer := taper.Must(taper.NewAdam(taper.Must(net.Parameters()), 1e-3))
	for range 3 {
		for start := int64(0); start+64 <= images.Size(0); start += 64 {
			x, y := must(images.Narrow(0, start, 64)), must(labels.Narrow(0, start, 64))
			example.Descend(optimizer, must(taper.CrossEntropy(must(net.Forward(x)), y)))
		}
	}
	return net
}

func labels() []uint8 {
	file, err := os.ReadFile("data/digits/train-labels-idx1-ubyte")
	taper.Check(err)
	return file[8:]
}

// server is the handler. As many requests are computed at once as there are cores, in the order in which they came: more at
// a time would only take the cores from each other in the middle of a request.
type server struct {
	net      *taper.Module
	cores    chan struct{}
	answered atomic.Int64
	ending   atomic.Bool
}

func (s *server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, most))
	if err != nil || len(body) == 0 || len(body)%(4*pixels) != 0 {
		http.Error(w, fmt.Sprintf("expected images of %d float32 each", pixels), http.StatusBadRequest)
		return
	}
	s.cores <- struct{}{}
	digits, err := s.classify(body)
	<-s.cores
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	s.answered.Add(1)
	if s.ending.Load() {
		w.Header().Set("Connection", "close")
	}
	_, _ = w.Write(digits)
}

// classify closes the tensors that it made at once: waiting for the collector would let memory grow.
func (s *server) classify(body []byte) (digits []byte, err error) {
	images := make([]float32, len(body)/4)
	for i := range images {
		images[i] = math.Float32frombits(binary.LittleEndian.Uint32(body[4*i:]))
	}
	err = taper.NoGrad(func() error {
		x, err := taper.FromSlice(images, int64(len(images)/pixels), 1, 8, 8)
		if err != nil {
			return err
		}
		defer x.Close()
		y, err := s.net.Forward(x)
		if err != nil {
			return err
		}
		defer y.Close()
		best, err := y.Argmax(taper.ArgmaxOptions{Dim: taper.Ptr(int64(1))})
		if err != nil {
			return err
		}
		defer best.Close()
		found, err := taper.ToSlice[int64](best)
		for _, d := range found {
			digits = append(digits, byte(d))
		}
		return err
	})
	return digits, err
}

// serve answers on a port of 127.0.0.1 until the context is done; it returns when all that had arrived is answered.
func (s *server) serve(ctx context.Context, ready func(address string)) error {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	h := &http.Server{Handler: s, ReadHeaderTimeout: 10 * time.Second}
	ended := make(chan error)
	go func() {
		<-ctx.Done()
		s.ending.Store(true)
		time.Sleep(patience)
		ended <- h.Shutdown(context.Background())
	}()
	ready(listener.Addr().String())
	if err := h.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return <-ended
}

type report struct {
	answered, cut int
	rate          float64
	median, late  time.Duration // `late`: one in a hundred takes longer
	right         float64
}

// ask has `clients` clients ask `requests` times together, or until the server ends.
func ask(address string, clients, requests int) (r report) {
	file, err := os.ReadFile("data/digits/train-images-idx3-ubyte")
	taper.Check(err)
	images, names := file[16:], labels()
	bodies := make([][]byte, 80)
	for k := range bodies {
		for i := range batch * pixels {
			bodies[k] = binary.LittleEndian.AppendUint32(bodies[k], math.Float32bits(float32(images[k*batch*pixels+i])/16))
		}
	}
	var wait sync.WaitGroup
	var lock sync.Mutex
	var all []time.Duration
	right := 0
	transport := &http.Transport{MaxIdleConnsPerHost: clients}
	client := http.Client{Transport: transport}
	defer transport.CloseIdleConnections()
	begun := time.Now()
	for c := range clients {
		wait.Add(1)
		go func() {
			defer wait.Done()
			for i := range requests / clients {
				k := (11*c + i) % len(bodies)
				start := time.Now()
				answer, err := client.Post("http://"+address+"/digits", "application/octet-stream", bytes.NewReader(bodies[k]))
				if err != nil {
					lock.Lock()
					r.cut++
					lock.Unlock()
					return
				}
				digits, err := io.ReadAll(answer.Body)
				_ = answer.Body.Close()
				took := time.Since(start)
				lock.Lock()
				all = append(all, took)
				for j, d := range digits {
					if err == nil && answer.StatusCode == http.StatusOK && d == names[k*batch+j] {
						right++
					}
				}
				lock.Unlock()
				if answer.Close {
					return // that was the last
				}
			}
		}()
	}
	wait.Wait()
	r.answered, r.rate = len(all), float64(len(all))/time.Since(begun).Seconds()
	if len(all) > 0 {
		slices.Sort(all)
		r.median, r.late, r.right = all[len(all)/2], all[len(all)*99/100], float64(right)/float64(len(all)*batch)
	}
	return r
}

// measure serves clients; with `after`, SIGTERM comes that much later.
func (s *server) measure(cores, clients, requests int, after time.Duration) (r report) {
	s.cores = make(chan struct{}, cores)
	s.ending.Store(false)
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	if after > 0 {
		time.AfterFunc(after, func() { taper.Check(syscall.Kill(os.Getpid(), syscall.SIGTERM)) })
	}
	asked := make(chan report)
	taper.Check(s.serve(ctx, func(address string) {
		go func() {
			r := ask(address, clients, requests)
			stop()
			asked <- r
		}()
	}))
	return <-asked
}

// memory is what tensors hold, in bytes, and what this process does, in KiB, when Go's collector has been there. The library keeps
// freed blocks for the next request, 64 MiB at most.
func memory() (held, resident int) {
	debug.FreeOSMemory()
	file, err := os.ReadFile("/proc/self/statm")
	taper.Check(err)
	pages := taper.Must(strconv.Atoi(strings.Fields(string(file))[1]))
	return int(taper.Must(taper.CPU.MemoryStats()).Allocated), pages * os.Getpagesize() / 1024
}

func say(what string, r report) {
	fmt.Printf("%-10s %6.0f requests/s  median %.2f ms, 99 of 100 within %.2f ms\n", what, r.rate,
		float64(r.median.Microseconds())/1000, float64(r.late.Microseconds())/1000)
}

func main() {
	quick, argument := example.Arguments("")
	taper.Check(taper.SetNumThreads(1)) // a request is one core's
	s := &server{net: train(), cores: make(chan struct{}, runtime.NumCPU())}
	if argument == "serve" {
		ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
		defer stop()
		taper.Check(s.serve(ctx, func(address string) { fmt.Println("serving on", address) }))
		fmt.Println(s.answered.Load(), "requests answered")
		return
	}
	requests := 20000
	if quick {
		requests = 2000
	} else if n, err := strconv.Atoi(argument); err == nil && n > 0 {
		requests = n
	}
	one := s.measure(1, 1, requests/4, 0)
	say("1 client", one)
	s.measure(runtime.NumCPU(), 8, requests/10, 0) // so that every thread has its memory
	tensors, before := memory()
	many := s.measure(runtime.NumCPU(), 8, requests, 0)
	held, grown := memory()
	held, grown = held-tensors, grown-before
	say("8 clients", many)
	fmt.Printf("throughput %.2f times, tensors %+d bytes, memory %+d KiB after %d requests, %.1f %% of the digits right\n",
		many.rate/one.rate, held, grown, many.answered, 100*many.right)
	cut := s.measure(runtime.NumCPU(), 8, 1<<30, time.Second)
	fmt.Printf("SIGTERM: %d answered, %d not\n", cut.answered, cut.cut)
	switch {
	case one.answered != requests/4 || many.answered < requests-8 || many.right < 0.9:
		taper.Check(errors.New("requests were not answered rightly"))
	case held > 4<<20 || grown > 64<<10: // scratch memory of threads that Go has begun meanwhile is held too
		taper.Check(errors.New("the memory grew"))
	case cut.answered == 0 || cut.cut != 0:
		taper.Check(errors.New("SIGTERM left requests without an answer"))
	}
}
