/* libOpenCL, seen from our side: every function looks the real loader up at its first call.
 *
 * The crates below us link libOpenCL by name. Linking this file under that name keeps libOpenCL out of the library's
 * NEEDED list, so that one binary runs with and without OpenCL. Symbols are hidden: the program around us may use the
 * real libOpenCL itself. Where the loader is missing, clGetPlatformIDs answers -1001 ("no platform", as an ICD loader
 * with no driver does) and everything else fails with the same code.
 */
#include <dlfcn.h>
#ifdef __linux__
#include <link.h>
#endif
#include <pthread.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

typedef int32_t cl_int;
typedef uint32_t cl_uint;
typedef uint64_t cl_bitfield;
typedef struct taper_cl_platform *cl_platform_id;
typedef struct taper_cl_device *cl_device_id;
typedef struct taper_cl_context *cl_context;
typedef struct taper_cl_queue *cl_command_queue;
typedef struct taper_cl_mem *cl_mem;
typedef struct taper_cl_program *cl_program;
typedef struct taper_cl_kernel *cl_kernel;
typedef struct taper_cl_event *cl_event;
typedef struct taper_cl_sampler *cl_sampler;
typedef void (*context_notify)(const char *, const void *, size_t, void *);
typedef void (*program_notify)(cl_program, void *);
typedef void (*mem_notify)(cl_mem, void *);
typedef void (*event_notify)(cl_event, cl_int, void *);
typedef void (*native_fn)(void *);

enum { NO_PLATFORM = -1001 };

static pthread_once_t once = PTHREAD_ONCE_INIT;
static void *loader;
static char load_error[512];

#ifdef __linux__
/* A program's own headers come first; one that no loader started names none, and cannot open libraries safely. */
static int program_headers(struct dl_phdr_info *info, size_t size, void *is_static) {
    (void)size;
    *(int *)is_static = 1;
    for (int i = 0; i < info->dlpi_phnum; i++) {
        if (info->dlpi_phdr[i].p_type == PT_INTERP) {
            *(int *)is_static = 0;
        }
    }
    return 1;
}
static int static_program(void) {
    int is_static = 0;
    dl_iterate_phdr(program_headers, &is_static);
    return is_static;
}
#else
static int static_program(void) { return 0; }
#endif

static void load(void) {
#ifdef __linux__
    /* Of no effect in a program with more rights than who called it (setuid). */
    const char *chosen = secure_getenv("TAPER_OPENCL_LIBRARY");
#else
    const char *chosen = getenv("TAPER_OPENCL_LIBRARY");
#endif
    static const char *const names[] = {"libOpenCL.so.1", "libOpenCL.so"};
    if (static_program()) {
        snprintf(load_error, sizeof load_error,
                 "this program is linked with -static and cannot open libraries at run time: link it without -static, "
                 "with libtaper.so or with libtaper.a");
        return;
    }
    if (chosen && *chosen) {
        loader = dlopen(chosen, RTLD_NOW | RTLD_LOCAL);
    } else {
        for (size_t i = 0; i < sizeof names / sizeof *names && !loader; i++) {
            loader = dlopen(names[i], RTLD_NOW | RTLD_LOCAL);
        }
    }
    if (!loader) {
        const char *why = dlerror();
        snprintf(load_error, sizeof load_error, "%s", why ? why : "dlopen failed");
    } else if (!dlsym(loader, "clGetPlatformIDs")) {
        snprintf(load_error, sizeof load_error, "%s is no OpenCL loader: it lacks clGetPlatformIDs",
                 chosen && *chosen ? chosen : "libOpenCL.so");
        loader = NULL;
    }
}

static void *resolve(const char *name) {
    pthread_once(&once, load);
    return loader ? dlsym(loader, name) : NULL;
}

/* Why the loader could not be opened; an empty string where it was. */
const char *opencl_stub_load_error(void) {
    pthread_once(&once, load);
    return load_error;
}

