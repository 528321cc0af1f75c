/// Errors of the library as exceptions, and exceptions of C++ on their way through the library.
#ifndef TAPER_ERROR_HPP
#define TAPER_ERROR_HPP

#include <taper.h>

#include <algorithm>
#include <exception>
#include <memory>
#include <mutex>
#include <set>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

namespace taper {

class Error;
namespace detail {
void remember(Error &e, const taper_error *from) noexcept;
std::shared_ptr<const taper_error> origin(const Error &e) noexcept;
} // namespace detail

/// What went wrong: message, code (TAPER_ERROR_...), op, argument index, and which module of a tree failed.
class Error : public std::runtime_error {
  public:
    Error(int32_t code, const std::string &message, std::string op = {}, int32_t argument = -1)
        : std::runtime_error(message), code_(code), op_(std::move(op)), argument_(argument) {}
    const char *what() const noexcept override { return text_ ? text_->c_str() : std::runtime_error::what(); }
    int32_t code() const noexcept { return code_; }
    const std::string &op() const noexcept { return op_; }
    int32_t argument() const noexcept { return argument_; }
    /// Path and printed form of the module that failed, like "0.fc (Linear(in_features=4, ...))"; what() ends in it. Empty
    /// where no module around the failing one was called.
    std::string module() const { return module_ ? *module_ : std::string(); }

  private:
    friend void detail::remember(Error &e, const taper_error *from) noexcept;
    friend std::shared_ptr<const taper_error> detail::origin(const Error &e) noexcept;
    int32_t code_;
    std::string op_;
    int32_t argument_;
    // Shared, since copying an exception must not throw.
    std::shared_ptr<const std::string> text_, module_;
    std::shared_ptr<const taper_error> origin_;
};
/// TAPER_ERROR_RUNTIME: shapes that do not match, a graph that was freed, a wrong device.
struct RuntimeError : Error {
    using Error::Error;
};
/// TAPER_ERROR_INDEX.
struct IndexError : Error {
    using Error::Error;
};
/// TAPER_ERROR_TYPE.
struct TypeError : Error {
    using Error::Error;
};
/// TAPER_ERROR_VALUE.
struct ValueError : Error {
    using Error::Error;
};
/// TAPER_ERROR_INVALID_HANDLE: an undefined tensor, an object that was moved from.
struct InvalidHandleError : ValueError {
    using ValueError::ValueError;
};
/// TAPER_ERROR_CALLBACK: a callback failed that was not written in C++ (exceptions of C++ come back as themselves).
struct CallbackError : Error {
    using Error::Error;
};
/// TAPER_ERROR_INTERNAL: a bug in Taper.
struct InternalError : Error {
    using Error::Error;
};
/// TAPER_ERROR_OUT_OF_MEMORY.
struct OutOfMemoryError : Error {
    using Error::Error;
};
/// TAPER_ERROR_NOT_IMPLEMENTED.
struct NotImplementedError : Error {
    using Error::Error;
};
/// TAPER_ERROR_IO.
struct IoError : Error {
    using Error::Error;
};
/// TAPER_ERROR_KEY.
struct KeyError : Error {
    using Error::Error;
};
/// TAPER_ERROR_CANCELLED.
struct CancelledError : Error {
    using Error::Error;
};

namespace detail {

/// Exceptions of C++ that travel through the library as an error's payload. An error may also carry a payload that
/// another language made: what is not in here is none of ours.
class Travelling {
  public:
    static void *board(std::exception_ptr e) {
        auto p = std::make_unique<std::exception_ptr>(std::move(e));
        const std::lock_guard<std::mutex> lock(mutex());
        seats().insert(p.get());
        return p.release();
    }
    static std::exception_ptr find(void *p) {
        const std::lock_guard<std::mutex> lock(mutex());
        return seats().count(p) ? *static_cast<std::exception_ptr *>(p) : std::exception_ptr();
    }
    static void leave(void *p) noexcept {
        {
            const std::lock_guard<std::mutex> lock(mutex());
            seats().erase(p);
        }
        delete static_cast<std::exception_ptr *>(p);
    }

