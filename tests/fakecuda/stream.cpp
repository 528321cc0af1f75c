// The test double's libcuda: streams, events, capture, graphs.
//
// Work is executed as late as the rules allow: when something waits for it. What forgot to wait sees old memory.
// FAKECUDA_EAGER=1 executes everything at once.
#include "fake.h"

#include <chrono>

struct Event {
    unsigned flags;
    bool destroyed;
    // Records queued and carried out so far; a wait is for a number.
    unsigned long queued, done;
    Stream *last; // where it was recorded last
    double time;
    // The capture that recorded it last, and what that stream had seen then.
    Capture *capture;
    std::map<Stream *, unsigned long> seen;
};
struct Item {
    const char *what;
    Work work;
    // A wait for `event` to reach `version`, or (work empty, event set, record) a record of it.
    std::shared_ptr<Event> event;
    unsigned long version;
    bool record;
};
struct Stream {
    unsigned flags;
    int device;
    bool destroyed;
    std::deque<Item> items;
    bool running;
    // Capture in which this stream takes part.
    Capture *capture;
    unsigned long last;                       // number of its last node
    std::map<Stream *, unsigned long> seen;   // nodes of other streams that it waits for
};
struct Capture {
    Stream *origin;
    std::shared_ptr<Graph> graph;
    CUstreamCaptureMode mode;
    std::thread::id thread;
    bool spoiled;
    unsigned long id;
    std::set<Stream *> members;
};
struct Exec {
    std::shared_ptr<Graph> graph;
};

static std::set<Stream *> streams;
static std::map<CUevent, std::shared_ptr<Event>> events;
static std::set<Capture *> captures;
static std::map<CUgraph, std::shared_ptr<Graph>> graphs;
static std::map<CUgraphExec, std::shared_ptr<Exec>> execs;
static std::map<int, Stream *> legacy;
static unsigned long numbers;

static bool eager() {
    static bool e = env_number("FAKECUDA_EAGER", 0) != 0;
    return e;
}
static double now() {
    return std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now().time_since_epoch()).count();
}
static Stream *make_stream(unsigned flags) {
    auto *s = new Stream{flags, current_device(), false, {}, false, nullptr, 0, {}};
    streams.insert(s);
    return s;
}
// The stream behind a handle; null after a report when there is none.
static Stream *stream_of(CUstream handle, const char *who) {
    if (handle == nullptr || handle == CU_STREAM_LEGACY) {
        Stream *&s = legacy[current_device()];
        if (s == nullptr) s = make_stream(0);
        return s;
    }
    if (handle == CU_STREAM_PER_THREAD) {
        static thread_local std::map<int, Stream *> own;
        Stream *&s = own[current_device()];
        if (s == nullptr) s = make_stream(0);
        return s;
    }
    Stream *s = (Stream *)handle;
    if (!streams.count(s)) {
        misuse(CUDA_ERROR_INVALID_HANDLE, "%s: the stream does not exist or was destroyed", who);
        return nullptr;
    }
    return s;
}
static bool is_legacy(Stream *s) { return legacy.count(s->device) && legacy[s->device] == s; }

// --- carrying out ----------------------------------------------------------------------------------------------------

static CUresult drain_until(Stream *s, const std::function<bool()> &enough);

