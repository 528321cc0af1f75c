// A network learns to balance a pole on a cart:  scripts/example.sh cpp cartpole [--quick] [PICTURE]
//
// REINFORCE: after each episode, what was done before much reward becomes likelier. The cart is that of Barto, Sutton and
// Anderson, "Neuronlike adaptive elements that can solve difficult learning control problems" (1983).
#include "example.hpp"

#include <algorithm>
#include <cmath>
#include <numeric>

using namespace taper;
namespace F = taper::nn::functional;

constexpr double GRAVITY = 9.8, CART = 1.0, POLE = 0.1, HALF_LENGTH = 0.5, FORCE = 10.0, TICK = 0.02;
constexpr size_t LONGEST = 500; // steps, then the episode is over: well done

struct CartPole {
    // Position, velocity, angle of the pole from upright, its angular velocity; float32, the same in every language.
    std::vector<float> state = (rand({4}) * 0.1 - 0.05).to_vector<float>();

    // Pushes to the left (0) or right (1) for 20 ms; says whether the pole still stands and the cart is on its track.
    bool step(int64_t action) {
        const double x = state[0], v = state[1], angle = state[2], w = state[3];
        const double force = action == 1 ? FORCE : -FORCE, sine = std::sin(angle), cosine = std::cos(angle);
        const double push = (force + POLE * HALF_LENGTH * w * w * sine) / (CART + POLE);
        const double w_change =
            (GRAVITY * sine - cosine * push) / (HALF_LENGTH * (4.0 / 3 - POLE * cosine * cosine / (CART + POLE)));
        const double v_change = push - POLE * HALF_LENGTH * w_change * cosine / (CART + POLE);
        state = {float(x + TICK * v), float(v + TICK * v_change), float(angle + TICK * w), float(w + TICK * w_change)};
        return std::abs(state[0]) <= 2.4 && std::abs(state[2]) <= 12 * 3.14159265358979 / 180;
    }
};

int main(int argc, char **argv) {
    const Options o(argc, argv, "cartpole.png");
    manual_seed(0);
    nn::Sequential policy{nn::Linear(4, 64), nn::Tanh(), nn::Linear(64, 2)};
    optim::Adam optimizer(policy.parameters(), 0.01);

    const int episodes = o.quick ? 30 : 300;
    std::vector<double> lengths, means;
    for (int episode = 1; episode <= episodes; ++episode) {
        CartPole cart;
        std::vector<float> states;
        std::vector<int64_t> actions;
        for (bool stands = true; stands && actions.size() < LONGEST;) {
            const NoGrad no_grad;
            const Tensor chances = F::softmax(policy(from_data(cart.state.data(), {4})), 0);
            states.insert(states.end(), cart.state.begin(), cart.state.end());
            actions.push_back(chances.multinomial(1).item<int64_t>());
            stands = cart.step(actions.back());
        }

        // What each action brought: a point for every step from there on, those far ahead counting less.
        const int64_t steps = int64_t(actions.size());
        std::vector<float> worth(actions.size());
        double value = 0;
        for (size_t i = actions.size(); i-- > 0;)
            worth[i] = float(value = 1 + 0.99 * value);
        Tensor returns = from_data(worth.data(), {steps});
        returns = (returns - returns.mean()) / (returns.std() + 1e-6);
        const Tensor odds = policy(from_data(states.data(), {steps, 4}));
        const Tensor surprise = F::cross_entropy(odds, from_data(actions.data(), {steps}), {}, -100, "none");
        const Tensor loss = (surprise * returns).mean();
        optimizer.zero_grad();
        loss.backward();
        optimizer.step();

        lengths.push_back(double(steps));
        const int recent = std::min(episode, 20);
        means.push_back(std::accumulate(lengths.end() - recent, lengths.end(), 0.0) / recent);
        if (episode % (o.quick ? 10 : 30) == 0)
            std::printf("episode %3d  %3d steps, %5.1f in the mean of the last %d\n", episode, int(steps), means.back(),
                        recent);
    }

    const auto curve = [&](const std::vector<double> &v) { return from_data(v.data(), {int64_t(v.size())}); };
    save_plot({{"each episode", curve(lengths)}, {"mean of twenty", curve(means)}}, o.path, "Steps until the pole fell");
    std::printf("drawn: %s\n", o.path.c_str());
}
