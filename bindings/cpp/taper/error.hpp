/// Errors of the library as exceptions, and exceptions of C++ on their way through the library.
#ifndef TAPER_ERROR_HPP
#define TAPER_ERROR_HPP

#include <taper.h>

#include <exception>
#include <memory>
#include <mutex>
#include <set>
#include <stdexcept>
#include <string>
#include <utility>

namespace taper {

/// What went wrong: message, code (TAPER_ERROR_...), op and argument index.
class Error : public std::runtime_error {
  public:
    Error(int32_t code, const std::string &message, std::string op = {}, int32_t argument = -1)
        : std::runtime_error(message), code_(code), op_(std::move(op)), argument_(argument) {}
    int32_t code() const noexcept { return code_; }
    const std::string &op() const noexcept { return op_; }
    int32_t argument() const noexcept { return argument_; }

  private:
    int32_t code_;
    std::string op_;
    int32_t argument_;
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

[[noreturn]] inline void raise(taper_error *e) {
    struct Free {
        taper_error *e;
        ~Free() { taper_error_free(e); }
    } guard{e};
    const int32_t code = taper_error_code(e);
    // A C++ exception thrown in a callback comes back as itself.
    if (code == TAPER_ERROR_CALLBACK) {
        if (const auto caught = Travelling::find(taper_error_payload(e))) {
            std::rethrow_exception(caught);
        }
    }
    const char *text = taper_error_message(e), *name = taper_error_op(e);
    const std::string message = text ? text : "unknown error", op = name ? name : "";
    const int32_t argument = taper_error_arg(e);
    switch (code) {
    case TAPER_ERROR_INDEX: throw IndexError(code, message, op, argument);
    case TAPER_ERROR_TYPE: throw TypeError(code, message, op, argument);
    case TAPER_ERROR_VALUE: throw ValueError(code, message, op, argument);
    case TAPER_ERROR_INVALID_HANDLE: throw InvalidHandleError(code, message, op, argument);
    case TAPER_ERROR_OUT_OF_MEMORY: throw OutOfMemoryError(code, message, op, argument);
    case TAPER_ERROR_NOT_IMPLEMENTED: throw NotImplementedError(code, message, op, argument);
    case TAPER_ERROR_IO: throw IoError(code, message, op, argument);
    case TAPER_ERROR_KEY: throw KeyError(code, message, op, argument);
    case TAPER_ERROR_CALLBACK: throw CallbackError(code, message, op, argument);
    case TAPER_ERROR_INTERNAL: throw InternalError(code, message, op, argument);
    default: throw RuntimeError(code, message, op, argument);
    }
}
inline void check(taper_error *e) {
    if (e) {
        raise(e);
    }
}
/// The exception in flight as an error for the library.
inline taper_error *capture() noexcept {
    try {
        std::string message = "a C++ callback threw";
        try {
            throw;
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

} // namespace detail

} // namespace taper

#endif
