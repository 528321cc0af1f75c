//! Finding NVIDIA's libraries at run time. One libtaper.so serves machines with and without them.
//!
//! A library is looked for, in this order: in the folders of `TAPER_CUDA_LIBS` (separated by `:`); by its name, as the
//! system's loader does (LD_LIBRARY_PATH, its cache, or because PyTorch has loaded it already); beside libtaper; in the
//! `nvidia/*/lib` folders that pip wheels install into a Python's site-packages; under CUDA_HOME, CUDA_PATH and
//! /usr/local/cuda. What is found stays open, so that `cudarc`, which knows names only, gets the same one.

use crate::backend::gpu::trusted;
use crate::base::error::{Error, ErrorKind, Result};
use crate::log;
use std::ffi::{CStr, CString, OsString};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

/// One of NVIDIA's libraries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lib {
    Driver,
    Nvrtc,
    Cublas,
    Cudnn,
}

impl Lib {
    /// What it is called in messages, and its files; those it needs come first.
    fn files(self) -> (&'static str, &'static [&'static [&'static str]]) {
        match self {
            Lib::Driver => ("the NVIDIA driver's library", &[&["libcuda.so.1", "libcuda.so"]]),
            Lib::Nvrtc => ("the CUDA compiler NVRTC", &[&["libnvrtc.so.13", "libnvrtc.so.12", "libnvrtc.so"]]),
            Lib::Cublas => (
                "cuBLAS",
                &[
                    &["libcublasLt.so.13", "libcublasLt.so.12", "libcublasLt.so"],
                    &["libcublas.so.13", "libcublas.so.12", "libcublas.so"],
                ],
            ),
            Lib::Cudnn => ("cuDNN", &[&["libcudnn.so.9", "libcudnn.so"]]),
        }
    }
    /// The functions that are called.
    fn symbols(self) -> &'static [&'static str] {
        match self {
            Lib::Driver => &[
                "cuCtxSetCurrent",
                "cuCtxSynchronize",
                "cuDeviceGet",
                "cuDeviceGetAttribute",
                "cuDeviceGetCount",
                "cuDeviceGetName",
                "cuDevicePrimaryCtxRetain",
                "cuDeviceTotalMem_v2",
                "cuDriverGetVersion",
                "cuEventCreate",
                "cuEventDestroy_v2",
                "cuEventQuery",
                "cuEventRecord",
                "cuEventSynchronize",
                "cuGetErrorName",
                "cuGetErrorString",
                "cuGraphDestroy",
                "cuGraphExecDestroy",
                "cuGraphInstantiateWithFlags",
                "cuGraphLaunch",
                "cuInit",
                "cuLaunchKernel",
                "cuMemAlloc_v2",
                "cuMemFreeHost",
                "cuMemFree_v2",
                "cuMemGetInfo_v2",
                "cuMemHostAlloc",
                "cuMemcpyDtoDAsync_v2",
                "cuMemcpyDtoHAsync_v2",
                "cuMemcpyHtoDAsync_v2",
                "cuModuleGetFunction",
                "cuModuleLoadData",
                "cuStreamBeginCapture_v2",
                "cuStreamCreate",
                "cuStreamEndCapture",
                "cuStreamSynchronize",
                "cuStreamWaitEvent",
            ],
            Lib::Nvrtc => &[
                "nvrtcCompileProgram",
                "nvrtcCreateProgram",
                "nvrtcDestroyProgram",
                "nvrtcGetCUBIN",
                "nvrtcGetErrorString",
                "nvrtcGetCUBINSize",
                "nvrtcGetNumSupportedArchs",
                "nvrtcGetPTX",
                "nvrtcGetPTXSize",
                "nvrtcGetProgramLog",
                "nvrtcGetProgramLogSize",
                "nvrtcGetSupportedArchs",
                "nvrtcVersion",
            ],
            Lib::Cublas => &[
                "cublasCreate_v2",
                "cublasGemmEx",
                "cublasGemmStridedBatchedEx",
                "cublasLtCreate",
                "cublasLtMatmul",
                "cublasLtMatmulAlgoGetHeuristic",
                "cublasLtMatmulDescCreate",
                "cublasLtMatmulDescDestroy",
                "cublasLtMatmulDescSetAttribute",
                "cublasLtMatmulPreferenceCreate",
                "cublasLtMatmulPreferenceDestroy",
                "cublasLtMatmulPreferenceSetAttribute",
                "cublasLtMatrixLayoutCreate",
                "cublasLtMatrixLayoutDestroy",
                "cublasSetStream_v2",
                "cublasSetWorkspace_v2",
            ],
            Lib::Cudnn => &[
                "cudnnAddTensor",
                "cudnnConvolutionBackwardData",
                "cudnnConvolutionBackwardFilter",
                "cudnnConvolutionForward",
                "cudnnCreate",
                "cudnnCreateConvolutionDescriptor",
                "cudnnCreateFilterDescriptor",
                "cudnnCreateTensorDescriptor",
                "cudnnDestroyConvolutionDescriptor",
                "cudnnDestroyFilterDescriptor",
                "cudnnDestroyTensorDescriptor",
                "cudnnGetConvolutionBackwardDataAlgorithm_v7",
                "cudnnGetConvolutionBackwardFilterAlgorithm_v7",
                "cudnnGetConvolutionForwardAlgorithm_v7",
                "cudnnGetErrorString",
                "cudnnGetVersion",
                "cudnnSetConvolutionGroupCount",
                "cudnnSetConvolutionMathType",
                "cudnnSetConvolutionNdDescriptor",
                "cudnnSetFilterNdDescriptor",
                "cudnnSetStream",
                "cudnnSetTensorNdDescriptor",
            ],
        }
    }
    fn hint(self) -> &'static str {
        match self {
            Lib::Driver => "install the NVIDIA driver",
            Lib::Nvrtc => "pip install nvidia-cuda-nvrtc, or name its folder in TAPER_CUDA_LIBS",
            Lib::Cublas => "pip install nvidia-cublas, or name its folder in TAPER_CUDA_LIBS",
            Lib::Cudnn => "pip install nvidia-cudnn-cu13, or name its folder in TAPER_CUDA_LIBS",
        }
    }
}

