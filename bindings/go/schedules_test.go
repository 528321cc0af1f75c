package taper

import (
	"errors"
	"math"
	"os"
	"reflect"
	"strconv"
	"strings"
	"testing"
)

func twoGroups() *Optimizer {
	parameter := func() *Tensor {
		p := Must(Ones([]int64{1}))
		if err := p.SetRequiresGrad(true); err != nil {
			panic(err)
		}
		return p
	}
	o := Must(NewSGD([]*Tensor{parameter()}, 0.1, SGDOptions{Momentum: 0.9}))
	if err := o.AddSGDGroup([]*Tensor{parameter()}, 0.05, SGDOptions{Momentum: 0.9}); err != nil {
		panic(err)
	}
	return o
}

// each makes a function of the epoch for each group.
func each(f ...func(e float64) float64) ScheduleFunc {
	return func(s ScheduleStep) (float64, error) { return f[min(s.Group, len(f)-1)](float64(s.Epoch)), nil }
}
func half(float64) float64 { return 0.5 }

var three, nine, five, total int64 = 3, 9, 5, 45

var scheduleCases = map[string]func(o *Optimizer) (*Schedule, error){
	"LambdaLR.a": func(o *Optimizer) (*Schedule, error) {
		return NewLambdaLR(o, each(func(e float64) float64 { return 1.0 / (1.0 + e) }))
	},
	"LambdaLR.b": func(o *Optimizer) (*Schedule, error) {
		return NewLambdaLR(o, each(func(e float64) float64 { return 1.0 - e/100.0 }, half))
	},
	"MultiplicativeLR.a": func(o *Optimizer) (*Schedule, error) {
		return NewMultiplicativeLR(o, each(func(float64) float64 { return 0.95 }))
	},
	"MultiplicativeLR.b": func(o *Optimizer) (*Schedule, error) {
		return NewMultiplicativeLR(o, each(func(e float64) float64 { return 1.0 - 1.0/(e+2.0) }, half))
	},
	"StepLR.a": func(o *Optimizer) (*Schedule, error) { return NewStepLR(o, 3) },
	"StepLR.b": func(o *Optimizer) (*Schedule, error) {
		return NewStepLR(o, 7, func(s *StepLROptions) { s.Gamma = 0.7 })
	},
	"MultiStepLR.a": func(o *Optimizer) (*Schedule, error) { return NewMultiStepLR(o, []int64{2, 5, 5}) },
	"MultiStepLR.b": func(o *Optimizer) (*Schedule, error) {
		return NewMultiStepLR(o, []int64{30, 10, 20}, func(s *MultiStepLROptions) { s.Gamma = 0.3 })
	},
	"ConstantLR.a": func(o *Optimizer) (*Schedule, error) { return NewConstantLR(o) },
	"ConstantLR.b": func(o *Optimizer) (*Schedule, error) { return constantLR(o, 0.7, 11), nil },
	"LinearLR.a":   func(o *Optimizer) (*Schedule, error) { return NewLinearLR(o) },
	"LinearLR.b": func(o *Optimizer) (*Schedule, error) {
		return NewLinearLR(o, func(s *LinearLROptions) { s.StartFactor, s.EndFactor, s.TotalIters = 0.9, 0.1, 30 })
	},
	"ExponentialLR.a": func(o *Optimizer) (*Schedule, error) { return NewExponentialLR(o, 0.9) },
	"ExponentialLR.b": func(o *Optimizer) (*Schedule, error) { return NewExponentialLR(o, 1.01) },
	"SequentialLR.a": func(o *Optimizer) (*Schedule, error) {
		first, second := constantLR(o, 0.1, 2), Must(NewExponentialLR(o, 0.9))
		third := Must(NewStepLR(o, 4, func(s *StepLROptions) { s.Gamma = 0.5 }))
		return NewSequentialLR(o, []*Schedule{first, second, third}, []int64{2, 20})
	},
	"SequentialLR.b": func(o *Optimizer) (*Schedule, error) {
		first := Must(NewLinearLR(o, func(s *LinearLROptions) { s.TotalIters = 6 }))
		return NewSequentialLR(o, []*Schedule{first, Must(NewCosineAnnealingLR(o, 30))}, []int64{6})
	},
	"PolynomialLR.a": func(o *Optimizer) (*Schedule, error) { return NewPolynomialLR(o) },
	"PolynomialLR.b": func(o *Optimizer) (*Schedule, error) {
		return NewPolynomialLR(o, func(s *PolynomialLROptions) { s.TotalIters, s.Power = 33, 2.5 })
	},
	"CosineAnnealingLR.a": func(o *Optimizer) (*Schedule, error) { return NewCosineAnnealingLR(o, 10) },
	"CosineAnnealingLR.b": func(o *Optimizer) (*Schedule, error) {
		return NewCosineAnnealingLR(o, 7, func(s *CosineAnnealingLROptions) { s.EtaMin = 0.003 })
	},
	"ChainedScheduler.a": func(o *Optimizer) (*Schedule, error) {
		return NewChainedScheduler([]*Schedule{constantLR(o, 0.1, 4), Must(NewExponentialLR(o, 0.9))})
	},
	"ChainedScheduler.b": func(o *Optimizer) (*Schedule, error) {
		warm := Must(NewLinearLR(o, func(s *LinearLROptions) { s.StartFactor, s.TotalIters = 0.25, 4 }))
		step := Must(NewStepLR(o, 5, func(s *StepLROptions) { s.Gamma = 0.5 }))
		both := Must(NewChainedScheduler([]*Schedule{step, Must(NewExponentialLR(o, 0.95))}))
		return NewChainedScheduler([]*Schedule{both, warm})
	},
	"ReduceLROnPlateau.a": func(o *Optimizer) (*Schedule, error) {
		return NewReduceLROnPlateau(o, func(s *ReduceLROnPlateauOptions) { s.Patience = 2 })
	},
	"ReduceLROnPlateau.b": func(o *Optimizer) (*Schedule, error) {
		return NewReduceLROnPlateau(o, func(s *ReduceLROnPlateauOptions) {
			s.Mode, s.Factor, s.Patience, s.Threshold = "max", 0.5, 1, 0.01
			s.ThresholdMode, s.Cooldown, s.MinLR = "abs", 3, []float64{0.01, 0.002}
		})
	},
	"CyclicLR.a": func(o *Optimizer) (*Schedule, error) {
		return NewCyclicLR(o, []float64{0.01}, []float64{0.2}, func(s *CyclicLROptions) {
			s.StepSizeUp, s.Mode = 3, "triangular2"
		})
	},
	"CyclicLR.b": func(o *Optimizer) (*Schedule, error) {
		return NewCyclicLR(o, []float64{0.01, 0.02}, []float64{0.2, 0.3}, func(s *CyclicLROptions) {
			s.StepSizeUp, s.StepSizeDown, s.Mode, s.Gamma, s.CycleMomentum = 5, &three, "exp_range", 0.95, false
		})
	},
	"CyclicLR.c": func(o *Optimizer) (*Schedule, error) {
		return NewCyclicLR(o, []float64{0.01}, []float64{0.2}, func(s *CyclicLROptions) {
			s.StepSizeUp, s.ScaleMode, s.BaseMomentum = 4, "iterations", []float64{0.5}
			s.ScaleFn = each(func(x float64) float64 { return 1.0 / (1.0 + x) })
		})
	},
	"CosineAnnealingWarmRestarts.a": func(o *Optimizer) (*Schedule, error) { return NewCosineAnnealingWarmRestarts(o, 5) },
	"CosineAnnealingWarmRestarts.b": func(o *Optimizer) (*Schedule, error) {
		return NewCosineAnnealingWarmRestarts(o, 3, func(s *CosineAnnealingWarmRestartsOptions) {
			s.TMult, s.EtaMin = 2, 0.001
		})
	},
	"OneCycleLR.a": func(o *Optimizer) (*Schedule, error) {
		return NewOneCycleLR(o, []float64{0.5}, func(s *OneCycleLROptions) { s.TotalSteps = &total })
	},
	"OneCycleLR.b": func(o *Optimizer) (*Schedule, error) {
		return NewOneCycleLR(o, []float64{0.5, 0.4}, func(s *OneCycleLROptions) {
			s.Epochs, s.StepsPerEpoch, s.PctStart, s.AnnealStrategy = &five, &nine, 0.4, "linear"
			s.ThreePhase, s.DivFactor, s.FinalDivFactor = true, 10, 100
			s.BaseMomentum, s.MaxMomentum = []float64{0.8}, []float64{0.9}
		})
	},
	"SWALR.a": func(o *Optimizer) (*Schedule, error) { return NewSWALR(o, []float64{0.05}) },
	"SWALR.b": func(o *Optimizer) (*Schedule, error) {
		return NewSWALR(o, []float64{0.05, 0.01}, func(s *SWALROptions) { s.AnnealEpochs, s.AnnealStrategy = 25, "linear" })
	},
}