static CUresult carry_out(Item &item) {
    if (item.work) {
        CUresult r = item.work();
        if (r != CUDA_SUCCESS) set_sticky(r == CUDA_ERROR_INVALID_VALUE ? CUDA_ERROR_ILLEGAL_ADDRESS : r);
        return r;
    }
    Event *e = item.event.get();
    if (item.record) {
        e->done = item.version;
        e->time = now();
        return CUDA_SUCCESS;
    }
    if (e->done >= item.version) return CUDA_SUCCESS;
    Stream *other = nullptr;
    for (Stream *s : streams)
        for (auto &i : s->items)
            if (i.record && i.event.get() == e && i.version >= item.version) other = s;
    if (other == nullptr) return misuse(CUDA_ERROR_UNKNOWN, "a wait for an event that nothing will record");
    return drain_until(other, [e, &item] { return e->done >= item.version; });
}
static CUresult drain_until(Stream *s, const std::function<bool()> &enough) {
    CUresult first = CUDA_SUCCESS;
    while (!enough() && !s->items.empty() && !s->running) {
        Item item = std::move(s->items.front());
        s->items.pop_front();
        s->running = true;
        CUresult r = carry_out(item);
        s->running = false;
        if (first == CUDA_SUCCESS) first = r;
    }
    return first;
}
static CUresult drain_stream(Stream *s) {
    CUresult r = drain_until(s, [] { return false; });
    return r == CUDA_SUCCESS ? sticky() : r;
}
CUresult drain_everything() {
    CUresult first = CUDA_SUCCESS;
    std::vector<Stream *> all(streams.begin(), streams.end());
    for (Stream *s : all) {
        CUresult r = drain_stream(s);
        if (first == CUDA_SUCCESS) first = r;
    }
    return first;
}
// The default stream waits for all streams but the non-blocking ones.
CUresult drain_for_default() {
    CUresult first = CUDA_SUCCESS;
    std::vector<Stream *> all(streams.begin(), streams.end());
    for (Stream *s : all)
        if ((s->flags & CU_STREAM_NON_BLOCKING) == 0 && s->device == current_device()) {
            CUresult r = drain_stream(s);
            if (first == CUDA_SUCCESS) first = r;
        }
    return first;
}
CUresult drain(CUstream handle) {
    Stream *s = stream_of(handle, "wait");
    return s == nullptr ? CUDA_ERROR_INVALID_HANDLE : drain_stream(s);
}

// --- capture ---------------------------------------------------------------------------------------------------------

bool is_capturing(CUstream handle) {
    Stream *s = stream_of(handle, "capture status");
    return s != nullptr && s->capture != nullptr;
}
static CUresult spoil(Capture *c, CUresult code, const char *what, const char *why) {
    c->spoiled = true;
    return misuse(code, "%s while a stream is captured: %s", what, why);
}
static thread_local CUstreamCaptureMode thread_mode = CU_STREAM_CAPTURE_MODE_GLOBAL;

CUresult check_unsafe(const char *what) {
    for (Capture *c : captures) {
        if (c->mode == CU_STREAM_CAPTURE_MODE_RELAXED || thread_mode == CU_STREAM_CAPTURE_MODE_RELAXED) continue;
        if (c->mode == CU_STREAM_CAPTURE_MODE_THREAD_LOCAL && c->thread != std::this_thread::get_id()) continue;
        return spoil(c, CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED, what, "it may wait for the device");
    }
    return CUDA_SUCCESS;
}

static CUresult add(Stream *s, Item item) {
    s->items.push_back(std::move(item));
    // Enough is enough: a queue that nobody waits for must not eat the memory.
    if (eager() || s->items.size() > env_number("FAKECUDA_QUEUE", 4096)) return drain_stream(s);
    return CUDA_SUCCESS;
}
// Orders the default stream against the others, which wait for it and it for them.
static CUresult order(Stream *s, const char *what) {
    if (is_legacy(s)) {
        for (Capture *c : captures)
            if ((c->origin->flags & CU_STREAM_NON_BLOCKING) == 0)
                return spoil(c, CUDA_ERROR_STREAM_CAPTURE_IMPLICIT, what, "the default stream waits for blocking streams");
        std::vector<Stream *> all(streams.begin(), streams.end());
        for (Stream *other : all)
            if (other != s && (other->flags & CU_STREAM_NON_BLOCKING) == 0 && other->device == s->device) drain_stream(other);
    } else if ((s->flags & CU_STREAM_NON_BLOCKING) == 0 && legacy.count(s->device) && legacy[s->device] != nullptr)
        drain_stream(legacy[s->device]);
    return CUDA_SUCCESS;
}

CUresult enqueue(CUstream handle, const char *what, Work work) {
    Lock lock(big_lock());
    Stream *s = stream_of(handle, what);
    if (s == nullptr) return CUDA_ERROR_INVALID_HANDLE;
    if (sticky() != CUDA_SUCCESS) return sticky();
    if (s->capture != nullptr) {
        Capture *c = s->capture;
        if (c->spoiled) return CUDA_ERROR_STREAM_CAPTURE_INVALIDATED;
        auto node = std::make_shared<Node>();
        node->what = what;
        node->run = std::move(work);
        c->graph->nodes.push_back(node);
        s->last = ++numbers;
        return CUDA_SUCCESS;
    }
    if (CUresult r = order(s, what); r != CUDA_SUCCESS) return r;
    return add(s, Item{what, std::move(work), nullptr, 0, false});
}

