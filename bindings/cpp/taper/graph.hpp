/// Graphs: a device's work recorded once and queued again as a whole, so that small networks do not wait for the host.
#ifndef TAPER_GRAPH_HPP
#define TAPER_GRAPH_HPP

#include "device.hpp"

namespace taper {

/// Recorded work; CUDA devices alone have graphs (elsewhere: NotImplementedError).
///
///     step(); // once or twice as usual: kernels are built, gradients and optimiser state exist
///     auto graph = taper::Graph::capture(device, step);
///     x.copy_(next_input);
///     graph.replay();
///
/// Tensors made while recording hold nothing before the first replay. The graph keeps the memory that it works on.
class Graph {
  public:
    /// Records what `work` asks of the device. What `work` throws comes through, and nothing stays recorded.
    template <class F> static Graph capture(const Device &device, F &&work) {
        detail::check(taper_graph_begin(device.raw()));
        taper_graph *g = nullptr;
        try {
            std::forward<F>(work)();
        } catch (...) {
            taper_error_free(taper_graph_end(device.raw(), &g));
            taper_graph_free(g);
            throw;
        }
        detail::check(taper_graph_end(device.raw(), &g));
        return Graph(g);
    }
    /// Queues the recorded work again, with fresh random draws and the optimisers' next step.
    void replay() const { detail::check(taper_graph_replay(h_.get())); }
    /// Sets the learning rate of the recorded optimiser steps, from the next replay on; without it they keep the
    /// recorded one.
    void set_lr(double lr) const { detail::check(taper_graph_set_lr(h_.get(), lr)); }
    taper_graph *handle() const noexcept { return h_.get(); }

  private:
    explicit Graph(taper_graph *g) : h_(g, [](taper_graph *x) { taper_graph_free(x); }) {}
    std::shared_ptr<taper_graph> h_;
};

} // namespace taper

#endif