func constantLR(o *Optimizer, factor float64, iters int64) *Schedule {
	return Must(NewConstantLR(o, func(s *ConstantLROptions) { s.Factor, s.TotalIters = factor, iters }))
}

// Forty epochs are PyTorch's, to the last bit.
func TestSchedules(t *testing.T) {
	text, err := os.ReadFile("../../tests/fixtures/schedules.txt")
	if err != nil {
		t.Skip("the module is not in its checkout")
	}
	seen := 0
	for _, line := range strings.Split(strings.TrimSpace(string(text)), "\n") {
		words := strings.Fields(line)
		make, known := scheduleCases[words[0]]
		if !known {
			continue // by Adam, or to given epochs: C's
		}
		seen++
		o := twoGroups()
		s := Must(make(o))
		for i := 0; i < len(words)/3; i++ {
			e := float64(i - 1)
			if i > 0 && strings.HasPrefix(words[0], "ReduceLROnPlateau") {
				metric := 0.07
				if e < 12 {
					metric = 1.0 / (1 + e)
				}
				err = s.StepMetric(metric)
			} else if i > 0 {
				err = s.Step()
			}
			if err != nil {
				t.Fatal(words[0], err)
			}
			for g := 0; g < 2; g++ {
				want := Must(strconv.ParseFloat(words[1+3*i+g], 64))
				if lr := Must(o.GroupLR(g)); lr != want {
					t.Fatalf("%s, group %d, after %d steps: %v, recorded %v", words[0], g, i, lr, want)
				}
			}
		}
	}
	if seen != len(scheduleCases) {
		t.Error(seen, "of", len(scheduleCases), "cases are recorded")
	}
}