  private:
    // Never destroyed: the last error may be freed while the process exits.
    static std::mutex &mutex() {
        static auto *m = new std::mutex;
        return *m;
    }
    static std::set<void *> &seats() {
        static auto *s = new std::set<void *>;
        return *s;
    }
};

/// Lets an exception remember the library's error that it stands for, and where in a tree of modules that happened.
inline void remember(Error &e, const taper_error *from) noexcept {
    try {
        taper_error *mine = taper_error_with_payload(from, nullptr, nullptr);
        e.origin_.reset(mine, [](const taper_error *x) { taper_error_free(const_cast<taper_error *>(x)); });
        if (const char *module = taper_error_module(from)) {
            e.module_ = std::make_shared<const std::string>(module);
            const char *message = taper_error_message(from);
            e.text_ = std::make_shared<const std::string>(message ? message : "");
        }
    } catch (...) { // no memory: the message stays as it is
    }
}
inline std::shared_ptr<const taper_error> origin(const Error &e) noexcept { return e.origin_; }

/// Throws E, which remembers e.
template <class E>
[[noreturn]] void throw_as(const taper_error *e, int32_t code, const std::string &message, const std::string &op,
                           int32_t argument) {
    E error(code, message, op, argument);
    remember(error, e);
    throw error;
}

[[noreturn]] inline void raise(taper_error *e) {
    struct Free {
        taper_error *e;
        ~Free() { taper_error_free(e); }
    } guard{e};
    const int32_t code = taper_error_code(e);
    // A C++ exception thrown in a callback comes back as itself. If the library threw it first, it now knows more about
    // where that was.
    if (const auto caught = Travelling::find(taper_error_payload(e))) {
        try {
            std::rethrow_exception(caught);
        } catch (Error &error) {
            if (origin(error)) {
                remember(error, e);
            }
            throw;
        }
    }
    const char *text = taper_error_message(e), *name = taper_error_op(e);
    const std::string message = text ? text : "unknown error", op = name ? name : "";
    const int32_t argument = taper_error_arg(e);
    switch (code) {
    case TAPER_ERROR_INDEX: throw_as<IndexError>(e, code, message, op, argument);
    case TAPER_ERROR_TYPE: throw_as<TypeError>(e, code, message, op, argument);
    case TAPER_ERROR_VALUE: throw_as<ValueError>(e, code, message, op, argument);
    case TAPER_ERROR_INVALID_HANDLE: throw_as<InvalidHandleError>(e, code, message, op, argument);
    case TAPER_ERROR_OUT_OF_MEMORY: throw_as<OutOfMemoryError>(e, code, message, op, argument);
    case TAPER_ERROR_NOT_IMPLEMENTED: throw_as<NotImplementedError>(e, code, message, op, argument);
    case TAPER_ERROR_IO: throw_as<IoError>(e, code, message, op, argument);
    case TAPER_ERROR_KEY: throw_as<KeyError>(e, code, message, op, argument);
    case TAPER_ERROR_CANCELLED: throw_as<CancelledError>(e, code, message, op, argument);
    case TAPER_ERROR_CALLBACK: throw_as<CallbackError>(e, code, message, op, argument);
    case TAPER_ERROR_INTERNAL: throw_as<InternalError>(e, code, message, op, argument);
    default: throw_as<RuntimeError>(e, code, message, op, argument);
    }
}
inline void check(taper_error *e) {
    if (e) {
        raise(e);
    }
}
/// A text for C, where a NUL would end it: another file would be written, another name looked up.
inline const char *text(const std::string &s) {
    if (s.find('\0') != std::string::npos) {
        throw ValueError(TAPER_ERROR_VALUE, "embedded null character: the text \"" + s.substr(0, s.find('\0')) +
                                                "\\0...\" goes on after a NUL, which the library would not see");
    }
    return s.c_str();
}
/// The exception in flight as an error for the library.
inline taper_error *capture() noexcept {
    try {
        std::string message = "a C++ callback threw";
        try {
            throw;
        } catch (const Error &e) {
            if (const auto from = origin(e)) {
                return taper_error_with_payload(from.get(), Travelling::board(std::current_exception()),
                                                Travelling::leave);
            }
            message = e.what();
        } catch (const std::exception &e) {
            message = e.what();
        } catch (...) { // thrown was something without words
        }
        return taper_error_new(TAPER_ERROR_CALLBACK, message.c_str(), Travelling::board(std::current_exception()),
                               Travelling::leave);
    } catch (...) {
        return taper_error_new(TAPER_ERROR_CALLBACK, "a C++ callback threw, and there was no memory to keep it",
                               nullptr, nullptr);
    }
}
inline std::string take_string(taper_string *s) {
    std::string text(taper_string_data(s), taper_string_len(s));
    taper_string_free(s);
    return text;
}
/// The lines of a text; none of an empty one.
inline std::vector<std::string> take_lines(taper_string *s) {
    const std::string text = take_string(s);
    std::vector<std::string> out;
    for (size_t at = 0; at < text.size();) {
        const size_t end = std::min(text.find('\n', at), text.size());
        out.push_back(text.substr(at, end - at));
        at = end + 1;
    }
    return out;
}

} // namespace detail

} // namespace taper

#endif
