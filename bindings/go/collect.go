package taper

import (
	"math/rand/v2"
	"runtime"
	"runtime/metrics"
	"sync"
	"sync/atomic"
	"time"
)

// Go's collector counts what a Tensor takes in Go's memory, a few words, and would let gigabytes of the library's wait
// for the next collection. So a collection is run when the library's memory on a device has grown by as much as was left
// after the last one, as the collector does with Go's own, but by no less than growthMin and no more than growthMax.
const (
	growthMin = 128 << 20
	growthMax = 1 << 30
	// How many tensors are made between two looks at most. The number is random, so that it falls in step with no loop.
	lookAfter = 32
	// How long to wait before looking again whether the cleanups are done.
	pause = 50 * time.Microsecond
)

var growth struct {
	left  atomic.Int64 // tensors until the next look
	mu    sync.Mutex
	limit map[Device]uint64
}

// relieve runs a collection when memory on the device of a new tensor has grown much; on most calls it only counts.
func relieve(t *Tensor) {
	if growth.left.Add(-1) > 0 || !growth.mu.TryLock() {
		return
	}
	defer growth.mu.Unlock()
	growth.left.Store(1 + rand.Int64N(lookAfter))
	device := t.Device()
	held := func() uint64 {
		m, err := device.MemoryStats()
		if err != nil {
			return 0
		}
		return m.Allocated
	}
	limit, known := growth.limit[device]
	if !known {
		limit = growthMin
	}
	if held() < limit {
		return
	}
	collect()
	left := held()
	if growth.limit == nil {
		growth.limit = make(map[Device]uint64)
	}
	growth.limit[device] = left + min(max(left, growthMin), growthMax)
}

// collect frees what nobody refers to any more: it runs the collector and waits for the cleanups.
func collect() {
	// Not all versions of Go count cleanups. Where they do not, one that was queued by a second collection says that
	// those of the first are done.
	sample := []metrics.Sample{{Name: "/gc/cleanups/queued:cleanups"}, {Name: "/gc/cleanups/executed:cleanups"}}
	for range 2 {
		done := make(chan struct{})
		runtime.AddCleanup(new(object), func(c chan struct{}) { close(c) }, done)
		runtime.GC()
		metrics.Read(sample)
		if sample[0].Value.Kind() == metrics.KindUint64 {
			queued := sample[0].Value.Uint64()
			for waited := time.Duration(0); sample[1].Value.Uint64() < queued && waited < time.Second; waited += pause {
				time.Sleep(pause)
				metrics.Read(sample)
			}
			return
		}
		select {
		case <-done:
		case <-time.After(time.Second):
		}
	}
}