#define ENTER(name)                                                  \
    Lock lock(big_lock());                                           \
    if (CUresult r_ = need_context(name); r_ != CUDA_SUCCESS) return r_
#define STREAM(s, handle, name)           \
    Stream *s = stream_of(handle, name);  \
    if (s == nullptr) return CUDA_ERROR_INVALID_HANDLE

API CUresult cuStreamBeginCapture_v2(CUstream handle, CUstreamCaptureMode mode) {
    ENTER("cuStreamBeginCapture");
    STREAM(s, handle, "cuStreamBeginCapture");
    if (is_legacy(s)) return misuse(CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED, "the default stream cannot be captured");
    if (s->capture != nullptr) return misuse(CUDA_ERROR_ILLEGAL_ADDRESS, "cuStreamBeginCapture: the stream is being captured already");
    auto *c = new Capture{s, std::make_shared<Graph>(), mode, std::this_thread::get_id(), false, ++numbers, {s}};
    captures.insert(c);
    s->capture = c;
    s->last = 0;
    s->seen.clear();
    return CUDA_SUCCESS;
}
API CUresult cuStreamEndCapture(CUstream handle, CUgraph *out) {
    ENTER("cuStreamEndCapture");
    STREAM(s, handle, "cuStreamEndCapture");
    *out = nullptr;
    Capture *c = s->capture;
    if (c == nullptr) return misuse(CUDA_ERROR_INVALID_VALUE, "cuStreamEndCapture: the stream is not being captured");
    if (c->origin != s) return misuse(CUDA_ERROR_STREAM_CAPTURE_UNMATCHED, "cuStreamEndCapture in another stream than the capture began in");
    if (c->mode != CU_STREAM_CAPTURE_MODE_RELAXED && c->thread != std::this_thread::get_id())
        return misuse(CUDA_ERROR_STREAM_CAPTURE_WRONG_THREAD, "cuStreamEndCapture in another thread");
    CUresult r = c->spoiled ? CUDA_ERROR_STREAM_CAPTURE_INVALIDATED : CUDA_SUCCESS;
    for (Stream *m : c->members) {
        if (m != s && r == CUDA_SUCCESS && s->seen[m] < m->last)
            r = misuse(CUDA_ERROR_STREAM_CAPTURE_UNJOINED, "a captured stream was not joined again before the capture ended");
        m->capture = nullptr;
    }
    for (auto &[handle_, e] : events)
        if (e->capture == c) e->capture = nullptr;
    if (r == CUDA_SUCCESS) {
        *out = (CUgraph)c->graph.get();
        graphs[*out] = c->graph;
    }
    captures.erase(c);
    delete c;
    return r;
}
API CUresult cuStreamIsCapturing(CUstream handle, CUstreamCaptureStatus *status) {
    ENTER("cuStreamIsCapturing");
    STREAM(s, handle, "cuStreamIsCapturing");
    *status = s->capture == nullptr ? CU_STREAM_CAPTURE_STATUS_NONE
              : s->capture->spoiled ? CU_STREAM_CAPTURE_STATUS_INVALIDATED
                                    : CU_STREAM_CAPTURE_STATUS_ACTIVE;
    return CUDA_SUCCESS;
}
API CUresult cuStreamGetCaptureInfo_v2(CUstream handle, CUstreamCaptureStatus *status, cuuint64_t *id, CUgraph *graph,
                                       const CUgraphNode **nodes, size_t *count) {
    CUresult r = cuStreamIsCapturing(handle, status);
    if (r != CUDA_SUCCESS || *status == CU_STREAM_CAPTURE_STATUS_NONE) return r;
    Lock lock(big_lock());
    Capture *c = stream_of(handle, "cuStreamGetCaptureInfo")->capture;
    if (id != nullptr) *id = c->id;
    if (graph != nullptr) *graph = (CUgraph)c->graph.get();
    if (nodes != nullptr) *nodes = nullptr;
    if (count != nullptr) *count = 0;
    return CUDA_SUCCESS;
}
API CUresult cuThreadExchangeStreamCaptureMode(CUstreamCaptureMode *mode) {
    std::swap(*mode, thread_mode);
    return CUDA_SUCCESS;
}