/// Loads a library once; the error says what was looked for and where.
pub fn require(lib: Lib) -> Result<()> {
    static LOADED: [OnceLock<Result<()>>; 4] = [const { OnceLock::new() }; 4];
    let loaded = LOADED[lib as usize].get_or_init(|| {
        let found = load(lib);
        match (&found, lib) {
            (Ok(()), _) => log!(Info, "CUDA: {} was found", lib.files().0),
            // Kernels of our own do what these would.
            (Err(e), Lib::Cublas | Lib::Cudnn) => log!(Warning, "{}; slower kernels take its place", e.message),
            (Err(e), _) => log!(Info, "{}", e.message),
        }
        found
    });
    loaded.clone()
}

/// Whether the program is linked with -static: the headers of the program itself, which come first, name no loader.
#[cfg(target_os = "linux")]
fn static_program() -> bool {
    use std::ffi::{c_int, c_void};
    unsafe extern "C" fn first(info: *mut libc::dl_phdr_info, _: usize, is_static: *mut c_void) -> c_int {
        // SAFETY: the C library passes a description of the program, whose headers lie in memory, and our own bool.
        unsafe {
            let headers = std::slice::from_raw_parts((*info).dlpi_phdr, usize::from((*info).dlpi_phnum));
            *is_static.cast::<bool>() = headers.iter().all(|h| h.p_type != libc::PT_INTERP);
        }
        1
    }
    let mut is_static = false;
    // SAFETY: `first` is called during this call only, with the pointer to `is_static`.
    unsafe { libc::dl_iterate_phdr(Some(first), (&raw mut is_static).cast()) };
    is_static
}
#[cfg(not(target_os = "linux"))]
fn static_program() -> bool {
    false
}

