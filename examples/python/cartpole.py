"""A network learns to balance a pole on a cart:  scripts/example.sh python cartpole [--quick] [PICTURE]

REINFORCE: after each episode, what was done before much reward becomes likelier. The cart is that of Barto, Sutton and
Anderson, "Neuronlike adaptive elements that can solve difficult learning control problems" (1983).
"""

import math
import sys
from array import array

import taper as torch
import taper.nn as nn
import taper.nn.functional as F
from taper.utils.show import save_plot

GRAVITY, CART, POLE, HALF_LENGTH, FORCE, TICK = 9.8, 1.0, 0.1, 0.5, 10.0, 0.02
LONGEST = 500  # steps, then the episode is over: well done


class CartPole:
    """Position, velocity, angle of the pole from upright, its angular velocity; an episode ends where the pole has fallen
    or the cart has left the track."""

    def __init__(self):
        self.state = array("f", (torch.rand(4) * 0.1 - 0.05).tolist())  # float32: the same in every language

    def step(self, action):
        """Pushes to the left (0) or right (1) for 20 ms; says whether the pole still stands."""
        x, v, angle, w = self.state
        force = FORCE if action == 1 else -FORCE
        sin, cos = math.sin(angle), math.cos(angle)
        push = (force + POLE * HALF_LENGTH * w * w * sin) / (CART + POLE)
        w_change = (GRAVITY * sin - cos * push) / (HALF_LENGTH * (4 / 3 - POLE * cos * cos / (CART + POLE)))
        v_change = push - POLE * HALF_LENGTH * w_change * cos / (CART + POLE)
        self.state = array("f", (x + TICK * v, v + TICK * v_change, angle + TICK * w, w + TICK * w_change))
        return abs(self.state[0]) <= 2.4 and abs(self.state[2]) <= 12 * math.pi / 180


quick = "--quick" in sys.argv
path = next((a for a in sys.argv[1:] if a != "--quick"), "cartpole.png")

torch.manual_seed(0)
policy = nn.Sequential(nn.Linear(4, 64), nn.Tanh(), nn.Linear(64, 2))
optimizer = torch.optim.Adam(policy.parameters(), lr=0.01)

episodes = 30 if quick else 300
lengths, means = [], []
for episode in range(1, episodes + 1):
    cart, states, actions, stands = CartPole(), [], [], True
    while stands and len(states) < LONGEST:
        with torch.no_grad():
            chances = F.softmax(policy(torch.tensor(cart.state.tolist())), 0)
        states.append(cart.state.tolist())
        actions.append(torch.multinomial(chances, 1).item())
        stands = cart.step(actions[-1])

    # What each action brought: a point for every step from there on, those far ahead counting less.
    returns, value = [], 0.0
    for _ in states:
        value = 1 + 0.99 * value
        returns.insert(0, value)
    returns = torch.tensor(returns)
    returns = (returns - returns.mean()) / (returns.std() + 1e-6)
    surprise = F.cross_entropy(policy(torch.tensor(states)), torch.tensor(actions), reduction="none")
    loss = (surprise * returns).mean()
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()

    lengths.append(len(states))
    recent = lengths[-20:]
    means.append(sum(recent) / len(recent))
    if episode % (10 if quick else 30) == 0:
        print(f"episode {episode:3d}  {len(states):3d} steps, {means[-1]:5.1f} in the mean of the last {len(recent)}")

save_plot({"each episode": lengths, "mean of twenty": means}, path, "Steps until the pole fell")
print(f"drawn: {path}")
