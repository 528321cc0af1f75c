"""Trains a small convolutional network to read handwritten digits, saves it, and reads some in a fresh process.

    make demo-python                                          from the root of the checkout
    scripts/example.sh python digits --epochs 5 --threads 1   with options
    scripts/example.sh python digits --data ~/mnist           on MNIST's four (unpacked) files
    scripts/example.sh python digits --device opencl          on an OpenCL device; cuda for CUDA

With matplotlib installed it also draws the loss curve and a grid of guesses.
"""

import argparse
import os
import pathlib
import subprocess
import sys
import time

import numpy as np

import taper as torch
import taper.nn as nn
import taper.nn.functional as F
from taper.safetensors import load_file, save_file

LEARNING_RATE = 2e-3
BATCH = 64
SHOWN = 8


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        # 1 input image channel, 6 output channels, 3x3 square convolution kernel
        self.conv1 = nn.Conv2d(1, 6, 3)
        self.conv2 = nn.Conv2d(6, 16, 3)
        # an affine operation: y = Wx + b
        self.fc1 = nn.Linear(16 * 6 * 6, 120)  # 6*6 from image dimension
        self.fc2 = nn.Linear(120, 84)
        self.fc3 = nn.Linear(84, 10)

    def forward(self, x):
        # Max pooling over a (2, 2) window
        x = F.max_pool2d(F.relu(self.conv1(x)), (2, 2))
        # If the size is a square you can only specify a single number
        x = F.max_pool2d(F.relu(self.conv2(x)), 2)
        x = x.view(-1, self.num_flat_features(x))
        x = F.relu(self.fc1(x))
        x = F.relu(self.fc2(x))
        x = self.fc3(x)
        return x

    def num_flat_features(self, x):
        size = x.size()[1:]  # all dimensions except the batch dimension
        num_features = 1
        for s in size:
            num_features *= s
        return num_features


def read_idx(path):
    """An IDX file: two zero bytes, 8 for bytes, the number of dimensions, big-endian sizes, elements."""
    try:
        raw = path.read_bytes()
    except OSError as error:
        sys.exit(
            f"digits: cannot open {path}: {error.strerror} (run from the root of the checkout, or give --data DIR)"
        )
    if len(raw) < 4 or raw[:3] != b"\0\0\x08":
        sys.exit(f"digits: {path} is not an IDX file of bytes")
    start = 4 + 4 * raw[3]
    sizes = np.frombuffer(raw[4:start], ">u4").astype(int)
    if len(raw) != start + sizes.prod():
        sys.exit(f"digits: {path} is truncated")
    return np.frombuffer(raw[start:], np.uint8).reshape(sizes)


def load(folder, part, device):
    """Images as float32 [n, 1, 32, 32] between 0 and 1, labels as int64 [n]."""
    raw = read_idx(folder / f"{part}-images-idx3-ubyte")
    labels = read_idx(folder / f"{part}-labels-idx1-ubyte")
    images = torch.tensor(raw).float()
    n, height, width = images.shape
    if (height, width) == (8, 8):  # every pixel repeated 4x4: `expand` does it with a stride of 0
        images = (images / 16).view(n, 8, 1, 8, 1).expand(n, 8, 4, 8, 4).reshape(n, 1, 32, 32)
    elif (height, width) == (28, 28):  # a border of two empty pixels
        padded = torch.zeros(n, 1, 32, 32)
        padded[:, 0, 2:30, 2:30] = images / 255
        images = padded
    else:
        sys.exit(f"digits: the images are {height}x{width}; this network reads 8x8 and 28x28")
    return images.to(device), torch.tensor(labels).long().to(device)


def show_progress(epoch, epochs, done, loss, images_per_second, last):
    """One line per epoch; on a terminal it is redrawn while the epoch runs."""
    if last or sys.stdout.isatty():
        bar = ("#" * round(done * 20)).ljust(20, ".")
        start = "\r" if sys.stdout.isatty() else ""
        line = f"{start}epoch {epoch:2d}/{epochs} [{bar}] loss {loss:.4f}  {images_per_second:6.0f} images/s"
        print(line, end="\n" if last else "", flush=True)


def train(net, images, labels, epochs):
    """Returns the loss of every step."""
    n = len(images)
    optimizer = torch.optim.Adam(net.parameters(), lr=LEARNING_RATE)
    losses = []
    for epoch in range(1, epochs + 1):
        # The rate falls in a straight line, so that the last epochs only polish.
        for group in optimizer.param_groups:
            group["lr"] = LEARNING_RATE * (1 - (epoch - 1) / epochs)
        begin, drawn, total = time.perf_counter(), 0.0, 0.0
        order = torch.randperm(n).to(images.device)
        for start in range(0, n, BATCH):
            batch = order[start : start + BATCH]
            optimizer.zero_grad()
            loss = F.cross_entropy(net(images[batch]), labels[batch])
            loss.backward()
            optimizer.step()

            losses.append(loss.item())
            total += losses[-1] * len(batch)
            seen, elapsed = start + len(batch), time.perf_counter() - begin
            if seen == n or elapsed - drawn > 0.05:
                drawn = elapsed
                show_progress(epoch, epochs, seen / n, total / seen, seen / elapsed, seen == n)
    return losses


def report_accuracy(net, images, labels):
    correct = 0
    with torch.no_grad():
        for start in range(0, len(images), 256):
            guess = net(images[start : start + 256]).argmax(1)
            correct += (guess == labels[start : start + 256]).sum().item()
    print(f"test accuracy {100 * correct / len(images):.2f} % ({correct} of {len(images)})")