fn load(lib: Lib) -> Result<()> {
    let (name, files) = lib.files();
    if static_program() {
        return Err(Error::new(
            ErrorKind::Runtime,
            format!(
                "CUDA is not available: {name} could not be opened, since this program is linked with -static and cannot \
                 open libraries at run time: link it without -static, with libtaper.so or with libtaper.a"
            ),
        ));
    }
    let folders = folders(&trusted);
    for names in files {
        let mut failures = Vec::new();
        if !names.iter().any(|file| open_first(file, &folders, &mut failures)) {
            failures.sort();
            failures.dedup();
            let places: Vec<String> = folders.iter().map(|(p, _)| p.display().to_string()).collect();
            let mut message = format!(
                "CUDA is not available: {name} was not found: looked for {} by the system's loader and in {}",
                names.join(", "),
                if places.is_empty() { "no other folder".to_string() } else { places.join(", ") }
            );
            if !failures.is_empty() {
                message += &format!("; {}", failures.join("; "));
            }
            message += &format!(" ({})", lib.hint());
            return Err(Error::new(ErrorKind::Runtime, message));
        }
    }
    use cudarc::*;
    let unavailable = |why: String| Err(Error::new(ErrorKind::Runtime, format!("CUDA is not available: {why}")));
    // SAFETY: these only open libraries.
    let present = unsafe {
        match lib {
            Lib::Driver => driver::sys::is_culib_present(),
            Lib::Nvrtc => nvrtc::sys::is_culib_present(),
            Lib::Cublas => cublas::sys::is_culib_present() && cublaslt::sys::is_culib_present(),
            Lib::Cudnn => cudnn::sys::is_culib_present(),
        }
    };
    if !present {
        return unavailable(format!("{name} has no name that is known"));
    }
    // `cudarc` looks functions up when they are called, and panics where one is missing: an older driver, say.
    let lacks = |symbol: &str| {
        // SAFETY: the library was just found; the symbol is looked up and not called.
        unsafe {
            let library = match lib {
                Lib::Driver => driver::sys::culib(),
                Lib::Nvrtc => nvrtc::sys::culib(),
                Lib::Cublas if symbol.starts_with("cublasLt") => cublaslt::sys::culib(),
                Lib::Cublas => cublas::sys::culib(),
                Lib::Cudnn => cudnn::sys::culib(),
            };
            library.get::<unsafe extern "C" fn()>(symbol.as_bytes()).is_err()
        }
    };
    let missing: Vec<&str> = lib.symbols().iter().copied().filter(|s| lacks(s)).collect();
    if !missing.is_empty() {
        return unavailable(format!(
            "{name} is too old or another version than CUDA 12 or 13 brings: it lacks {} ({})",
            missing.join(", "),
            lib.hint()
        ));
    }
    Ok(())
}

/// Opens a library from the preferred folders, by name, or from the other folders.
/// Loads files whose names start so and that lie beside a library. NVRTC opens its built-in functions by name alone, which
/// succeeds where they are loaded already.
fn open_beside(library: &Path, start: &str) {
    let beside = library.parent().map(|dir| children(dir, start)).unwrap_or_default();
    for file in beside {
        // Whoever needs it says so.
        let _ = open(&file.to_string_lossy());
    }
}

fn open_first(file: &str, folders: &[(PathBuf, bool)], failures: &mut Vec<String>) -> bool {
    let mut try_in = |preferred: bool| {
        folders.iter().filter(|(_, p)| *p == preferred).any(|(dir, _)| {
            let path = dir.join(file);
            if path.exists() && file.starts_with("libnvrtc.") {
                open_beside(&path, "libnvrtc-builtins.so");
            }
            path.exists() && open(&path.to_string_lossy()).map_err(|e| failures.push(e)).is_ok()
        })
    };
    try_in(true) || open(file).is_ok() || try_in(false)
}

fn open(name: &str) -> std::result::Result<(), String> {
    let Ok(cname) = CString::new(name) else { return Err("a NUL in a path".into()) };
    // SAFETY: a NUL-terminated name; the handle is kept open on purpose. dlerror's text is copied at once.
    unsafe {
        if !libc::dlopen(cname.as_ptr(), libc::RTLD_NOW).is_null() {
            return Ok(());
        }
        let why = libc::dlerror();
        Err(if why.is_null() { name.to_string() } else { CStr::from_ptr(why).to_string_lossy().into_owned() })
    }
}

/// A variable of the environment.
type Env<'a> = &'a dyn Fn(&str) -> Option<OsString>;

/// Folders to look in, with whether they come before the system's loader. Only those that exist.
fn folders(env: Env) -> Vec<(PathBuf, bool)> {
    let mut out: Vec<(PathBuf, bool)> = Vec::new();
    let mut add = |p: PathBuf, preferred: bool| {
        if p.is_dir() && !out.iter().any(|(q, _)| *q == p) {
            out.push((p, preferred));
        }
    };
    if let Some(list) = env("TAPER_CUDA_LIBS") {
        std::env::split_paths(&list).for_each(|p| add(p, true));
    }
    let mut packages = Vec::new();
    if let Some(own) = own_folder() {
        packages.extend(own.ancestors().filter(|a| a.ends_with("site-packages")).map(Path::to_path_buf));
        add(own, false);
    }
    for prefix in python_prefixes(env) {
        packages.extend(children(&prefix.join("lib"), "python3").into_iter().map(|p| p.join("site-packages")));
        packages.extend(children(&prefix.join("lib"), "python3").into_iter().map(|p| p.join("dist-packages")));
    }
    for p in packages {
        children(&p.join("nvidia"), "").into_iter().for_each(|p| add(p.join("lib"), false));
    }
    for var in ["CUDA_HOME", "CUDA_PATH"] {
        if let Some(p) = env(var).map(PathBuf::from) {
            add(p.join("lib64"), false);
            add(p.join("lib"), false);
        }
    }
    add("/usr/local/cuda/lib64".into(), false);
    out
}

