// A network learns to balance a pole on a cart:  scripts/example.sh go cartpole [--quick] [PICTURE]
//
// REINFORCE: after each episode, what was done before much reward becomes likelier. The cart is that of Barto, Sutton and
// Anderson, "Neuronlike adaptive elements that can solve difficult learning control problems" (1983).
package main

import (
	"fmt"
	"math"

	taper "github.com/taper-torch/taper/bindings/go"
	"github.com/taper-torch/taper/examples/go/example"
)

const (
	gravity, cartMass, poleMass, halfLength, force, tick = 9.8, 1.0, 0.1, 0.5, 10.0, 0.02

	longest = 500 // steps, then the episode is over: well done
)

var must = taper.Must[*taper.Tensor]

// cartPole is the position, velocity, angle of the pole from upright and its angular velocity; float32, the same in every
// language.
type cartPole [4]float32

func newCartPole() cartPole {
	start := must(must(must(taper.Rand([]int64{4})).MulScalar(taper.Float(0.1))).SubScalar(taper.Float(0.05)))
	return cartPole(taper.Must(taper.ToSlice[float32](start)))
}

// step pushes to the left (0) or right (1) for 20 ms; it says whether the pole still stands and the cart is on its track.
func (c *cartPole) step(action int64) bool {
	x, v, angle, w := float64(c[0]), float64(c[1]), float64(c[2]), float64(c[3])
	sin, cos := math.Sincos(angle)
	strength := -force
	if action == 1 {
		strength = force
	}
	push := (strength + poleMass*halfLength*w*w*sin) / (cartMass + poleMass)
	wChange := (gravity*sin - cos*push) / (halfLength * (4.0/3 - poleMass*cos*cos/(cartMass+poleMass)))
	vChange := push - poleMass*halfLength*wChange*cos/(cartMass+poleMass)
	*c = cartPole{float32(x + tick*v), float32(v + tick*vChange), float32(angle + tick*w), float32(w + tick*wChange)}
	return math.Abs(float64(c[0])) <= 2.4 && math.Abs(float64(c[2])) <= 12*math.Pi/180
}

// play gives what was seen in an episode and what was done.
func play(policy *taper.Module) (states []float32, actions []int64) {
	cart := newCartPole()
	taper.Check(taper.NoGrad(func() error {
		for stands := true; stands && len(actions) < longest; {
			odds := must(policy.Forward(must(taper.FromSlice(cart[:]))))
			action := taper.Must(must(must(odds.Softmax(0)).Multinomial(1)).Item()).Int64()
			states, actions = append(states, cart[:]...), append(actions, action)
			stands = cart.step(action)
		}
		return nil
	}))
	return states, actions
}

func learn(policy *taper.Module, optimizer *taper.Optimizer, states []float32, actions []int64) {
	// What each action brought: a point for every step from there on, those far ahead counting less.
	worth, value := make([]float32, len(actions)), 0.0
	for i := len(worth) - 1; i >= 0; i-- {
		value = 1 + 0.99*value
		worth[i] = float32(value)
	}
	returns := must(taper.FromSlice(worth))
	spread := must(must(returns.Std()).AddScalar(taper.Float(1e-6)))
	returns = must(must(returns.Sub(must(returns.Mean()))).Div(spread))
	odds := must(policy.Forward(must(taper.FromSlice(states, int64(len(actions)), 4))))
	each := taper.CrossEntropyOptions{Reduction: "none"}
	surprise := must(taper.CrossEntropy(odds, must(taper.FromSlice(actions)), each))
	example.Descend(optimizer, must(must(surprise.Mul(returns)).Mean()))
}

func main() {
	quick, path := example.Arguments("cartpole.png")
	taper.ManualSeed(0)
	policy := taper.Must(taper.NewSequential(taper.Must(taper.NewLinear(4, 64)), taper.Must(taper.NewTanh()),
		taper.Must(taper.NewLinear(64, 2))))
	optimizer := taper.Must(taper.NewAdam(taper.Must(policy.Parameters()), 0.01))

	episodes, told := 300, 30
	if quick {
		episodes, told = 30, 10
	}
	var lengths, means []float64
	for episode := 1; episode <= episodes; episode++ {
		states, actions := play(policy)
		learn(policy, optimizer, states, actions)
		lengths = append(lengths, float64(len(actions)))
		recent, sum := lengths[max(0, episode-20):], 0.0
		for _, n := range recent {
			sum += n
		}
		means = append(means, sum/float64(len(recent)))
		if episode%told == 0 {
			fmt.Printf("episode %3d  %3.0f steps, %5.1f in the mean of the last %d\n", episode, lengths[episode-1],
				means[episode-1], len(recent))
		}
	}
	taper.Check(taper.SavePlot(path, []taper.Curve{
		{Label: "each episode", Values: must(taper.FromSlice(lengths))},
		{Label: "mean of twenty", Values: must(taper.FromSlice(means))},
	}, taper.PlotOptions{Title: "Steps until the pole fell"}))
	fmt.Println("drawn:", path)
}