// --- streams ---------------------------------------------------------------------------------------------------------

API CUresult cuStreamCreateWithPriority(CUstream *out, unsigned flags, int) {
    ENTER("cuStreamCreate");
    if (flags > 1) return misuse(CUDA_ERROR_INVALID_VALUE, "cuStreamCreate: flags are %u", flags);
    *out = (CUstream)make_stream(flags);
    return CUDA_SUCCESS;
}
API CUresult cuStreamCreate(CUstream *out, unsigned flags) { return cuStreamCreateWithPriority(out, flags, 0); }
API CUresult cuStreamDestroy_v2(CUstream handle) {
    Lock lock(big_lock());
    if (handle == nullptr || handle == CU_STREAM_LEGACY || handle == CU_STREAM_PER_THREAD)
        return misuse(CUDA_ERROR_INVALID_HANDLE, "cuStreamDestroy of a default stream");
    STREAM(s, handle, "cuStreamDestroy");
    if (s->capture != nullptr) s->capture->spoiled = true;
    // The driver lets queued work finish.
    CUresult r = drain_stream(s);
    streams.erase(s);
    for (Capture *c : captures) c->members.erase(s);
    // Kept: the address must not become another stream's while somebody still holds it.
    s->destroyed = true;
    return r;
}
API CUresult cuStreamSynchronize(CUstream handle) {
    ENTER("cuStreamSynchronize");
    STREAM(s, handle, "cuStreamSynchronize");
    if (s->capture != nullptr) return spoil(s->capture, CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED, "cuStreamSynchronize", "the stream itself");
    if (is_legacy(s)) return drain_for_default();
    if (CUresult r = order(s, "cuStreamSynchronize"); r != CUDA_SUCCESS) return r;
    return drain_stream(s);
}
API CUresult cuStreamQuery(CUstream handle) {
    ENTER("cuStreamQuery");
    STREAM(s, handle, "cuStreamQuery");
    if (s->capture != nullptr) return spoil(s->capture, CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED, "cuStreamQuery", "the stream itself");
    if (s->items.empty()) return CUDA_SUCCESS;
    // Something moves, so that who polls gets there.
    Item *front = &s->items.front();
    drain_until(s, [s, front] { return s->items.empty() || &s->items.front() != front; });
    return CUDA_ERROR_NOT_READY;
}
API CUresult cuStreamGetFlags(CUstream handle, unsigned *flags) {
    ENTER("cuStreamGetFlags");
    STREAM(s, handle, "cuStreamGetFlags");
    *flags = s->flags;
    return CUDA_SUCCESS;
}
API CUresult cuStreamGetPriority(CUstream handle, int *priority) {
    ENTER("cuStreamGetPriority");
    STREAM(s, handle, "cuStreamGetPriority");
    (void)s;
    *priority = 0;
    return CUDA_SUCCESS;
}
API CUresult cuLaunchHostFunc(CUstream handle, CUhostFn f, void *user) {
    ENTER("cuLaunchHostFunc");
    return enqueue(handle, "cuLaunchHostFunc", [f, user] {
        f(user);
        return CUDA_SUCCESS;
    });
}

// --- events ----------------------------------------------------------------------------------------------------------

static std::shared_ptr<Event> event_of(CUevent handle, const char *who) {
    auto it = events.find(handle);
    if (it != events.end()) return it->second;
    misuse(CUDA_ERROR_INVALID_HANDLE, "%s: the event does not exist or was destroyed", who);
    return nullptr;
}
#define EVENT(e, handle, name)          \
    auto e = event_of(handle, name);    \
    if (e == nullptr) return CUDA_ERROR_INVALID_HANDLE