/// The folder of the shared library (or program) that holds this code.
fn own_folder() -> Option<PathBuf> {
    let mut info: libc::Dl_info = unsafe { std::mem::zeroed() };
    let at: fn() -> Option<PathBuf> = own_folder;
    // SAFETY: the address is in this library; the name lives as long as it is loaded.
    unsafe {
        if libc::dladdr(at as *const libc::c_void, &mut info) == 0 || info.dli_fname.is_null() {
            return None;
        }
        let name = Path::new(std::ffi::OsStr::from_encoded_bytes_unchecked(CStr::from_ptr(info.dli_fname).to_bytes()));
        Some(name.canonicalize().ok()?.parent()?.to_path_buf())
    }
}

/// Where Pythons keep their packages: environments, the program that runs, the `python3` of the PATH, the system.
fn python_prefixes(env: Env) -> Vec<PathBuf> {
    let mut out: Vec<PathBuf> =
        ["VIRTUAL_ENV", "CONDA_PREFIX"].iter().filter_map(|v| env(v)).map(PathBuf::from).collect();
    let path = env("PATH").unwrap_or_default();
    let mut programs = vec!["python3".to_string()];
    programs.extend(std::env::args_os().next().and_then(|a| a.into_string().ok()));
    for program in programs {
        let found = match program.contains('/') {
            true => Some(PathBuf::from(&program)),
            false => std::env::split_paths(&path).map(|d| d.join(&program)).find(|p| p.is_file()),
        };
        // A virtual environment's python is a link: the environment is where the link lies.
        for p in found.iter().chain(found.as_ref().and_then(|f| f.canonicalize().ok()).iter()) {
            out.extend(p.parent().and_then(Path::parent).map(Path::to_path_buf));
        }
    }
    out.extend(env("HOME").map(|h| PathBuf::from(h).join(".local")));
    out.extend(["/usr/local".into(), "/usr".into()]);
    out
}

/// Sub-folders whose name begins so.
fn children(dir: &Path, start: &str) -> Vec<PathBuf> {
    let Ok(list) = std::fs::read_dir(dir) else { return Vec::new() };
    let named = |p: &PathBuf| p.file_name().is_some_and(|n| n.to_string_lossy().starts_with(start));
    let mut out: Vec<PathBuf> = list.flatten().map(|e| e.path()).filter(named).collect();
    out.sort();
    out
}

#[cfg(feature = "tests")]
pub(crate) mod tests {
    use super::*;

    #[cfg_attr(test, test)]
    pub(crate) fn folders_of_pip_wheels_and_of_the_user_are_looked_through() {
        let root = std::env::temp_dir().join(format!("taper-libs-{}", std::process::id()));
        let wheel = root.join("env/lib/python3.99/site-packages/nvidia/cu99/lib");
        let (own, home) = (root.join("own"), root.join("cuda/lib64"));
        for d in [&wheel, &own, &home] {
            std::fs::create_dir_all(d).unwrap();
        }
        let env = |name: &str| match name {
            "VIRTUAL_ENV" => Some(root.join("env").into()),
            "TAPER_CUDA_LIBS" => Some(OsString::from(format!("{}:/not/there", own.display()))),
            "CUDA_HOME" => Some(root.join("cuda").into()),
            _ => None,
        };
        let found = folders(&env);
        assert_eq!(found[0], (own, true));
        assert!(found.contains(&(wheel, false)) && found.contains(&(home, false)), "{found:?}");
        assert!(found.iter().all(|(p, _)| p.is_dir()));
        std::fs::remove_dir_all(&root).unwrap();
    }

