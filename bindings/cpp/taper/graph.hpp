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
    /// Sets the learning rate of the recorded optimiser steps, from the next replay on, until an optimiser's own is set,
    /// which the graph follows.
    void set_lr(double lr) const { detail::check(taper_graph_set_lr(h_.get(), lr)); }
    taper_graph *handle() const noexcept { return h_.get(); }

  private:
    explicit Graph(taper_graph *g) : h_(g, [](taper_graph *x) { taper_graph_free(x); }) {}
    std::shared_ptr<taper_graph> h_;
};

/// A point in a device's queue. On CUDA recording waits for nothing; other devices are waited for.
///
///     taper::Event start(device), end(device);
///     start.record(); work(); end.record(); end.synchronize();
///     double ms = end.since(start);
class Event {
  public:
    explicit Event(const Device &device = Device::cpu(), bool timing = true) {
        taper_event *e = nullptr;
        detail::check(taper_event_new(device.raw(), timing, &e));
        h_ = std::shared_ptr<taper_event>(e, [](taper_event *x) { taper_event_free(x); });
    }
    /// Marks this point of what this thread queues.
    void record() const { detail::check(taper_event_record(h_.get())); }
    /// Whether the device has done what was queued before; true for an event that was never recorded.
    bool done() const {
        bool out = false;
        detail::check(taper_event_query(h_.get(), &out));
        return out;
    }
    /// Waits, on the host, until it has.
    void synchronize() const { detail::check(taper_event_synchronize(h_.get())); }
    /// What this thread queues from here on is done after the event.
    void wait() const { detail::check(taper_event_wait(h_.get())); }
    /// The device's milliseconds from an earlier event to this one; both must be done.
    double since(const Event &earlier) const {
        double ms = 0;
        detail::check(taper_event_elapsed_time(earlier.h_.get(), h_.get(), &ms));
        return ms;
    }
    taper_event *handle() const noexcept { return h_.get(); }

  private:
    std::shared_ptr<taper_event> h_;
};

} // namespace taper

#endif
