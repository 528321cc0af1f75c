
/* A number that stays a float / an integer / a bool in type promotion. */
static inline taper_scalar taper_scalar_f64(double value)
{
    taper_scalar s;
    s.kind = TAPER_SCALAR_FLOAT;
    s.i = 0;
    s.f = value;
    return s;
}
static inline taper_scalar taper_scalar_i64(int64_t value)
{
    taper_scalar s;
    s.kind = TAPER_SCALAR_INT;
    s.i = value;
    s.f = 0;
    return s;
}
static inline taper_scalar taper_scalar_bool(bool value)
{
    taper_scalar s;
    s.kind = TAPER_SCALAR_BOOL;
    s.i = value ? 1 : 0;
    s.f = 0;
    return s;
}
/* A complex number, and the imaginary part of one that a function returned (its real part is `f`). */
static inline taper_scalar taper_scalar_complex(double real, double imag)
{
    taper_scalar s;
    s.kind = TAPER_SCALAR_COMPLEX;
    memcpy(&s.i, &imag, sizeof imag);
    s.f = real;
    return s;
}
static inline double taper_scalar_imag(taper_scalar s)
{
    double imag = 0;
    if (s.kind == TAPER_SCALAR_COMPLEX) {
        memcpy(&imag, &s.i, sizeof imag);
    }
    return imag;
}

/* Devices as values: TAPER_CPU, TAPER_CUDA(0), TAPER_OPENCL(0), TAPER_META, and TAPER_DEVICE_NONE where a
 * device is optional. */
static inline taper_device taper_make_device(int32_t type, int32_t index)
{
    taper_device d;
    d.type = type;
    d.index = index;
    return d;
}
#define TAPER_CPU taper_make_device(TAPER_DEVICE_CPU, 0)
#define TAPER_CUDA(index) taper_make_device(TAPER_DEVICE_CUDA, (index))
#define TAPER_OPENCL(index) taper_make_device(TAPER_DEVICE_OPENCL, (index))
#define TAPER_META taper_make_device(TAPER_DEVICE_META, 0)
#define TAPER_DEVICE_NONE taper_make_device(0, 0)

/* An absent start or stop of a TAPER_INDEX_SLICE. */
#define TAPER_INDEX_ABSENT INT64_MIN

/* Callback structs without functions: set those that you need. */
#define TAPER_HOOK_VTABLE_INIT {sizeof(taper_hook_vtable), NULL, NULL}
#define TAPER_NODE_HOOK_VTABLE_INIT {sizeof(taper_node_hook_vtable), NULL, NULL}
#define TAPER_SAVED_HOOKS_VTABLE_INIT {sizeof(taper_saved_hooks_vtable), NULL, NULL, NULL, NULL}
#define TAPER_TENSOR_FN_VTABLE_INIT {sizeof(taper_tensor_fn_vtable), NULL, NULL}
#define TAPER_OUT_OF_MEMORY_VTABLE_INIT {sizeof(taper_out_of_memory_vtable), NULL, NULL}
#define TAPER_INTERRUPT_VTABLE_INIT {sizeof(taper_interrupt_vtable), NULL, NULL}
#define TAPER_LOG_VTABLE_INIT {sizeof(taper_log_vtable), NULL, NULL}
#define TAPER_DEVICE_PROPERTIES_INIT \
    {sizeof(taper_device_properties), {0, 0}, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, {0}, {0}, {0}, {0}, {0}}
#define TAPER_GRADCHECK_OPTIONS_INIT {sizeof(taper_gradcheck_options), 1e-6, 1e-5, 1e-3}
#define TAPER_FUNCTION_VTABLE_INIT {sizeof(taper_function_vtable), NULL, NULL, NULL, NULL}
#define TAPER_MODULE_VTABLE_INIT {sizeof(taper_module_vtable), NULL, NULL, NULL, NULL}
#define TAPER_DATASET_VTABLE_INIT {sizeof(taper_dataset_vtable), NULL, NULL, NULL}
#define TAPER_STREAM_VTABLE_INIT {sizeof(taper_stream_vtable), NULL, NULL, NULL, NULL}
#define TAPER_COLLATE_VTABLE_INIT {sizeof(taper_collate_vtable), NULL, NULL}
#define TAPER_DATA_LOADER_OPTIONS_INIT {sizeof(taper_data_loader_options), 1, 0, 0, 0, 0}
#define TAPER_SCHEDULE_VTABLE_INIT {sizeof(taper_schedule_vtable), NULL, NULL}
#define TAPER_OPTIMIZER_CLOSURE_INIT {sizeof(taper_optimizer_closure), NULL, NULL}
#define TAPER_OPTIMIZER_VTABLE_INIT {sizeof(taper_optimizer_vtable), NULL, NULL}
#define TAPER_MODULE_HOOK_VTABLE_INIT {sizeof(taper_module_hook_vtable), NULL, NULL, NULL, NULL}

/* Sets a list of options, for as long as the block lasts: TAPER_SET_INTS(options.stride, 2, 1). */
#define TAPER_SET_INTS(field, ...) \
    ((field) = (const int64_t[]){__VA_ARGS__}, field##_len = sizeof((const int64_t[]){__VA_ARGS__}) / sizeof(int64_t))

/* Options with PyTorch's defaults. */
#define TAPER_NN_CONV_OPTIONS_INIT {sizeof(taper_nn_conv_options), {1, 1, 1}, {0, 0, 0}, {1, 1, 1}, 1, 1}
#define TAPER_SGD_OPTIONS_INIT {sizeof(taper_sgd_options), 1e-3, 0.0, 0.0, 0.0, 0, 0}
#define TAPER_ADAM_OPTIONS_INIT {sizeof(taper_adam_options), 1e-3, 0.9, 0.999, 1e-8, 0.0, 0, 0, 0, 0}
#define TAPER_ADAMW_OPTIONS_INIT {sizeof(taper_adam_options), 1e-3, 0.9, 0.999, 1e-8, 1e-2, 0, 0, 1, 0}