/* A function pointer from dlsym, looked up once; a race stores the same value twice. */
#define REAL(name, ret, params, missing)                                     \
    static ret(*real) params;                                                \
    ret(*f) params = __atomic_load_n(&real, __ATOMIC_ACQUIRE);               \
    if (!f) {                                                                \
        *(void **)&f = resolve(#name);                                       \
        if (!f) {                                                            \
            missing;                                                         \
        }                                                                    \
        __atomic_store_n(&real, f, __ATOMIC_RELEASE);                        \
    }
#define STATUS(name, params, args)                     \
    cl_int name params {                               \
        REAL(name, cl_int, params, return NO_PLATFORM) \
        return f args;                                 \
    }
#define CREATE(ret, name, params, args)                                       \
    ret name params {                                                         \
        REAL(name, ret, params, if (err) { *err = NO_PLATFORM; } return NULL) \
        return f args;                                                        \
    }
#define POINTER(name, params, args)             \
    void *name params {                         \
        REAL(name, void *, params, return NULL) \
        return f args;                          \
    }

STATUS(clGetPlatformIDs, (cl_uint num_entries, cl_platform_id *platforms, cl_uint *num_platforms), (num_entries,
    platforms, num_platforms))
STATUS(clGetPlatformInfo, (cl_platform_id platform, cl_uint param, size_t size, void *value, size_t *size_ret),
    (platform, param, size, value, size_ret))
STATUS(clGetDeviceIDs, (cl_platform_id platform, cl_bitfield device_type, cl_uint num_entries, cl_device_id *devices,
    cl_uint *num_devices), (platform, device_type, num_entries, devices, num_devices))
STATUS(clGetDeviceInfo, (cl_device_id device, cl_uint param, size_t size, void *value, size_t *size_ret), (device,
    param, size, value, size_ret))
STATUS(clCreateSubDevices, (cl_device_id in_device, const intptr_t *properties, cl_uint num_devices, cl_device_id
    *out_devices, cl_uint *num_devices_ret), (in_device, properties, num_devices, out_devices, num_devices_ret))
STATUS(clRetainDevice, (cl_device_id device), (device))
STATUS(clReleaseDevice, (cl_device_id device), (device))
CREATE(cl_context, clCreateContext, (const intptr_t *properties, cl_uint num_devices, const cl_device_id *devices,
    context_notify pfn_notify, void *user_data, cl_int *err), (properties, num_devices, devices, pfn_notify,
    user_data, err))
CREATE(cl_context, clCreateContextFromType, (const intptr_t *properties, cl_bitfield device_type, context_notify
    pfn_notify, void *user_data, cl_int *err), (properties, device_type, pfn_notify, user_data, err))
STATUS(clRetainContext, (cl_context context), (context))
STATUS(clReleaseContext, (cl_context context), (context))
STATUS(clGetContextInfo, (cl_context context, cl_uint param, size_t size, void *value, size_t *size_ret), (context,
    param, size, value, size_ret))
CREATE(cl_command_queue, clCreateCommandQueue, (cl_context context, cl_device_id device, cl_bitfield properties,
    cl_int *err), (context, device, properties, err))
STATUS(clRetainCommandQueue, (cl_command_queue queue), (queue))
STATUS(clReleaseCommandQueue, (cl_command_queue queue), (queue))
STATUS(clGetCommandQueueInfo, (cl_command_queue queue, cl_uint param, size_t size, void *value, size_t *size_ret),
    (queue, param, size, value, size_ret))
CREATE(cl_mem, clCreateBuffer, (cl_context context, cl_bitfield flags, size_t size, void *host_ptr, cl_int *err),
    (context, flags, size, host_ptr, err))
CREATE(cl_mem, clCreateSubBuffer, (cl_mem buffer, cl_bitfield flags, cl_uint buffer_create_type, const void
    *buffer_create_info, cl_int *err), (buffer, flags, buffer_create_type, buffer_create_info, err))
CREATE(cl_mem, clCreateImage2D, (cl_context context, cl_bitfield flags, const void *image_format, size_t image_width,
    size_t image_depth, size_t image_slc_pitch, void *host_ptr, cl_int *err), (context, flags, image_format,
    image_width, image_depth, image_slc_pitch, host_ptr, err))
CREATE(cl_mem, clCreateImage3D, (cl_context context, cl_bitfield flags, const void *image_format, size_t image_width,
    size_t image_height, size_t image_depth, size_t image_row_pitch, size_t image_slc_pitch, void *host_ptr, cl_int
    *err), (context, flags, image_format, image_width, image_height, image_depth, image_row_pitch, image_slc_pitch,
    host_ptr, err))
CREATE(cl_mem, clCreateImage, (cl_context context, cl_bitfield flags, const void *image_format, const void
    *image_desc, void *host_ptr, cl_int *err), (context, flags, image_format, image_desc, host_ptr, err))
STATUS(clRetainMemObject, (cl_mem memobj), (memobj))
STATUS(clReleaseMemObject, (cl_mem memobj), (memobj))
STATUS(clGetSupportedImageFormats, (cl_context context, cl_bitfield flags, cl_uint image_type, cl_uint num_entries,
    const void *image_formats, cl_uint *num_image_formats), (context, flags, image_type, num_entries, image_formats,
    num_image_formats))
STATUS(clGetMemObjectInfo, (cl_mem memobj, cl_uint param, size_t size, void *value, size_t *size_ret), (memobj, param,
    size, value, size_ret))
STATUS(clGetImageInfo, (cl_mem image, cl_uint param, size_t size, void *value, size_t *size_ret), (image, param, size,
    value, size_ret))
STATUS(clSetMemObjectDestructorCallback, (cl_mem memobj, mem_notify pfn_notify, void *user_data), (memobj, pfn_notify,
    user_data))
CREATE(cl_sampler, clCreateSampler, (cl_context context, cl_uint normalize_coords, cl_uint addressing_mode, cl_uint
    filter_mode, cl_int *err), (context, normalize_coords, addressing_mode, filter_mode, err))
STATUS(clRetainSampler, (cl_sampler sampler), (sampler))
STATUS(clReleaseSampler, (cl_sampler sampler), (sampler))
STATUS(clGetSamplerInfo, (cl_sampler sampler, cl_uint param, size_t size, void *value, size_t *size_ret), (sampler,
    param, size, value, size_ret))
CREATE(cl_program, clCreateProgramWithSource, (cl_context context, cl_uint count, const char * const *strings, const
    size_t *lengths, cl_int *err), (context, count, strings, lengths, err))
CREATE(cl_program, clCreateProgramWithBinary, (cl_context context, cl_uint num_devices, const cl_device_id
    *device_list, const size_t *lengths, const unsigned char * const *binaries, cl_int *binary_status, cl_int *err),
    (context, num_devices, device_list, lengths, binaries, binary_status, err))
CREATE(cl_program, clCreateProgramWithBuiltInKernels, (cl_context context, cl_uint num_devices, const cl_device_id
    *device_list, const char *kernel_names, cl_int *err), (context, num_devices, device_list, kernel_names, err))
STATUS(clRetainProgram, (cl_program program), (program))
STATUS(clReleaseProgram, (cl_program program), (program))
STATUS(clBuildProgram, (cl_program program, cl_uint num_devices, const cl_device_id *device_list, const char *options,
    program_notify pfn_notify, void *user_data), (program, num_devices, device_list, options, pfn_notify, user_data))
STATUS(clUnloadCompiler, (void), ())
STATUS(clCompileProgram, (cl_program program, cl_uint num_devices, const cl_device_id *device_list, const char
    *options, cl_uint num_input_headers, const cl_program *input_headers, const char * const *header_include_names,
    program_notify pfn_notify, void *user_data), (program, num_devices, device_list, options, num_input_headers,
    input_headers, header_include_names, pfn_notify, user_data))
CREATE(cl_program, clLinkProgram, (cl_context context, cl_uint num_devices, const cl_device_id *device_list, const
    char *options, cl_uint num_input_programs, const cl_program *input_programs, program_notify pfn_notify, void
    *user_data, cl_int *err), (context, num_devices, device_list, options, num_input_programs, input_programs,
    pfn_notify, user_data, err))
STATUS(clGetProgramInfo, (cl_program program, cl_uint param, size_t size, void *value, size_t *size_ret), (program,
    param, size, value, size_ret))
STATUS(clGetProgramBuildInfo, (cl_program program, cl_device_id device, cl_uint param, size_t size, void *value,
    size_t *size_ret), (program, device, param, size, value, size_ret))
CREATE(cl_kernel, clCreateKernel, (cl_program program, const char *kernel_name, cl_int *err), (program, kernel_name,
    err))
STATUS(clCreateKernelsInProgram, (cl_program program, cl_uint num_kernels, cl_kernel *kernels, cl_uint
    *num_kernels_ret), (program, num_kernels, kernels, num_kernels_ret))
STATUS(clRetainKernel, (cl_kernel kernel), (kernel))
STATUS(clReleaseKernel, (cl_kernel kernel), (kernel))
STATUS(clSetKernelArg, (cl_kernel kernel, cl_uint arg_index, size_t arg_size, const void *arg_value), (kernel,
    arg_index, arg_size, arg_value))
STATUS(clGetKernelInfo, (cl_kernel kernel, cl_uint param, size_t size, void *value, size_t *size_ret), (kernel, param,
    size, value, size_ret))
STATUS(clGetKernelArgInfo, (cl_kernel kernel, cl_uint arg_indx, cl_uint param, size_t size, void *value, size_t
    *size_ret), (kernel, arg_indx, param, size, value, size_ret))
STATUS(clGetKernelWorkGroupInfo, (cl_kernel kernel, cl_device_id device, cl_uint param, size_t size, void *value,
    size_t *size_ret), (kernel, device, param, size, value, size_ret))
STATUS(clWaitForEvents, (cl_uint num_events, const cl_event *event_list), (num_events, event_list))
STATUS(clGetEventInfo, (cl_event event, cl_uint param, size_t size, void *value, size_t *size_ret), (event, param,
    size, value, size_ret))
CREATE(cl_event, clCreateUserEvent, (cl_context context, cl_int *err), (context, err))
STATUS(clRetainEvent, (cl_event event), (event))
STATUS(clReleaseEvent, (cl_event event), (event))
STATUS(clSetUserEventStatus, (cl_event event, cl_int execution_status), (event, execution_status))
STATUS(clSetEventCallback, (cl_event event, cl_int command_exec_callback_type, event_notify pfn_notify, void
    *user_data), (event, command_exec_callback_type, pfn_notify, user_data))
STATUS(clGetEventProfilingInfo, (cl_event event, cl_uint param, size_t size, void *value, size_t *size_ret), (event,
    param, size, value, size_ret))
STATUS(clFlush, (cl_command_queue queue), (queue))
STATUS(clFinish, (cl_command_queue queue), (queue))
STATUS(clEnqueueReadBuffer, (cl_command_queue queue, cl_mem buffer, cl_uint blocking_read, size_t offset, size_t cb,
    void *ptr, cl_uint n_wait, const cl_event *wait, cl_event *event), (queue, buffer, blocking_read, offset, cb, ptr,
    n_wait, wait, event))
STATUS(clEnqueueReadBufferRect, (cl_command_queue queue, cl_mem buffer, cl_uint blocking_read, const size_t
    *buffer_origin, const size_t *host_origin, const size_t *region, size_t buffer_row_pitch, size_t buffer_slc_pitch,
    size_t host_row_pitch, size_t host_slc_pitch, void *ptr, cl_uint n_wait, const cl_event *wait, cl_event *event),
    (queue, buffer, blocking_read, buffer_origin, host_origin, region, buffer_row_pitch, buffer_slc_pitch,
    host_row_pitch, host_slc_pitch, ptr, n_wait, wait, event))
STATUS(clEnqueueWriteBuffer, (cl_command_queue queue, cl_mem buffer, cl_uint blocking_write, size_t offset, size_t cb,
    const void *ptr, cl_uint n_wait, const cl_event *wait, cl_event *event), (queue, buffer, blocking_write, offset,
    cb, ptr, n_wait, wait, event))
STATUS(clEnqueueWriteBufferRect, (cl_command_queue queue, cl_mem buffer, cl_uint blocking_write, const size_t
    *buffer_origin, const size_t *host_origin, const size_t *region, size_t buffer_row_pitch, size_t buffer_slc_pitch,
    size_t host_row_pitch, size_t host_slc_pitch, const void *ptr, cl_uint n_wait, const cl_event *wait, cl_event
    *event), (queue, buffer, blocking_write, buffer_origin, host_origin, region, buffer_row_pitch, buffer_slc_pitch,
    host_row_pitch, host_slc_pitch, ptr, n_wait, wait, event))
STATUS(clEnqueueFillBuffer, (cl_command_queue queue, cl_mem buffer, const void *pattern, size_t pattern_size, size_t
    offset, size_t size, cl_uint n_wait, const cl_event *wait, cl_event *event), (queue, buffer, pattern,
    pattern_size, offset, size, n_wait, wait, event))
STATUS(clEnqueueCopyBuffer, (cl_command_queue queue, cl_mem src_buffer, cl_mem dst_buffer, size_t src_offset, size_t
    dst_offset, size_t cb, cl_uint n_wait, const cl_event *wait, cl_event *event), (queue, src_buffer, dst_buffer,
    src_offset, dst_offset, cb, n_wait, wait, event))
STATUS(clEnqueueCopyBufferRect, (cl_command_queue queue, cl_mem src_buffer, cl_mem dst_buffer, const size_t
    *src_origin, const size_t *dst_origin, const size_t *region, size_t src_row_pitch, size_t src_slc_pitch, size_t
    dst_row_pitch, size_t dst_slc_pitch, cl_uint n_wait, const cl_event *wait, cl_event *event), (queue, src_buffer,
    dst_buffer, src_origin, dst_origin, region, src_row_pitch, src_slc_pitch, dst_row_pitch, dst_slc_pitch, n_wait,
    wait, event))
STATUS(clEnqueueReadImage, (cl_command_queue queue, cl_mem image, cl_uint blocking_read, const size_t *origin, const
    size_t *region, size_t row_pitch, size_t slc_pitch, void *ptr, cl_uint n_wait, const cl_event *wait, cl_event
    *event), (queue, image, blocking_read, origin, region, row_pitch, slc_pitch, ptr, n_wait, wait, event))
STATUS(clEnqueueWriteImage, (cl_command_queue queue, cl_mem image, cl_uint blocking_write, const size_t *origin, const
    size_t *region, size_t input_row_pitch, size_t input_slc_pitch, const void *ptr, cl_uint n_wait, const cl_event
    *wait, cl_event *event), (queue, image, blocking_write, origin, region, input_row_pitch, input_slc_pitch, ptr,
    n_wait, wait, event))
STATUS(clEnqueueFillImage, (cl_command_queue queue, cl_mem image, const void *fill_color, const size_t *origin, const
    size_t *region, cl_uint n_wait, const cl_event *wait, cl_event *event), (queue, image, fill_color, origin, region,
    n_wait, wait, event))
STATUS(clEnqueueCopyImage, (cl_command_queue queue, cl_mem src_image, cl_mem dst_image, const size_t *src_origin,
    const size_t *dst_origin, const size_t *region, cl_uint n_wait, const cl_event *wait, cl_event *event), (queue,
    src_image, dst_image, src_origin, dst_origin, region, n_wait, wait, event))
STATUS(clEnqueueCopyImageToBuffer, (cl_command_queue queue, cl_mem src_image, cl_mem dst_buffer, const size_t
    *src_origin, const size_t *region, size_t dst_offset, cl_uint n_wait, const cl_event *wait, cl_event *event),
    (queue, src_image, dst_buffer, src_origin, region, dst_offset, n_wait, wait, event))
STATUS(clEnqueueCopyBufferToImage, (cl_command_queue queue, cl_mem src_buffer, cl_mem dst_image, size_t src_offset,
    const size_t *dst_origin, const size_t *region, cl_uint n_wait, const cl_event *wait, cl_event *event), (queue,
    src_buffer, dst_image, src_offset, dst_origin, region, n_wait, wait, event))
CREATE(void *, clEnqueueMapBuffer, (cl_command_queue queue, cl_mem buffer, cl_uint blocking_map, cl_bitfield
    map_flags, size_t offset, size_t size, cl_uint n_wait, const cl_event *wait, cl_event *event, cl_int *err),
    (queue, buffer, blocking_map, map_flags, offset, size, n_wait, wait, event, err))
CREATE(void *, clEnqueueMapImage, (cl_command_queue queue, cl_mem image, cl_uint blocking_map, cl_bitfield map_flags,
    const size_t *origin, const size_t *region, size_t *image_row_pitch, size_t *image_slc_pitch, cl_uint n_wait,
    const cl_event *wait, cl_event *event, cl_int *err), (queue, image, blocking_map, map_flags, origin, region,
    image_row_pitch, image_slc_pitch, n_wait, wait, event, err))
STATUS(clEnqueueUnmapMemObject, (cl_command_queue queue, cl_mem memobj, void *mapped_ptr, cl_uint n_wait, const
    cl_event *wait, cl_event *event), (queue, memobj, mapped_ptr, n_wait, wait, event))
STATUS(clEnqueueMigrateMemObjects, (cl_command_queue queue, cl_uint num_mem_objects, const cl_mem *mem_objects,
    cl_bitfield flags, cl_uint n_wait, const cl_event *wait, cl_event *event), (queue, num_mem_objects, mem_objects,
    flags, n_wait, wait, event))
STATUS(clEnqueueNDRangeKernel, (cl_command_queue queue, cl_kernel kernel, cl_uint work_dim, const size_t
    *global_work_offset, const size_t *global_work_dims, const size_t *local_work_dims, cl_uint n_wait, const cl_event
    *wait, cl_event *event), (queue, kernel, work_dim, global_work_offset, global_work_dims, local_work_dims, n_wait,
    wait, event))
STATUS(clEnqueueTask, (cl_command_queue queue, cl_kernel kernel, cl_uint n_wait, const cl_event *wait, cl_event
    *event), (queue, kernel, n_wait, wait, event))
STATUS(clEnqueueNativeKernel, (cl_command_queue queue, native_fn user_func, void *args, size_t cb_args, cl_uint
    num_mem_objects, const cl_mem *mem_list, const void * const *args_mem_loc, cl_uint n_wait, const cl_event *wait,
    cl_event *event), (queue, user_func, args, cb_args, num_mem_objects, mem_list, args_mem_loc, n_wait, wait, event))
STATUS(clEnqueueMarker, (cl_command_queue queue, cl_event *event), (queue, event))
STATUS(clEnqueueMarkerWithWaitList, (cl_command_queue queue, cl_uint n_wait, const cl_event *wait, cl_event *event),
    (queue, n_wait, wait, event))
STATUS(clEnqueueWaitForEvents, (cl_command_queue queue, cl_uint num_events, cl_event *event_list), (queue, num_events,
    event_list))
STATUS(clEnqueueBarrierWithWaitList, (cl_command_queue queue, cl_uint n_wait, const cl_event *wait, cl_event *event),
    (queue, n_wait, wait, event))
STATUS(clEnqueueBarrier, (cl_command_queue queue), (queue))
POINTER(clGetExtensionFunctionAddress, (const char *func_name), (func_name))
POINTER(clGetExtensionFunctionAddressForPlatform, (cl_platform_id platform, const char *func_name), (platform,
    func_name))