func TestOwnSchedule(t *testing.T) {
	o := twoGroups()
	far := errors.New("too far")
	s := Must(NewSchedule(o, "Half", func(s ScheduleStep) (float64, error) {
		if s.Epoch > 1 {
			return 0, far
		}
		return s.BaseLR / 2, nil
	}, -1))
	if err := s.Step(); err != nil || s.LastEpoch() != 1 {
		t.Error(err, s.LastEpoch())
	}
	if err := s.Step(); !errors.Is(err, far) {
		t.Error(err)
	}
	if rates := Must(s.LastLR()); !reflect.DeepEqual(rates, []float64{0.05, 0.025}) || s.String() != "Half()" {
		t.Error(rates, s)
	}
	if err := s.StepMetric(1); !errors.Is(err, ErrorType) {
		t.Error(err)
	}
	if _, err := NewLambdaLR(o, nil); !errors.Is(err, ErrorValue) {
		t.Error(err)
	}
	step := Must(NewStepLR(o, 2))
	again := Must(NewStepLR(twoGroups(), 3))
	if err := again.LoadStateDict(Must(step.StateDict())); err != nil || again.String() != "StepLR(step_size=2, gamma=0.1)" {
		t.Error(err, again)
	}
	if bases := Must(step.BaseLRs()); math.Abs(bases[0]-0.1) > 0 {
		t.Error(bases)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	if err := s.Step(); !errors.Is(err, ErrorInvalidHandle) {
		t.Error(err)
	}
}
