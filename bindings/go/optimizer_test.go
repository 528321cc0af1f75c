package taper

import (
	"bufio"
	"fmt"
	"math"
	"os"
	"strconv"
	"strings"
	"testing"
)

// makers are the optimisers of the specification by name.
func makers() map[string]func([]*Tensor) (*Optimizer, error) {
	return map[string]func([]*Tensor) (*Optimizer, error){
		"SGD":       func(p []*Tensor) (*Optimizer, error) { return NewSGD(p, 0.1) },
		"Adam":      func(p []*Tensor) (*Optimizer, error) { return NewAdam(p, 0.1) },
		"AdamW":     func(p []*Tensor) (*Optimizer, error) { return NewAdamW(p, func(o *AdamWOptions) { o.LR = 0.1 }) },
		"Adamax":    func(p []*Tensor) (*Optimizer, error) { return NewAdamax(p) },
		"NAdam":     func(p []*Tensor) (*Optimizer, error) { return NewNAdam(p) },
		"RAdam":     func(p []*Tensor) (*Optimizer, error) { return NewRAdam(p) },
		"RMSprop":   func(p []*Tensor) (*Optimizer, error) { return NewRMSprop(p) },
		"Rprop":     func(p []*Tensor) (*Optimizer, error) { return NewRprop(p) },
		"Adagrad":   func(p []*Tensor) (*Optimizer, error) { return NewAdagrad(p) },
		"Adadelta":  func(p []*Tensor) (*Optimizer, error) { return NewAdadelta(p) },
		"ASGD":      func(p []*Tensor) (*Optimizer, error) { return NewASGD(p) },
		"Adafactor": func(p []*Tensor) (*Optimizer, error) { return NewAdafactor(p) },
		"LBFGS": func(p []*Tensor) (*Optimizer, error) {
			return NewLBFGS(p, func(o *LBFGSOptions) { o.LR, o.MaxIter = 0.1, 4 })
		},
		"Muon": func(p []*Tensor) (*Optimizer, error) { return NewMuon(p) },
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// recorded calls f with the first float64 recording of each class.
func recorded(t *testing.T, f func(name, text string, lines map[int][]float64)) {
	file, err := os.Open("../../tests/fixtures/optimizers.txt")
	if err != nil {
		t.Skip(err)
	}
	defer file.Close()
	seen := map[string]bool{}
	var name, text string
	lines := map[int][]float64{}
	finish := func() {
		if name != "" {
			f(name, text, lines)
		}
	}
	s := bufio.NewScanner(file)
	s.Buffer(nil, 1<<20)
	skip := false
	for s.Scan() {
		l := s.Text()
		switch {
		case strings.HasPrefix(l, "== "):
			words := strings.Fields(l)
			skip = words[2] != "float64" || seen[words[1]]
			if !skip {
				finish()
				seen[words[1]] = true
				name, text, lines = words[1], "", map[int][]float64{}
			}
		case skip || strings.HasPrefix(l, "."):
		case strings.HasPrefix(l, "| "):
			text += l[2:] + "\n"
		default:
			n, rest, _ := strings.Cut(l, ": ")
			step, _ := strconv.Atoi(n)
			for _, w := range strings.Fields(rest) {
				v, _ := strconv.ParseFloat(w, 64)
				lines[step] = append(lines[step], v)
			}
		}
	}
	finish()
}

func TestOptimizersTakePyTorchsSteps(t *testing.T) {
	count := 0
	recorded(t, func(name, text string, lines map[int][]float64) {
		count++
		var params []*Tensor
		shapes, tolerance := [][]int64{{4, 3}, {7}}, 1e-10
		if name == "Muon" { // takes matrices alone, and multiplies in bfloat16
			shapes[1], tolerance = []int64{3, 5}, 2e-2
		}
		for k, shape := range shapes {
			n := int64(1)
			for _, size := range shape {
				n *= size
			}
			v := make([]float64, n)
			for i := range v {
				v[i] = float64(i-3)/4 + float64(k)
			}
			p := Must(FromSlice(v, shape...))
			must(t, p.SetRequiresGrad(true))
			params = append(params, p)
		}
		o := Must(makers()[name](params))
		if got := o.String() + "\n"; got != text {
			t.Errorf("%s prints\n%sinstead of\n%s", name, got, text)
		}
		compare := func(step int, got []float64) {
			for i, w := range lines[step] {
				if math.Abs(got[i]-w) > tolerance*math.Max(1, math.Abs(w)) {
					t.Fatalf("%s: step %d, element %d: %v instead of %v", name, step, i, got[i], w)
				}
			}
		}
		values := func() (all []float64) {
			for _, p := range params {
				all = append(all, Must(ToSlice[float64](p))...)
			}
			return all
		}
		for s := 0; s < 10; s++ {
			if name == "LBFGS" {
				if s == 3 {
					break
				}
				loss := Must(o.StepClosure(func() (*Tensor, error) { return objective(t, o, params) }))
				compare(s+1, append([]float64{Must(loss.Item()).Float64()}, values()...))
				continue
			}
			for k, p := range params {
				if k == 1 && s < 4 {
					continue
				}
				g := make([]float64, int(p.Numel()))
				for i := range g {
					g[i] = float64((s*31+i*17)%23-11) / float64(4+s)
				}
				must(t, p.SetGrad(Must(FromSlice(g, p.Sizes()...))))
			}
			must(t, o.Step())
			if _, found := lines[s+1]; found {
				compare(s+1, values())
			}
		}
	})
	if count != 14 {
		t.Errorf("%d optimisers were compared", count)
	}
}

func objective(t *testing.T, o *Optimizer, params []*Tensor) (*Tensor, error) {
	must(t, o.ZeroGrad())
	var total *Tensor
	for _, p := range params {
		n := int(p.Numel())
		c, w := make([]float64, n), make([]float64, n)
		for i := range c {
			c[i], w[i] = float64(i)/4-0.5, 1+float64(i)
		}
		d := Must(Must(p.Reshape([]int64{int64(n)})).Sub(Must(FromSlice(c, int64(n)))))
		square := Must(d.Mul(d))
		sum := Must(Must(Must(square.Mul(square)).Add(Must(square.Mul(Must(FromSlice(w, int64(n))))))).Sum())
		if total != nil {
			sum = Must(total.Add(sum))
		}
		total = sum
	}
	return total, total.Backward()
}

// halver steps along a part of the gradient, and keeps its last step.
type halver struct{}

func (halver) Step(o *Optimizer) error {
	params, err := o.Params(0)
	if err != nil {
		return err
	}
	rate, err := o.Option(0, "rate")
	if err != nil {
		return err
	}
	for _, p := range params {
		g, err := p.Grad()
		if err != nil || g == nil {
			return err
		}
		step := Must(g.MulScalar(Float(-rate.Float64())))
		if err := p.AddInPlace(step); err != nil {
			return err
		}
		if err := o.SetState(p, "last", step); err != nil {
			return err
		}
	}
	return nil
}

func TestOwnOptimizerAndOptions(t *testing.T) {
	p := Must(FromSlice([]float64{1, 2}, 2))
	must(t, p.SetRequiresGrad(true))
	o := Must(NewOwnOptimizer("Halver", []*Tensor{p}, halver{}))
	must(t, o.SetOption(0, "rate", Float(0.5)))
	must(t, p.SetGrad(Must(FromSlice([]float64{2, 2}, 2))))
	must(t, o.Step())
	if got := Must(ToSlice[float64](p)); fmt.Sprint(got) != "[0 1]" {
		t.Errorf("the step gives %v", got)
	}
	if s := Must(o.State(p, "last")); s == nil || fmt.Sprint(Must(ToSlice[float64](s))) != "[-1 -1]" {
		t.Errorf("the state is %v", s)
	}
	if got := o.String(); got != "Halver (\nParameter Group 0\n    rate: 0.5\n)" {
		t.Errorf("it prints %q", got)
	}

	q := Must(FromSlice([]float64{1}, 1))
	a := Must(NewAdamax([]*Tensor{p}))
	must(t, a.SetOptionValues(0, "betas", 0.5, 0.75))
	must(t, a.AddAdamaxGroup([]*Tensor{q}, func(o *AdamaxOptions) { o.LR = 0.25 }))
	if v := Must(a.OptionValues(0, "betas")); fmt.Sprint(v) != "[0.5 0.75]" {
		t.Errorf("betas are %v", v)
	}
	if v := Must(a.Option(1, "lr")); v.Float64() != 0.25 || a.NumGroups() != 2 {
		t.Errorf("the second group's rate is %v", v)
	}
	if _, err := a.Option(0, "beta"); err == nil || !strings.Contains(err.Error(), "has no option") {
		t.Errorf("an unknown option gives %v", err)
	}
}
