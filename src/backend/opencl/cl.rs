//! OpenCL's functions behind owning types: the one place where handles are made, counted and released.

use crate::backend::gpu::driver::Mem;
use crate::base::error::{Error, ErrorKind, Result};
use ocl::ffi::*;
use std::ffi::{c_char, c_void, CStr, CString};
use std::ptr;

extern "C" {
    fn opencl_stub_load_error() -> *const c_char;
}

/// Why libOpenCL could not be opened; None where it was.
pub fn load_error() -> Option<String> {
    // SAFETY: the stub returns a NUL-terminated static string that does not change after the first call.
    let text = unsafe { CStr::from_ptr(opencl_stub_load_error()) };
    (!text.is_empty()).then(|| text.to_string_lossy().into_owned())
}

/// The standard's name of an error code.
pub fn error_name(code: cl_int) -> &'static str {
    match code {
        -1 => "CL_DEVICE_NOT_FOUND",
        -2 => "CL_DEVICE_NOT_AVAILABLE",
        -3 => "CL_COMPILER_NOT_AVAILABLE",
        -4 => "CL_MEM_OBJECT_ALLOCATION_FAILURE",
        -5 => "CL_OUT_OF_RESOURCES",
        -6 => "CL_OUT_OF_HOST_MEMORY",
        -7 => "CL_PROFILING_INFO_NOT_AVAILABLE",
        -8 => "CL_MEM_COPY_OVERLAP",
        -11 => "CL_BUILD_PROGRAM_FAILURE",
        -12 => "CL_MAP_FAILURE",
        -13 => "CL_MISALIGNED_SUB_BUFFER_OFFSET",
        -14 => "CL_EXEC_STATUS_ERROR_FOR_EVENTS_IN_WAIT_LIST",
        -15 => "CL_COMPILE_PROGRAM_FAILURE",
        -16 => "CL_LINKER_NOT_AVAILABLE",
        -17 => "CL_LINK_PROGRAM_FAILURE",
        -30 => "CL_INVALID_VALUE",
        -31 => "CL_INVALID_DEVICE_TYPE",
        -32 => "CL_INVALID_PLATFORM",
        -33 => "CL_INVALID_DEVICE",
        -34 => "CL_INVALID_CONTEXT",
        -35 => "CL_INVALID_QUEUE_PROPERTIES",
        -36 => "CL_INVALID_COMMAND_QUEUE",
        -37 => "CL_INVALID_HOST_PTR",
        -38 => "CL_INVALID_MEM_OBJECT",
        -42 => "CL_INVALID_BINARY",
        -43 => "CL_INVALID_BUILD_OPTIONS",
        -44 => "CL_INVALID_PROGRAM",
        -45 => "CL_INVALID_PROGRAM_EXECUTABLE",
        -46 => "CL_INVALID_KERNEL_NAME",
        -47 => "CL_INVALID_KERNEL_DEFINITION",
        -48 => "CL_INVALID_KERNEL",
        -49 => "CL_INVALID_ARG_INDEX",
        -50 => "CL_INVALID_ARG_VALUE",
        -51 => "CL_INVALID_ARG_SIZE",
        -52 => "CL_INVALID_KERNEL_ARGS",
        -53 => "CL_INVALID_WORK_DIMENSION",
        -54 => "CL_INVALID_WORK_GROUP_SIZE",
        -55 => "CL_INVALID_WORK_ITEM_SIZE",
        -56 => "CL_INVALID_GLOBAL_OFFSET",
        -57 => "CL_INVALID_EVENT_WAIT_LIST",
        -58 => "CL_INVALID_EVENT",
        -59 => "CL_INVALID_OPERATION",
        -61 => "CL_INVALID_BUFFER_SIZE",
        -63 => "CL_INVALID_GLOBAL_WORK_SIZE",
        -1001 => "CL_PLATFORM_NOT_FOUND_KHR",
        _ => "unknown OpenCL error",
    }
}