    /// Every function that this folder names is looked for when its library is opened.
    #[cfg_attr(test, test)]
    pub(crate) fn all_functions_are_listed() {
        let known = [Lib::Driver, Lib::Nvrtc, Lib::Cublas, Lib::Cudnn].map(Lib::symbols).concat();
        let sources = [
            include_str!("api.rs"),
            include_str!("blas.rs"),
            include_str!("device.rs"),
            include_str!("dnn.rs"),
            include_str!("driver.rs"),
            include_str!("nvrtc.rs"),
            include_str!("stream.rs"),
        ];
        let mut seen = 0;
        for source in sources {
            // Without comments and texts, which name functions too.
            let code: String = source.lines().map(|l| l.split("//").next().unwrap_or("").to_string() + "\n").collect();
            let code: Vec<&str> = code.split('"').step_by(2).collect();
            for word in code.iter().flat_map(|c| c.split(|c: char| !c.is_ascii_alphanumeric() && c != '_')) {
                let function = ["nvrtc", "cublasLt", "cublas", "cudnn", "cu"].iter().any(|p| {
                    word.strip_prefix(p).is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_uppercase()))
                });
                let is_type = word.ends_with("_t") || ["nvrtcProgram", "nvrtcResult"].contains(&word);
                if function && !is_type {
                    seen += 1;
                    // A driver has it or its predecessor.
                    let listed = known.contains(&word) || word == "cuEventElapsedTime_v2";
                    assert!(listed, "{word} is called and not in Lib::symbols");
                }
            }
        }
        assert!(seen > 80, "{seen} functions found");
    }

    /// NVIDIA's own libraries load without a GPU: pip's wheels in this checkout, found by the search that programs use.
    #[cfg_attr(test, test)]
    pub(crate) fn real_libraries_have_every_function() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        let environments = [".venv-bench", ".venv-cuda"].map(|v| root.join(v));
        let Some(env) = environments.iter().find(|v| {
            let site = children(&v.join("lib"), "python3").into_iter().map(|p| p.join("site-packages/nvidia"));
            site.flat_map(|n| children(&n, "")).any(|p| p.join("lib/libnvrtc.so.13").exists())
        }) else {
            eprintln!("SKIPPED: no wheels of NVIDIA's libraries in .venv-bench or .venv-cuda");
            return;
        };
        // In a process of its own: what is loaded stays, and other tests use the double.
        let child = std::process::Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "--ignored", "--nocapture", "backend::cuda::libs::tests::opens_real_libraries"])
            .env("VIRTUAL_ENV", env)
            .env("PATH", "/usr/bin:/bin")
            .env_remove("TAPER_CUDA_LIBS")
            .env_remove("LD_LIBRARY_PATH")
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&child.stdout).into_owned() + &String::from_utf8_lossy(&child.stderr);
        assert!(child.status.success() && said.contains("1 passed"), "{said}");
        eprintln!("{}", said.lines().filter(|l| l.starts_with("found ")).collect::<Vec<_>>().join("\n"));
    }

    #[cfg_attr(test, test, ignore = "run by real_libraries_have_every_function")]
    pub(crate) fn opens_real_libraries() {
        require(Lib::Nvrtc).unwrap();
        let target = super::super::nvrtc::target(90).unwrap();
        assert_eq!(target.arch, "sm_90");
        let cubin = super::super::nvrtc::compile("extern \"C\" __global__ void f(int *p) { *p = 1; }", "f", &target);
        assert_eq!(&cubin.unwrap()[1..4], b"ELF");
        // A device newer than the compiler gets its newest intermediate form.
        let newer = super::super::nvrtc::target(999).unwrap();
        assert!(newer.arch.starts_with("compute_1"), "{newer:?}");
        let ptx = super::super::nvrtc::compile("extern \"C\" __global__ void f() {}", "f", &newer).unwrap();
        assert!(String::from_utf8_lossy(&ptx).contains(".visible .entry f"));
        eprintln!("found NVRTC {}", target.version);
        // The compiler's wheel may be there alone.
        for lib in [Lib::Cublas, Lib::Cudnn] {
            match require(lib) {
                Ok(()) => eprintln!("found {}", lib.files().0),
                Err(e) => assert!(e.message.contains("was not found: looked for"), "{e}"),
            }
        }
        if require(Lib::Cudnn).is_ok() {
            // SAFETY: it only returns a number.
            let version = unsafe { cudarc::cudnn::sys::cudnnGetVersion() };
            assert!(version >= 90000, "{version}");
            eprintln!("found cuDNN's version {version}");
        }
    }
}
