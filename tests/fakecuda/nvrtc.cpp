// The test double's libnvrtc: compiles kernels for the host, with prelude_host.h in the place of the CUDA prelude.
// Results are kept by hash in FAKECUDA_CACHE (beside the library when unset).
#include "fake.h"

#include <dlfcn.h>
#include <fcntl.h>
#include <spawn.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

typedef enum {
    NVRTC_SUCCESS = 0,
    NVRTC_ERROR_OUT_OF_MEMORY = 1,
    NVRTC_ERROR_PROGRAM_CREATION_FAILURE = 2,
    NVRTC_ERROR_INVALID_INPUT = 3,
    NVRTC_ERROR_INVALID_PROGRAM = 4,
    NVRTC_ERROR_INVALID_OPTION = 5,
    NVRTC_ERROR_COMPILATION = 6,
    NVRTC_ERROR_INTERNAL_ERROR = 11
} nvrtcResult;

struct Program {
    std::string source, name, log;
    std::string image, path;
};
typedef Program *nvrtcProgram;
static std::set<Program *> programs;

static std::string own_folder() {
    Dl_info info;
    if (!dladdr((void *)&own_folder, &info)) return ".";
    std::string path = info.dli_fname;
    size_t slash = path.rfind('/');
    return slash == std::string::npos ? "." : path.substr(0, slash);
}
static std::string read_file(const std::string &path) {
    std::string out;
    FILE *f = fopen(path.c_str(), "rb");
    if (f == nullptr) return out;
    char block[65536];
    for (size_t n; (n = fread(block, 1, sizeof block, f)) > 0;) out.append(block, n);
    fclose(f);
    return out;
}
static bool write_file(const std::string &path, const std::string &text) {
    FILE *f = fopen(path.c_str(), "wb");
    if (f == nullptr) return false;
    bool good = fwrite(text.data(), 1, text.size(), f) == text.size();
    return fclose(f) == 0 && good;
}
// Runs a program with its output in a file; gives its exit status.
static int run(const std::vector<std::string> &words, const std::string &output) {
    std::vector<char *> argv;
    for (auto &w : words) argv.push_back((char *)w.c_str());
    argv.push_back(nullptr);
    // The compiler must not load the double or the sanitizer's library.
    std::vector<char *> env;
    for (char **e = environ; *e != nullptr; e++)
        if (strncmp(*e, "LD_PRELOAD=", 11) != 0 && strncmp(*e, "LD_LIBRARY_PATH=", 16) != 0) env.push_back(*e);
    env.push_back(nullptr);
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_addopen(&actions, 1, output.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0600);
    posix_spawn_file_actions_adddup2(&actions, 1, 2);
    pid_t pid;
    int e = posix_spawnp(&pid, argv[0], &actions, nullptr, argv.data(), env.data());
    posix_spawn_file_actions_destroy(&actions);
    if (e != 0) return -1;
    int status;
    while (waitpid(pid, &status, 0) < 0)
        if (errno != EINTR) return -1;
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

API nvrtcResult nvrtcVersion(int *major, int *minor) {
    *major = 13;
    *minor = 0;
    return NVRTC_SUCCESS;
}
API const char *nvrtcGetErrorString(nvrtcResult r) {
    switch ((int)r) {
    case NVRTC_SUCCESS: return "NVRTC_SUCCESS";
    case NVRTC_ERROR_INVALID_INPUT: return "NVRTC_ERROR_INVALID_INPUT";
    case NVRTC_ERROR_INVALID_PROGRAM: return "NVRTC_ERROR_INVALID_PROGRAM";
    case NVRTC_ERROR_INVALID_OPTION: return "NVRTC_ERROR_INVALID_OPTION";
    case NVRTC_ERROR_COMPILATION: return "NVRTC_ERROR_COMPILATION";
    }
    return "NVRTC_ERROR_INTERNAL_ERROR";
}
API nvrtcResult nvrtcGetNumSupportedArchs(int *n) {
    *n = 2;
    return NVRTC_SUCCESS;
}
API nvrtcResult nvrtcGetSupportedArchs(int *archs) {
    archs[0] = 80;
    archs[1] = 90;
    return NVRTC_SUCCESS;
}
API nvrtcResult nvrtcCreateProgram(nvrtcProgram *out, const char *source, const char *name, int headers, const char *const *, const char *const *) {
    if (out == nullptr || source == nullptr) return NVRTC_ERROR_INVALID_INPUT;
    if (headers != 0) {
        misuse(CUDA_ERROR_NOT_SUPPORTED, "nvrtcCreateProgram: the double takes no headers");
        return NVRTC_ERROR_INVALID_INPUT;
    }
    Lock lock(big_lock());
    *out = new Program{source, name != nullptr ? name : "default_program", "", "", ""};
    programs.insert(*out);
    return NVRTC_SUCCESS;
}
API nvrtcResult nvrtcDestroyProgram(nvrtcProgram *p) {
    Lock lock(big_lock());
    if (p == nullptr || !programs.count(*p)) {
        misuse(CUDA_ERROR_INVALID_HANDLE, "nvrtcDestroyProgram of something that is no program");
        return NVRTC_ERROR_INVALID_PROGRAM;
    }
    programs.erase(*p);
    delete *p;
    *p = nullptr;
    return NVRTC_SUCCESS;
}

// The registrations of the kernels in preprocessed text; empty when there are none.
static std::string registrations(const std::string &text) {
    std::string list, attribute = "__attribute__((host_group(";
    for (size_t at = 0; (at = text.find("extern \"C\"", at)) != std::string::npos;) {
        at += 10;
        size_t open = text.find("void", at), brace = text.find_first_of("{;", at);
        if (open == std::string::npos || brace == std::string::npos || open > brace) continue;
        std::string head = text.substr(at, open - at);
        size_t name = open + 4;
        while (isspace((unsigned char)text[name])) name++;
        size_t end = name;
        while (isalnum((unsigned char)text[end]) || text[end] == '_') end++;
        size_t paren = end;
        while (isspace((unsigned char)text[paren])) paren++;
        if (end == name || text[paren] != '(' || text[brace] == ';') continue;
        std::string size = "0, 0";
        size_t group = head.find("host_group(");
        if (group != std::string::npos) {
            int depth = 0;
            size_t from = group + 10, to = from;
            do {
                depth += head[to] == '(' ? 1 : head[to] == ')' ? -1 : 0;
                to++;
            } while (depth > 0 && to < head.size());
            size = head.substr(from + 1, to - from - 2);
        }
        list += (list.empty() ? "" : ", ") + std::string("HOST_KERNEL(") + text.substr(name, end - name) + ", " + size + ")";
    }
    if (list.empty()) return "";
    bool barrier = text.find("host_barrier(") != std::string::npos;
    return std::string("HOST_MODULE(") + (barrier ? "true" : "false") + ", " + list + ")\n";
}

static nvrtcResult compile(Program *p, int n, const char *const *options) {
    unsigned arch = 75;
    std::vector<std::string> defines;
    p->log.clear();
    for (int i = 0; i < n; i++) {
        std::string o = options[i];
        auto value = [&]() -> std::string {
            size_t eq = o.find('=');
            if (eq != std::string::npos) return o.substr(eq + 1);
            return i + 1 < n ? options[++i] : "";
        };
        auto is = [&](const char *a) { return o == a || o.compare(0, strlen(a) + 1, std::string(a) + "=") == 0; };
        if (is("--gpu-architecture") || is("-arch")) {
            std::string v = value();
            size_t digits = v.find_first_of("0123456789");
            arch = digits == std::string::npos ? 0 : (unsigned)atoi(v.c_str() + digits);
            if ((v.compare(0, 3, "sm_") != 0 && v.compare(0, 8, "compute_") != 0) || arch < 75) {
                p->log = "nvrtc: error: invalid value for --gpu-architecture (-arch)\n";
                return NVRTC_ERROR_INVALID_OPTION;
            }
        } else if (o.compare(0, 2, "-D") == 0) {
            defines.push_back(o.size() > 2 ? o : "-D" + value());
        } else if (is("--define-macro")) {
            defines.push_back("-D" + value());
        } else if (is("--fmad") || is("-fmad") || is("--std") || is("-std") || is("--use_fast_math") || is("-use_fast_math") || is("--ftz") ||
                   is("--prec-div") || is("--prec-sqrt") || is("--maxrregcount") || is("--device-as-default-execution-space") ||
                   is("-default-device") || is("--restrict") || is("-restrict") || is("--ptxas-options") || is("-lineinfo") ||
                   is("--generate-line-info") || is("-w") || is("--disable-warnings") || is("--extra-device-vectorization") || is("--dopt") ||
                   is("--split-compile") || is("--minimal") || is("-minimal") || is("--diag-suppress") || is("--no-cache") || is("-no-cache")) {
            if (o.find('=') == std::string::npos && (o == "--fmad" || o == "-fmad" || o == "--std" || o == "-std" || o == "--maxrregcount")) value();
        } else {
            p->log = "nvrtc: error: unrecognized option " + o + " found\n";
            return NVRTC_ERROR_INVALID_OPTION;
        }
    }
    std::string folder = own_folder();
    const char *cache_env = getenv("FAKECUDA_CACHE");
    std::string cache = cache_env != nullptr && *cache_env != 0 ? cache_env : folder + "/../cache";
    mkdir(cache.c_str(), 0700);
    const char *compiler = getenv("FAKECUDA_CXX");
    std::vector<std::string> base = {compiler != nullptr && *compiler != 0 ? compiler : "g++", "-std=gnu++17", "-w", "-x", "c++", "-DHOST_PRELUDE=\"" + folder + "/prelude_host.h\""};
    for (auto &d : defines) base.push_back(d);
    // GPUs wrap, keep NaN, do not contract where --fmad=false, and have no errno.
    std::vector<std::string> flags = {"-O1", "-fPIC", "-shared", "-ffp-contract=off", "-fwrapv", "-fno-strict-aliasing", "-fno-math-errno",
                                      "-fno-exceptions", "-fno-rtti", "-fvisibility=hidden", "-nodefaultlibs"};
#ifdef __SANITIZE_ADDRESS__
    flags = {"-O1", "-g1", "-fPIC", "-shared", "-ffp-contract=off", "-fwrapv", "-fno-strict-aliasing", "-fno-math-errno", "-fno-exceptions",
             "-fno-rtti", "-fvisibility=hidden", "-fsanitize=address"};
#endif
    std::string prelude = read_file(folder + "/prelude_host.h"), module = read_file(folder + "/module.h");
    unsigned long h = hash_bytes(p->source.data(), p->source.size());
    for (auto &w : base) h = hash_bytes(w.data(), w.size(), h);
    for (auto &w : flags) h = hash_bytes(w.data(), w.size(), h);
    h = hash_bytes(prelude.data(), prelude.size(), h);
    h = hash_bytes(module.data(), module.size(), h);
    h = hash_bytes(&arch, sizeof arch, h);
    // Two hashes: 64 bits are few for a name that decides what runs.
    unsigned long h2 = hash_bytes(p->source.data(), p->source.size(), h ^ 0x9e3779b97f4a7c15ul);
    char stem[64];
    snprintf(stem, sizeof stem, "/%016lx%016lx", h, h2);
    p->path = cache + stem + ".img";
    p->image = read_file(p->path);
    if (!p->image.empty()) return NVRTC_SUCCESS;

    char unique[64];
    static std::atomic<unsigned> serial{0};
    snprintf(unique, sizeof unique, ".%d.%u", (int)getpid(), serial++);
    std::string source = cache + stem + unique + ".cpp", text = cache + stem + unique + ".ii", object = cache + stem + unique + ".so", log = cache + stem + unique + ".log";
    struct Cleaner {
        std::vector<std::string> files;
        ~Cleaner() {
            for (auto &f : files) unlink(f.c_str());
        }
    } cleaner{{source, text, object, log}};
    if (!write_file(source, "#line 1 \"" + p->name + "\"\n" + p->source)) {
        p->log = "the folder " + cache + " cannot be written\n";
        return NVRTC_ERROR_INTERNAL_ERROR;
    }
    std::vector<std::string> words = base;
    for (const char *w : {"-E", source.c_str(), "-o", text.c_str()}) words.push_back(w);
    int status = run(words, log);
    std::string expanded = read_file(text);
    if (status == 0 && expanded.find("HostIds") == std::string::npos) {
        p->log = "the double compiles sources whose CUDA prelude makes way for HOST_PRELUDE (see tests/fakecuda/README.md)\n";
        misuse(CUDA_ERROR_NOT_SUPPORTED, "%s", p->log.c_str());
        return NVRTC_ERROR_COMPILATION;
    }
    if (status == 0) {
        std::string kernels = registrations(expanded);
        if (kernels.empty()) kernels = "HOST_MODULE(false)\n";
        // Appended as it is: module.h and the registrations do not use the kernels' macros.
        write_file(source, "#line 1 \"" + p->name + "\"\n" + p->source + "\n#line 1 \"module.h\"\n" + module + "\n" + kernels);
        words = base;
        for (auto &f : flags) words.push_back(f);
        for (const char *w : {source.c_str(), "-o", object.c_str(), "-lm", "-lc", "-lgcc"}) words.push_back(w);
        status = run(words, log);
    }
    p->log = read_file(log);
    if (status != 0) return status < 0 ? NVRTC_ERROR_INTERNAL_ERROR : NVRTC_ERROR_COMPILATION;
    std::string code = read_file(object);
    ImageHeader header = {};
    strcpy(header.magic, IMAGE_MAGIC);
    header.size = code.size();
    header.hash = hash_bytes(code.data(), code.size());
    header.arch = arch;
    p->image.assign((const char *)&header, sizeof header);
    p->image += code;
    // Beside the target first, so that no reader sees half a file.
    std::string temporary = p->path + unique;
    if (!write_file(temporary, p->image) || rename(temporary.c_str(), p->path.c_str()) != 0) unlink(temporary.c_str());
    return NVRTC_SUCCESS;
}

#define PROGRAM(p)                                                                        \
    {                                                                                     \
        Lock lock(big_lock());                                                            \
        if (!programs.count(p)) {                                                         \
            misuse(CUDA_ERROR_INVALID_HANDLE, "%s: not a program", __func__);             \
            return NVRTC_ERROR_INVALID_PROGRAM;                                           \
        }                                                                                 \
    }
API nvrtcResult nvrtcCompileProgram(nvrtcProgram p, int n, const char *const *options) {
    PROGRAM(p)
    return compile(p, n, options);
}
API nvrtcResult nvrtcGetProgramLogSize(nvrtcProgram p, size_t *n) {
    PROGRAM(p)
    *n = p->log.size() + 1;
    return NVRTC_SUCCESS;
}
API nvrtcResult nvrtcGetProgramLog(nvrtcProgram p, char *out) {
    PROGRAM(p)
    memcpy(out, p->log.c_str(), p->log.size() + 1);
    return NVRTC_SUCCESS;
}
API nvrtcResult nvrtcGetCUBINSize(nvrtcProgram p, size_t *n) {
    PROGRAM(p)
    *n = p->image.size();
    return p->image.empty() ? NVRTC_ERROR_INVALID_PROGRAM : NVRTC_SUCCESS;
}
API nvrtcResult nvrtcGetCUBIN(nvrtcProgram p, char *out) {
    PROGRAM(p)
    memcpy(out, p->image.data(), p->image.size());
    return p->image.empty() ? NVRTC_ERROR_INVALID_PROGRAM : NVRTC_SUCCESS;
}
API nvrtcResult nvrtcGetPTXSize(nvrtcProgram p, size_t *n) {
    PROGRAM(p)
    *n = ("//FAKEPTX " + p->path + "\n").size() + 1;
    return p->image.empty() ? NVRTC_ERROR_INVALID_PROGRAM : NVRTC_SUCCESS;
}
API nvrtcResult nvrtcGetPTX(nvrtcProgram p, char *out) {
    PROGRAM(p)
    strcpy(out, ("//FAKEPTX " + p->path + "\n").c_str());
    return p->image.empty() ? NVRTC_ERROR_INVALID_PROGRAM : NVRTC_SUCCESS;
}