/// Whether a code means that memory ran out.
pub fn is_out_of_memory(code: cl_int) -> bool {
    matches!(code, -4 | -5 | -6 | -61)
}

/// Turns a status into an error naming the call.
pub fn check(code: cl_int, call: &str) -> Result<()> {
    if code == 0 {
        return Ok(());
    }
    let kind = if matches!(code, -4 | -6) { ErrorKind::OutOfMemory } else { ErrorKind::Runtime };
    Err(Error::new(kind, format!("OpenCL: {call} failed with {} ({code})", error_name(code))))
}

macro_rules! owned {
    ($(#[$doc:meta])* $name:ident, $raw:ty, $release:ident) => {
        $(#[$doc])*
        pub struct $name($raw);
        // SAFETY: OpenCL objects may be used and released from any thread (clSetKernelArg is guarded by a lock).
        unsafe impl Send for $name {}
        unsafe impl Sync for $name {}
        impl Drop for $name {
            fn drop(&mut self) {
                // SAFETY: this value owns one reference.
                unsafe { $release(self.0) };
            }
        }
    };
}
owned!(
    /// A context of one device.
    Context, cl_context, clReleaseContext
);
owned!(
    /// An in-order queue.
    Queue, cl_command_queue, clReleaseCommandQueue
);
owned!(
    /// A built program.
    Program, cl_program, clReleaseProgram
);
owned!(
    /// A kernel of a program.
    Kernel, cl_kernel, clReleaseKernel
);
owned!(
    /// The completion of a queued command.
    Event, cl_event, clReleaseEvent
);

/// The buffer's handle.
fn raw(mem: &Mem) -> cl_mem {
    mem.handle as usize as cl_mem
}
/// Releases a buffer made by [`Context::buffer`]; queued work keeps it until it is done.
pub fn release(mem: Mem) {
    // SAFETY: the value owned one reference.
    unsafe { clReleaseMemObject(raw(&mem)) };
}

/// A device of a platform. Root devices are never released.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct DeviceId(cl_device_id);
// SAFETY: an opaque identifier that lives as long as the process.
unsafe impl Send for DeviceId {}
unsafe impl Sync for DeviceId {}

/// A platform (a driver).
#[derive(Clone, Copy)]
pub struct PlatformId(cl_platform_id);

/// All platforms, or the error code.
pub fn platforms() -> std::result::Result<Vec<PlatformId>, cl_int> {
    let mut n = 0;
    // SAFETY: the two-call protocol of the standard; the vector has room for n entries.
    unsafe {
        let code = clGetPlatformIDs(0, ptr::null_mut(), &mut n);
        if code != 0 {
            return Err(code);
        }
        let mut ids = vec![ptr::null_mut(); n as usize];
        if n > 0 {
            let code = clGetPlatformIDs(n, ids.as_mut_ptr(), ptr::null_mut());
            if code != 0 {
                return Err(code);
            }
        }
        Ok(ids.into_iter().map(PlatformId).collect())
    }
}

impl PlatformId {
    /// A string property; empty when the driver does not answer.
    pub fn text(self, what: cl_platform_info) -> String {
        let mut n = 0;
        // SAFETY: the buffer has the size that the first call reported.
        unsafe {
            if clGetPlatformInfo(self.0, what, 0, ptr::null_mut(), &mut n) != 0 {
                return String::new();
            }
            let mut buf = vec![0u8; n];
            clGetPlatformInfo(self.0, what, n, buf.as_mut_ptr().cast(), ptr::null_mut());
            trimmed(&buf)
        }
    }
    /// The platform's devices of every type; none is not an error.
    pub fn devices(self) -> std::result::Result<Vec<DeviceId>, cl_int> {
        let mut n = 0;
        // SAFETY: the two-call protocol; the vector has room for n entries.
        unsafe {
            match clGetDeviceIDs(self.0, CL_DEVICE_TYPE_ALL, 0, ptr::null_mut(), &mut n) {
                0 => {}
                -1 => return Ok(Vec::new()),
                code => return Err(code),
            }
            let mut ids = vec![ptr::null_mut(); n as usize];
            match clGetDeviceIDs(self.0, CL_DEVICE_TYPE_ALL, n, ids.as_mut_ptr(), ptr::null_mut()) {
                0 => Ok(ids.into_iter().map(DeviceId).collect()),
                code => Err(code),
            }
        }
    }
}

impl DeviceId {
    pub fn text(self, what: cl_device_info) -> String {
        let mut n = 0;
        // SAFETY: the buffer has the size that the first call reported.
        unsafe {
            if clGetDeviceInfo(self.0, what, 0, ptr::null_mut(), &mut n) != 0 {
                return String::new();
            }
            let mut buf = vec![0u8; n];
            clGetDeviceInfo(self.0, what, n, buf.as_mut_ptr().cast(), ptr::null_mut());
            trimmed(&buf)
        }
    }
    /// An integer property of up to 8 bytes; 0 when the driver does not answer.
    pub fn number(self, what: cl_device_info) -> u64 {
        let mut value = 0u64;
        // SAFETY: scalar properties have at most 8 bytes; little-endian hosts zero-extend by the initial 0.
        unsafe { clGetDeviceInfo(self.0, what, 8, (&mut value as *mut u64).cast(), ptr::null_mut()) };
        value
    }
}

fn trimmed(buf: &[u8]) -> String {
    let end = buf.iter().position(|b| *b == 0).unwrap_or(buf.len());
    String::from_utf8_lossy(&buf[..end]).trim().to_string()
}

impl Context {
    pub fn new(device: DeviceId) -> Result<Context> {
        let mut code = 0;
        // SAFETY: one valid device, no properties, no callback.
        let raw = unsafe { clCreateContext(ptr::null(), 1, &device.0, None, ptr::null_mut(), &mut code) };
        check(code, "clCreateContext")?;
        Ok(Context(raw))
    }
    /// An in-order queue on the context's device.
    pub fn queue(&self, device: DeviceId) -> Result<Queue> {
        let mut code = 0;
        // SAFETY: context and device belong together.
        let raw = unsafe { clCreateCommandQueue(self.0, device.0, 0, &mut code) };
        check(code, "clCreateCommandQueue")?;
        Ok(Queue(raw))
    }
    /// A read-write buffer, or the error code. `pinned` asks for memory that the host can map cheaply.
    pub fn buffer(&self, nbytes: usize, pinned: bool) -> std::result::Result<Mem, cl_int> {
        let mut code = 0;
        let flags = CL_MEM_READ_WRITE | if pinned { CL_MEM_ALLOC_HOST_PTR } else { 0 };
        // SAFETY: no host pointer.
        let raw = unsafe { clCreateBuffer(self.0, flags, nbytes, ptr::null_mut(), &mut code) };
        if code != 0 {
            return Err(code);
        }
        Ok(Mem::new(raw as usize as u64))
    }
    pub fn program_from_source(&self, source: &str) -> Result<Program> {
        let (mut code, text, len) = (0, source.as_ptr() as *const c_char, source.len());
        // SAFETY: one string with its length; OpenCL copies it.
        let raw = unsafe { clCreateProgramWithSource(self.0, 1, &text, &len, &mut code) };
        check(code, "clCreateProgramWithSource")?;
        Ok(Program(raw))
    }
    pub fn program_from_binary(&self, device: DeviceId, binary: &[u8]) -> Result<Program> {
        let (mut code, mut status, data, len) = (0, 0, binary.as_ptr(), binary.len());
        // SAFETY: one binary with its length for one device; OpenCL copies it.
        let raw = unsafe { clCreateProgramWithBinary(self.0, 1, &device.0, &len, &data, &mut status, &mut code) };
        check(code, "clCreateProgramWithBinary")?;
        let program = Program(raw);
        check(status, "clCreateProgramWithBinary")?;
        Ok(program)
    }
}

impl Program {
    /// Compiles; the error carries the compiler's log.
    pub fn build(&self, device: DeviceId, options: &str) -> Result<()> {
        let options = CString::new(options).unwrap_or_default();
        // SAFETY: without a callback the call returns when the build is done.
        let code = unsafe { clBuildProgram(self.0, 1, &device.0, options.as_ptr(), None, ptr::null_mut()) };
        check(code, "clBuildProgram").map_err(|mut e| {
            e.message = format!("{}; the compiler's log:\n{}", e.message, self.build_log(device));
            e
        })
    }
    fn build_log(&self, device: DeviceId) -> String {
        let mut n = 0;
        // SAFETY: the buffer has the size that the first call reported.
        unsafe {
            if clGetProgramBuildInfo(self.0, device.0, CL_PROGRAM_BUILD_LOG, 0, ptr::null_mut(), &mut n) != 0 {
                return String::new();
            }
            let mut buf = vec![0u8; n];
            clGetProgramBuildInfo(self.0, device.0, CL_PROGRAM_BUILD_LOG, n, buf.as_mut_ptr().cast(), ptr::null_mut());
            trimmed(&buf)
        }
    }
    /// The device binary of a built program; None when the driver has none.
    pub fn binary(&self) -> Option<Vec<u8>> {
        let mut size = 0usize;
        // SAFETY: the context has one device, so there is one size and one pointer.
        unsafe {
            let out = (&mut size as *mut usize).cast();
            if clGetProgramInfo(self.0, CL_PROGRAM_BINARY_SIZES, 8, out, ptr::null_mut()) != 0 || size == 0 {
                return None;
            }
            let mut buf = vec![0u8; size];
            let mut pointer = buf.as_mut_ptr();
            let out = (&mut pointer as *mut *mut u8).cast();
            let code =
                clGetProgramInfo(self.0, CL_PROGRAM_BINARIES, std::mem::size_of::<*mut u8>(), out, ptr::null_mut());
            (code == 0).then_some(buf)
        }
    }
    pub fn kernel(&self, name: &str) -> Result<Kernel> {
        let mut code = 0;
        let cname = CString::new(name).unwrap_or_default();
        // SAFETY: a NUL-terminated name.
        let raw = unsafe { clCreateKernel(self.0, cname.as_ptr(), &mut code) };
        check(code, &format!("clCreateKernel({name})"))?;
        Ok(Kernel(raw))
    }
}

impl Kernel {
    /// Sets argument `index`; the caller holds the kernel's lock until the launch is queued.
    pub fn set_bytes(&self, index: u32, bytes: &[u8]) -> Result<()> {
        // SAFETY: OpenCL copies the bytes and checks their number against the parameter.
        let code = unsafe { clSetKernelArg(self.0, index, bytes.len(), bytes.as_ptr().cast()) };
        argument_set(code, index)
    }
    pub fn set_mem(&self, index: u32, mem: &Mem) -> Result<()> {
        let handle = raw(mem);
        // SAFETY: the argument is a buffer handle by value.
        let code = unsafe {
            clSetKernelArg(self.0, index, std::mem::size_of::<cl_mem>(), (&handle as *const cl_mem).cast::<c_void>())
        };
        argument_set(code, index)
    }
}

/// Part of every launch: text is made for an error alone.
fn argument_set(code: cl_int, index: u32) -> Result<()> {
    match code {
        0 => Ok(()),
        _ => check(code, &format!("clSetKernelArg({index})")),
    }
}

impl Queue {
    pub fn launch(&self, kernel: &Kernel, global: &[usize; 3], local: &[usize; 3]) -> Result<()> {
        // SAFETY: arguments were set under the caller's lock; sizes are arrays of three.
        let code = unsafe {
            clEnqueueNDRangeKernel(
                self.0,
                kernel.0,
                3,
                ptr::null(),
                global.as_ptr(),
                local.as_ptr(),
                0,
                ptr::null(),
                ptr::null_mut(),
            )
        };
        check(code, "clEnqueueNDRangeKernel")
    }
    /// Reads and waits.
    pub fn read(&self, mem: &Mem, offset: usize, dst: &mut [u8]) -> Result<()> {
        // SAFETY: a blocking read into a slice of the given length; OpenCL checks the buffer's bounds.
        let code = unsafe {
            clEnqueueReadBuffer(
                self.0,
                raw(mem),
                1,
                offset,
                dst.len(),
                dst.as_mut_ptr().cast(),
                0,
                ptr::null(),
                ptr::null_mut(),
            )
        };
        check(code, "clEnqueueReadBuffer")
    }
    /// Writes and waits.
    pub fn write(&self, mem: &Mem, offset: usize, src: &[u8]) -> Result<()> {
        // SAFETY: a blocking write from a slice of the given length; OpenCL checks the buffer's bounds.
        let code = unsafe {
            clEnqueueWriteBuffer(
                self.0,
                raw(mem),
                1,
                offset,
                src.len(),
                src.as_ptr().cast(),
                0,
                ptr::null(),
                ptr::null_mut(),
            )
        };
        check(code, "clEnqueueWriteBuffer")
    }
    /// Queues a copy between buffers.
    pub fn copy(&self, src: &Mem, src_offset: usize, dst: &Mem, dst_offset: usize, n: usize) -> Result<()> {
        // SAFETY: OpenCL checks bounds and overlap.
        let code = unsafe {
            clEnqueueCopyBuffer(self.0, raw(src), raw(dst), src_offset, dst_offset, n, 0, ptr::null(), ptr::null_mut())
        };
        check(code, "clEnqueueCopyBuffer")
    }
    /// Maps a whole pinned buffer for reading and writing; it stays mapped.
    pub fn map(&self, mem: &Mem, nbytes: usize) -> Result<ptr::NonNull<u8>> {
        let mut code = 0;
        // SAFETY: a blocking map of the whole buffer.
        let p = unsafe {
            clEnqueueMapBuffer(
                self.0,
                raw(mem),
                1,
                CL_MAP_READ | CL_MAP_WRITE,
                0,
                nbytes,
                0,
                ptr::null(),
                ptr::null_mut(),
                &mut code,
            )
        };
        check(code, "clEnqueueMapBuffer")?;
        ptr::NonNull::new(p.cast())
            .ok_or_else(|| Error::new(ErrorKind::Runtime, "OpenCL: clEnqueueMapBuffer gave NULL"))
    }
    /// Queues a write whose source stays valid until the event completes.
    ///
    /// # Safety
    /// `src` must be readable for `n` bytes until the returned event is complete.
    pub unsafe fn write_async(&self, mem: &Mem, offset: usize, src: *const u8, n: usize) -> Result<Event> {
        let mut event = ptr::null_mut();
        let code = clEnqueueWriteBuffer(self.0, raw(mem), 0, offset, n, src.cast(), 0, ptr::null(), &mut event);
        check(code, "clEnqueueWriteBuffer")?;
        Ok(Event(event))
    }
    pub fn flush(&self) -> Result<()> {
        // SAFETY: a valid queue.
        check(unsafe { clFlush(self.0) }, "clFlush")
    }
    pub fn finish(&self) -> Result<()> {
        // SAFETY: a valid queue.
        check(unsafe { clFinish(self.0) }, "clFinish")
    }
}

impl Event {
    pub fn is_complete(&self) -> bool {
        let mut status: cl_int = 1;
        let out = (&mut status as *mut cl_int).cast();
        // SAFETY: the status is one cl_int.
        unsafe { clGetEventInfo(self.0, CL_EVENT_COMMAND_EXECUTION_STATUS, 4, out, ptr::null_mut()) };
        status <= 0
    }
    pub fn wait(&self) -> Result<()> {
        // SAFETY: one valid event.
        check(unsafe { clWaitForEvents(1, &self.0) }, "clWaitForEvents")
    }
}