API CUresult cuEventCreate(CUevent *out, unsigned flags) {
    ENTER("cuEventCreate");
    auto e = std::make_shared<Event>(Event{flags, false, 0, 0, nullptr, 0, nullptr, {}});
    *out = (CUevent)e.get();
    events[*out] = e;
    return CUDA_SUCCESS;
}
API CUresult cuEventDestroy_v2(CUevent handle) {
    Lock lock(big_lock());
    EVENT(e, handle, "cuEventDestroy");
    static std::vector<std::shared_ptr<Event>> dead; // their addresses are not used again
    e->destroyed = true;
    dead.push_back(e);
    events.erase(handle);
    return CUDA_SUCCESS;
}
API CUresult cuEventRecord(CUevent event, CUstream handle) {
    ENTER("cuEventRecord");
    EVENT(e, event, "cuEventRecord");
    STREAM(s, handle, "cuEventRecord");
    e->last = s;
    e->capture = s->capture;
    if (s->capture != nullptr) {
        e->seen = s->seen;
        e->seen[s] = s->last;
        return CUDA_SUCCESS;
    }
    if (CUresult r = order(s, "cuEventRecord"); r != CUDA_SUCCESS) return r;
    return add(s, Item{"cuEventRecord", nullptr, e, ++e->queued, true});
}
API CUresult cuEventRecordWithFlags(CUevent event, CUstream handle, unsigned) { return cuEventRecord(event, handle); }
API CUresult cuStreamWaitEvent(CUstream handle, CUevent event, unsigned) {
    ENTER("cuStreamWaitEvent");
    STREAM(s, handle, "cuStreamWaitEvent");
    EVENT(e, event, "cuStreamWaitEvent");
    if (e->capture != nullptr) {
        if (s->capture != nullptr && s->capture != e->capture)
            return spoil(s->capture, CUDA_ERROR_STREAM_CAPTURE_MERGE, "cuStreamWaitEvent", "the event belongs to another capture");
        if (s->capture == nullptr) {
            if (is_legacy(s)) return spoil(e->capture, CUDA_ERROR_STREAM_CAPTURE_IMPLICIT, "cuStreamWaitEvent", "the default stream would join");
            s->capture = e->capture;
            s->capture->members.insert(s);
            s->last = 0;
            s->seen.clear();
        }
        for (auto &[other, n] : e->seen)
            if (s->seen[other] < n) s->seen[other] = n;
        return CUDA_SUCCESS;
    }
    if (s->capture != nullptr) {
        if (e->queued == e->done) return CUDA_SUCCESS;
        return spoil(s->capture, CUDA_ERROR_STREAM_CAPTURE_ISOLATION, "cuStreamWaitEvent", "the event was recorded outside the capture");
    }
    if (e->queued == e->done) return CUDA_SUCCESS;
    return add(s, Item{"cuStreamWaitEvent", nullptr, e, e->queued, false});
}
static CUresult reach(const std::shared_ptr<Event> &e) {
    unsigned long version = e->queued;
    if (e->done >= version) return sticky();
    Item wait{"wait", nullptr, e, version, false};
    CUresult r = carry_out(wait);
    return r == CUDA_SUCCESS ? sticky() : r;
}
API CUresult cuEventSynchronize(CUevent event) {
    ENTER("cuEventSynchronize");
    EVENT(e, event, "cuEventSynchronize");
    if (e->capture != nullptr) return spoil(e->capture, CUDA_ERROR_CAPTURED_EVENT, "cuEventSynchronize", "the event is part of the capture");
    return reach(e);
}
API CUresult cuEventQuery(CUevent event) {
    ENTER("cuEventQuery");
    EVENT(e, event, "cuEventQuery");
    if (e->capture != nullptr) return spoil(e->capture, CUDA_ERROR_CAPTURED_EVENT, "cuEventQuery", "the event is part of the capture");
    if (e->done >= e->queued) return CUDA_SUCCESS;
    // Ready at the next query.
    reach(e);
    return CUDA_ERROR_NOT_READY;
}
static CUresult elapsed(float *ms, CUevent from, CUevent to) {
    ENTER("cuEventElapsedTime");
    EVENT(a, from, "cuEventElapsedTime");
    EVENT(b, to, "cuEventElapsedTime");
    if (((a->flags | b->flags) & CU_EVENT_DISABLE_TIMING) != 0 || a->queued == 0 || b->queued == 0) return CUDA_ERROR_INVALID_HANDLE;
    if (a->done < a->queued || b->done < b->queued) return CUDA_ERROR_NOT_READY;
    *ms = (float)(b->time - a->time);
    return CUDA_SUCCESS;
}
API CUresult cuEventElapsedTime_v2(float *ms, CUevent from, CUevent to) { return elapsed(ms, from, to); }
API CUresult cuEventElapsedTime(float *ms, CUevent from, CUevent to) { return elapsed(ms, from, to); }

