"""Several threads on the same tensors, and processes forked in the middle."""

import os
import threading
import time

import pytest

import taper


def _threads(n, work):
    threads = [threading.Thread(target=work) for _ in range(n)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()


@pytest.mark.parametrize("hooked", [False, True])
def test_backward_passes_into_one_leaf_all_arrive(hooked):
    leaf = taper.ones(50_000, requires_grad=True)
    calls = []
    if hooked:
        leaf.register_post_accumulate_grad_hook(lambda p: calls.append(1))

    def work():
        for _ in range(20):
            (leaf * 2).sum().backward()

    _threads(4, work)
    assert leaf.grad.eq(160).all()
    assert len(calls) == (80 if hooked else 0)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
@pytest.mark.cpu_only("a child may not use a device that its parent uses")
def test_a_child_forked_during_backward_goes_on():
    leaf = taper.ones(200, requires_grad=True)
    over = threading.Event()

    def work():
        while not over.is_set():
            (leaf * leaf).sum().backward()
            leaf.detach().numpy()

    threads = [threading.Thread(target=work) for _ in range(2)]
    for t in threads:
        t.start()
    try:
        for _ in range(15):
            pid = os.fork()
            if pid == 0:
                leaf.grad = None
                (leaf * 3).sum().backward()
                leaf.data = taper.zeros(3)
                os._exit(0 if leaf.grad.shape == (200,) else 1)
            end = time.monotonic() + 20
            while (done := os.waitpid(pid, os.WNOHANG))[0] == 0 and time.monotonic() < end:
                time.sleep(0.001)
            if done[0] == 0:
                os.kill(pid, 9)
                os.waitpid(pid, 0)
            assert done == (pid, 0), "a child hangs or died"
    finally:
        over.set()
        for t in threads:
            t.join()


@pytest.mark.cpu_only("on a device whichever thread reads next hears of a bad index")
def test_indices_may_change_while_they_are_used():
    x, index = taper.rand(300, 40), taper.zeros(300, 40, dtype=taper.int64)
    over = threading.Event()

    def change():
        while not over.is_set():
            index.fill_(2**62)
            index.fill_(-5)
            index.fill_(299)

    t = threading.Thread(target=change)
    t.start()
    try:
        for _ in range(60):
            for use in (
                lambda: x.gather(0, index),
                lambda: x.clone().scatter_(0, index, x),
                lambda: x[index[:, 0]],
                lambda: (index > 0).nonzero(),
                lambda: index.flatten().bincount(minlength=3) if index.max() < 1000 else None,
            ):
                try:
                    use()
                except (IndexError, RuntimeError, MemoryError):
                    pass
    finally:
        over.set()
        t.join()
