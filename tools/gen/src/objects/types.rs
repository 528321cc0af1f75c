//! The types of `spec/objects.txt`, one row each: what a value is in Rust's C signature, how it is read, what the body
//! gets, and which letter stands for it among Python's prototypes.

/// A type of arguments or results.
#[derive(Debug, PartialEq)]
pub struct Type {
    /// The specification's word.
    pub name: &'static str,
    /// The C type, as Rust writes it; `@` is where `const` or `mut` stands.
    pub c: &'static str,
    /// Reads an argument: `@` is "index, name, value".
    pub read: &'static str,
    /// How the body gets what was read: `@` is the value.
    pub pass: &'static str,
    /// The letter in Python's table.
    pub python: char,
}

const fn handle(name: &'static str, c: &'static str) -> Type {
    Type { name, c, read: "c.get(@)?", pass: "&@", python: 'p' }
}
const fn plain(name: &'static str, c: &'static str, python: char) -> Type {
    Type { name, c, read: "", pass: "@", python }
}

pub const TYPES: &[Type] = &[
    Type { name: "Tensor", c: "*@ taper_tensor", read: "c.tensor(@)?", pass: "&@", python: 'p' },
    Type { name: "Tensor?", c: "*@ taper_tensor", read: "c.opt_tensor(@)?", pass: "@.as_ref()", python: 'p' },
    // The handle itself, for what is about handles: checked, a number.
    Type { name: "TensorHandle", c: "*@ taper_tensor", read: "c.tensor_handle(@)?", pass: "@", python: 'p' },
    handle("TensorList", "*@ taper_tensor_list"),
    handle("String", "*@ taper_string"),
    handle("Error", "*@ taper_error"),
    // The handle itself: NULL is success, and the error for want of memory is never freed.
    plain("ErrorHandle", "*@ taper_error", 'p'),
    handle("Generator", "*@ taper_generator"),
    Type { name: "Generator?", c: "*@ taper_generator", read: "c.opt_generator(@)?", pass: "@.as_ref()", python: 'p' },
    handle("Graph", "*@ taper_graph"),
    handle("Event", "*@ taper_event"),
    handle("Node", "*@ taper_node"),
    handle("CancelToken", "*@ taper_cancel_token"),
    Type { name: "CancelToken?", c: "*@ taper_cancel_token", read: "c.opt_get(@)?", pass: "@.as_ref()", python: 'p' },
    handle("FunctionCtx", "*@ taper_function_ctx"),
    handle("Module", "*@ taper_module"),
    Type { name: "Module?", c: "*@ taper_module", read: "c.opt_get(@)?", pass: "@.as_ref()", python: 'p' },
    handle("Optimizer", "*@ taper_optimizer"),
    handle("Schedule", "*@ taper_schedule"),
    handle("NamedTensors", "*@ taper_named_tensors"),
    Type { name: "NamedTensors?", c: "*@ taper_named_tensors", read: "c.opt_get(@)?", pass: "@.as_ref()", python: 'p' },
    handle("TensorFile", "*@ taper_tensor_file"),
    handle("FileWriter", "*@ taper_file_writer"),
    handle("SummaryWriter", "*@ taper_summary_writer"),
    handle("Progress", "*@ taper_progress"),
    handle("Dataset", "*@ taper_dataset"),
    handle("Sampler", "*@ taper_sampler"),
    Type { name: "Sampler?", c: "*@ taper_sampler", read: "c.opt_get(@)?", pass: "@.as_ref()", python: 'p' },
    handle("DataLoader", "*@ taper_data_loader"),
    handle("Batches", "*@ taper_batches"),
    Type { name: "Scalar", c: "taper_scalar", read: "c.scalar(@)?", pass: "@", python: 'S' },
    Type { name: "DType", c: "i32", read: "c.dtype(@)?", pass: "@", python: 'i' },
    Type { name: "DType?", c: "i32", read: "c.opt_dtype(@)?", pass: "@", python: 'i' },
    Type { name: "Device", c: "taper_device", read: "c.device(@)?", pass: "@", python: 'D' },
    Type { name: "Device?", c: "taper_device", read: "c.opt_device(@)?", pass: "@", python: 'D' },
    Type { name: "str", c: "*const c_char", read: "c.str(@)?", pass: "@", python: 's' },
    Type { name: "str?", c: "*const c_char", read: "c.opt_str(@)?", pass: "@", python: 's' },
    Type { name: "path", c: "*const c_char", read: "c.path(@)?", pass: "@", python: 's' },
    // A text that an object lends out.
    plain("text", "*const c_char", 's'),
    // Bytes that an object lends out; a text follows its length there.
    plain("bytes", "*const c_char", 'p'),
    plain("void*", "*@ c_void", 'p'),
    plain("int64*", "*const i64", 'p'),
    plain("DLPack", "*mut DLManagedTensorVersioned", 'p'),
    plain("DLPackLegacy", "*mut DLManagedTensor", 'p'),
    plain("ArrowSchema", "*mut ArrowSchema", 'p'),
    plain("ArrowArray", "*mut ArrowArray", 'p'),
    plain("ArrowArrayStream", "*mut ArrowArrayStream", 'p'),
    // Frees what `user` refers to.
    plain("drop_fn", "taper_drop_fn", 'p'),
    // Called with each module of a tree.
    plain(
        "module_fn",
        "Option<unsafe extern \"C\" fn(user: *mut c_void, m: *mut taper_module) -> *mut taper_error>",
        'p',
    ),
    plain("int32", "i32", 'i'),
    plain("int64", "i64", 'q'),
    plain("uint8", "u8", 'B'),
    plain("uint32", "u32", 'I'),
    plain("uint64", "u64", 'Q'),
    plain("size", "usize", 'z'),
    plain("double", "f64", 'd'),
    plain("bool", "bool", '?'),
    Type { name: "int64?", c: "*const i64", read: "c.opt(@)?", pass: "@", python: 'p' },
    Type { name: "double?", c: "*const f64", read: "c.opt(@)?", pass: "@", python: 'p' },
    Type { name: "bool?", c: "*const bool", read: "c.opt(@)?", pass: "@", python: 'p' },
];

/// What a call takes over, and gives up again when it fails, however early.
#[derive(Debug, PartialEq)]
pub struct Owned {
    pub name: &'static str,
    /// The C type, as Rust writes it.
    pub c: &'static str,
    /// Whether the pointer `user` comes with it.
    pub user: bool,
    /// Makes the owner: `@` is the value.
    pub take: &'static str,
}

pub const OWNED: &[Owned] = &[
    Owned { name: "drop_fn", c: "taper_drop_fn", user: true, take: "User::new(user, @)" },
    Owned { name: "DLPack", c: "*mut DLManagedTensorVersioned", user: false, take: "VersionedOwner(@)" },
    Owned { name: "DLPackLegacy", c: "*mut DLManagedTensor", user: false, take: "LegacyOwner(@)" },
    Owned { name: "ArrowSchema", c: "*mut ArrowSchema", user: false, take: "Owner(@)" },
    Owned { name: "ArrowArray", c: "*mut ArrowArray", user: false, take: "Owner(@)" },
];

/// The row of a word of the specification.
pub fn find(name: &str) -> Option<&'static Type> {
    TYPES.iter().find(|t| t.name == name)
}