// --- graphs ----------------------------------------------------------------------------------------------------------

static std::shared_ptr<Graph> graph_of(CUgraph handle, const char *who) {
    auto it = graphs.find(handle);
    if (it != graphs.end()) return it->second;
    misuse(CUDA_ERROR_INVALID_VALUE, "%s: the graph does not exist or was destroyed", who);
    return nullptr;
}
API CUresult cuGraphCreate(CUgraph *out, unsigned) {
    ENTER("cuGraphCreate");
    auto g = std::make_shared<Graph>();
    *out = (CUgraph)g.get();
    graphs[*out] = g;
    return CUDA_SUCCESS;
}
API CUresult cuGraphInstantiateWithFlags(CUgraphExec *out, CUgraph handle, unsigned long long) {
    ENTER("cuGraphInstantiate");
    auto g = graph_of(handle, "cuGraphInstantiate");
    if (g == nullptr) return CUDA_ERROR_INVALID_VALUE;
    auto e = std::make_shared<Exec>();
    e->graph = std::make_shared<Graph>(*g);
    *out = (CUgraphExec)e.get();
    execs[*out] = e;
    return CUDA_SUCCESS;
}
API CUresult cuGraphUpload(CUgraphExec exec, CUstream) {
    ENTER("cuGraphUpload");
    return execs.count(exec) ? CUDA_SUCCESS : misuse(CUDA_ERROR_INVALID_VALUE, "cuGraphUpload: the graph does not exist");
}
API CUresult cuGraphLaunch(CUgraphExec handle, CUstream stream) {
    ENTER("cuGraphLaunch");
    auto it = execs.find(handle);
    if (it == execs.end()) return misuse(CUDA_ERROR_INVALID_VALUE, "cuGraphLaunch: the graph does not exist or was destroyed");
    auto e = it->second;
    if (is_capturing(stream)) {
        for (auto &n : e->graph->nodes) enqueue(stream, n->what.c_str(), n->run);
        return CUDA_SUCCESS;
    }
    return enqueue(stream, "cuGraphLaunch", [e] {
        counters().graphs++;
        for (auto &n : e->graph->nodes)
            if (CUresult r = n->run(); r != CUDA_SUCCESS) return r;
        return CUDA_SUCCESS;
    });
}
API CUresult cuGraphExecDestroy(CUgraphExec exec) {
    Lock lock(big_lock());
    if (!execs.count(exec)) return misuse(CUDA_ERROR_INVALID_VALUE, "cuGraphExecDestroy of something that is no graph");
    static std::vector<std::shared_ptr<Exec>> dead;
    execs[exec]->graph = std::make_shared<Graph>(*execs[exec]->graph);
    dead.push_back(execs[exec]);
    execs.erase(exec);
    return CUDA_SUCCESS;
}
API CUresult cuGraphDestroy(CUgraph graph) {
    Lock lock(big_lock());
    if (!graphs.count(graph)) return misuse(CUDA_ERROR_INVALID_VALUE, "cuGraphDestroy of something that is no graph");
    graphs.erase(graph);
    return CUDA_SUCCESS;
}
API CUresult cuGraphGetNodes(CUgraph handle, CUgraphNode *nodes, size_t *count) {
    ENTER("cuGraphGetNodes");
    auto g = graph_of(handle, "cuGraphGetNodes");
    if (g == nullptr) return CUDA_ERROR_INVALID_VALUE;
    if (nodes == nullptr) *count = g->nodes.size();
    else
        for (size_t i = 0; i < *count; i++) nodes[i] = i < g->nodes.size() ? (CUgraphNode)g->nodes[i].get() : nullptr;
    return CUDA_SUCCESS;
}