def draw(images):
    """Pictures side by side, 16 characters wide and 8 high: a character is about twice as high as it is wide."""
    ink = " .:-=+*#%@"
    levels = images.reshape(len(images), 8, 4, 16, 2).mean((2, 4))
    for y in range(8):
        print("".join("".join(ink[int(v * 9 + 0.5)] for v in image[y]) + "  " for image in levels.tolist()))


def show_guesses(net, images, labels):
    torch.manual_seed(1)
    some = torch.randperm(len(images))[:SHOWN].to(images.device)
    images, labels = images[some], labels[some].tolist()
    with torch.no_grad():
        sure, guess = F.softmax(net(images), 1).max(1)
    captions = []
    for g, p, label in zip(guess.tolist(), sure.tolist(), labels):
        captions.append(f"{g} ({100 * p:.0f} %)" if g == label else f"{g}, but it is {label}")
    for first in range(0, SHOWN, 4):
        draw(images[first : first + 4].cpu())
        print("".join(caption.ljust(18) for caption in captions[first : first + 4]) + "\n")


def pyplot():
    try:
        import matplotlib
    except ImportError:
        return None
    matplotlib.use("Agg")  # files only, no window
    from matplotlib import pyplot

    return pyplot


def plot_losses(losses, steps_per_epoch, path):
    plt = pyplot()
    if plt is None:
        return
    smooth = [sum(losses[max(0, i - 9) : i + 1]) / min(i + 1, 10) for i in range(len(losses))]
    epochs = [i / steps_per_epoch for i in range(len(losses))]
    figure, axes = plt.subplots(figsize=(7, 3.2), layout="constrained")
    axes.plot(epochs, losses, color="#b8cbe0", linewidth=0.8, label="each step")
    axes.plot(epochs, smooth, color="#1f4e79", linewidth=1.6, label="mean of ten")
    axes.set(xlabel="epoch", ylabel="loss", yscale="log", title="Training on handwritten digits")
    axes.grid(alpha=0.3)
    axes.legend(frameon=False)
    figure.savefig(path, dpi=120)
    print(f"drew {path}")


def plot_guesses(net, images, labels, path):
    plt = pyplot()
    if plt is None:
        return
    with torch.no_grad():
        guess = net(images).argmax(1)
    # The wrong ones first, then others: a picture of successes alone would say little.
    wrong = (guess != labels).nonzero().flatten().tolist()
    right = (guess == labels).nonzero().flatten().tolist()
    chosen = (wrong[:10] + right)[:40]
    figure, axes = plt.subplots(4, 10, figsize=(9, 4.2), layout="constrained")
    for ax, i in zip(axes.flat, chosen):
        ax.imshow(images[i, 0].cpu().numpy(), cmap="gray_r")
        g, label = guess[i].item(), labels[i].item()
        ax.set_title(
            f"{g}" if g == label else f"{g}, is {label}", color="black" if g == label else "#c00000", fontsize=10
        )
        ax.axis("off")
    figure.savefig(path, dpi=120)
    print(f"drew {path}")


def describe(device):
    """A device with its name, and the number of threads on the CPU."""
    text = f"{device} ({torch.get_device_module(device).get_device_name(device)})"
    return f"{text}, {torch.get_num_threads()} threads" if device.type == "cpu" else text


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--epochs", type=int, help="how often the training images are seen")
    parser.add_argument(
        "--data", type=pathlib.Path, default=pathlib.Path("data/digits"), help="folder with four IDX files"
    )
    parser.add_argument("--weights", default="digits.safetensors", help="where the weights are saved")
    parser.add_argument("--pictures", type=pathlib.Path, help="folder for the pictures (default: that of the weights)")
    parser.add_argument("--device", default="cpu", help="cpu, opencl, opencl:N, cuda or cuda:N")
    parser.add_argument("--threads", type=int, help="threads on the CPU")
    parser.add_argument("--seed", type=int, default=0, help="the random numbers' seed")
    parser.add_argument("--predict", action="store_true", help="no training: load the weights and read some images")
    options = parser.parse_args()
    pictures = options.pictures or pathlib.Path(options.weights).parent

    torch.manual_seed(options.seed)
    if options.threads:
        torch.set_num_threads(options.threads)
    try:
        net = Net().to(options.device)
    except RuntimeError as error:  # says why, if there is no such device
        sys.exit(f"digits: {error}")
    test_images, test_labels = load(options.data, "t10k", options.device)

    if options.predict:
        net.load_state_dict(load_file(options.weights))
        net.eval()
        print(f"a fresh process loaded {options.weights}")
        report_accuracy(net, test_images, test_labels)
        show_guesses(net, test_images, test_labels)
        plot_guesses(net, test_images, test_labels, pictures / "guesses.png")
        return

    images, labels = load(options.data, "train", options.device)
    print(net)
    print(f"{len(images)} training images, {len(test_images)} test images, on {describe(images.device)}")
    begin = time.perf_counter()
    losses = train(net, images, labels, options.epochs or (30 if len(images) < 10000 else 2))
    print(f"trained in {time.perf_counter() - begin:.1f} s")
    net.eval()
    report_accuracy(net, test_images, test_labels)
    save_file(net.state_dict(), options.weights)
    print(f"saved the weights to {options.weights}")
    plot_losses(losses, -(-len(images) // BATCH), pictures / "loss.png")
    sys.exit(
        subprocess.run([sys.executable, os.path.abspath(__file__), *sys.argv[1:], "--predict"], check=False).returncode
    )


if __name__ == "__main__":
    main()
