use super::convert::*;
use super::objects_gen::*;
use super::types::*;
use crate::base::error::ErrorKind;
use std::ffi::CStr;
use std::sync::atomic::{AtomicUsize, Ordering};

fn message(e: *mut taper_error) -> String {
    assert!(!e.is_null());
    // SAFETY: the message is NUL-terminated and lives until the error is freed.
    let m = unsafe { CStr::from_ptr(taper_error_message(e)) }.to_str().unwrap().to_string();
    assert!(taper_error_free(e));
    m
}

#[test]
fn a_panic_is_an_error_with_its_place() {
    let e = guard("some_op", |_| {
        let v: Vec<i32> = Vec::new();
        let i = v.len() + 3;
        println!("{}", v[i]);
        Ok(())
    });
    assert_eq!(taper_error_code(e), ErrorKind::Internal as i32);
    let m = message(e);
    assert!(m.contains("index out of bounds") && m.contains("convert_tests.rs:"), "{m}");
    // The next call is not disturbed.
    assert!(taper_check_abi(TAPER_ABI_VERSION).is_null());
    assert_eq!(getter(-1, || -> Option<i32> { panic!("in a getter") }), -1);
}

#[test]
fn a_panic_on_a_kernel_thread_is_an_error_too() {
    let e = guard("some_op", |_| {
        // As the thread pool does it: the panic of a worker goes on in the caller.
        let worker = std::thread::Builder::new().name("taper-0".into()).spawn(|| panic!("bad element")).unwrap();
        std::panic::resume_unwind(worker.join().unwrap_err())
    });
    let m = message(e);
    assert!(m.contains("bad element") && m.contains("convert_tests.rs:"), "{m}");
}

#[test]
fn panics_elsewhere_reach_the_hook_that_was_there() {
    static SEEN: AtomicUsize = AtomicUsize::new(0);
    assert!(taper_check_abi(TAPER_ABI_VERSION).is_null());
    let before = std::panic::take_hook();
    std::panic::set_hook(Box::new(|_| {
        SEEN.fetch_add(1, Ordering::Relaxed);
    }));
    let outside = std::panic::catch_unwind(|| panic!("outside"));
    std::panic::set_hook(before);
    assert!(outside.is_err() && SEEN.load(Ordering::Relaxed) >= 1);
}

#[test]
fn arguments_are_checked() {
    let c = Call { op: "f", word: 0 };
    // SAFETY: every pointer below is NULL, or misaligned, or a live local.
    unsafe {
        let numbers = [1i64, 2, 3];
        assert_eq!(c.slice(0, "x", numbers.as_ptr(), 3).unwrap(), numbers);
        assert!(c.slice(0, "x", std::ptr::null::<i64>(), 0).unwrap().is_empty());
        let e = c.slice(0, "x", std::ptr::null::<i64>(), 2).unwrap_err();
        assert_eq!(e.message, "f(): argument 'x' (position 1): the array is NULL but its length is 2");
        assert_eq!(e.arg, Some(0));
        assert!(c.slice(0, "x", numbers.as_ptr(), usize::MAX).is_err());
        assert!(c.slice(0, "x", numbers.as_ptr().byte_add(1), 1).unwrap_err().message.contains("not aligned"));
        assert!(c.opt_slice(0, "x", std::ptr::null::<i64>(), 0).unwrap().is_none());
        assert!(c.opt_slice(0, "x", std::ptr::null::<i64>(), 1).is_err());

        let (yes, two) = (1u8, 2u8);
        assert_eq!(c.opt(0, "x", &yes as *const u8 as *const bool).unwrap(), Some(true));
        assert!(c.opt(0, "x", &two as *const u8 as *const bool).unwrap_err().message.contains("0 or 1"));
        assert_eq!(c.opt(0, "x", std::ptr::null::<f64>()).unwrap(), None);

        assert_eq!(c.str(0, "x", c"caf\xc3\xa9".as_ptr()).unwrap(), "café");
        assert!(c.str(0, "x", c"\xff".as_ptr()).unwrap_err().message.contains("UTF-8"));
        assert!(c.str(0, "x", std::ptr::null()).is_err());
        assert!(c.opt_str(0, "x", std::ptr::null()).unwrap().is_none());

        let mut place = 5i64;
        c.out(1, "out", &mut place).unwrap().set(9i64).unwrap();
        assert_eq!(place, 9);
        drop(c.out(1, "out", &mut place));
        assert_eq!(place, 0, "a result is emptied before anything can fail");
        assert!(c.out(1, "out", std::ptr::null_mut::<i64>()).is_err());
    }
    assert!(c.dtype(2, "dtype", 8).unwrap_err().message.contains("(position 3): invalid dtype code 8"));
    assert_eq!(c.opt_dtype(2, "dtype", -1).unwrap(), None);
    assert!(c.opt_dtype(2, "dtype", -2).is_err());
    assert_eq!(c.opt_device(0, "device", taper_device { r#type: 0, index: 9 }).unwrap(), None);
    assert!(c.device(0, "device", taper_device { r#type: 0, index: 0 }).is_err());
    assert!(c.scalar(0, "x", taper_scalar { kind: 4, i: 0, f: 0.0 }).is_err());
}

#[test]
fn structs_may_grow() {
    use super::user::{read_struct, CStruct};
    #[repr(C)]
    #[derive(Clone, Copy)]
    struct Options {
        struct_size: usize,
        a: i64,
        b: i64,
    }
    // SAFETY: repr(C), a size, numbers.
    unsafe impl CStruct for Options {
        const INIT: Self = Options { struct_size: 0, a: 10, b: 20 };
        const MIN_SIZE: usize = 16;
    }
    let c = Call { op: "f", word: 0 };
    // A guard value after the part that an old caller has.
    let old = Options { struct_size: 16, a: 1, b: 666 };
    // SAFETY: readable for struct_size bytes.
    let read = unsafe { read_struct(&c, 0, "options", &old) }.unwrap();
    assert_eq!((read.a, read.b), (1, 20));
    let newer = [32usize, 1, 2, 0];
    // SAFETY: readable for struct_size bytes.
    let read = unsafe { read_struct(&c, 0, "options", newer.as_ptr() as *const Options) }.unwrap();
    assert_eq!((read.a, read.b), (1, 2));
    let newer = [32usize, 1, 2, 3];
    // SAFETY: readable for struct_size bytes.
    let e = unsafe { read_struct(&c, 0, "options", newer.as_ptr() as *const Options) }.err().unwrap();
    assert!(e.message.contains("does not know"));
    for size in [0, 15, usize::MAX] {
        let wrong = Options { struct_size: size, a: 0, b: 0 };
        // SAFETY: only struct_size is read before the check.
        assert!(unsafe { read_struct(&c, 0, "options", &wrong) }.is_err());
    }
    // SAFETY: NULL is an error.
    assert!(unsafe { read_struct(&c, 0, "options", std::ptr::null::<Options>()) }.is_err());
}

#[cfg(debug_assertions)]
#[test]
fn what_comes_with_a_callback_is_dropped_once_also_without_memory() {
    use super::module::taper_module_vtable;
    use super::user::CStruct;
    use crate::backend::memory::inject::{run, Fail};
    use std::os::raw::c_void;
    static DROPS: AtomicUsize = AtomicUsize::new(0);
    unsafe extern "C" fn dropped(_: *mut c_void) {
        DROPS.fetch_add(1, Ordering::Relaxed);
    }
    let vtable = taper_module_vtable {
        struct_size: std::mem::size_of::<taper_module_vtable>(),
        drop: Some(dropped),
        ..CStruct::INIT
    };
    let make = |_| {
        let mut m = std::ptr::null_mut();
        // SAFETY: a struct and a place that live, and a text that ends.
        let e = unsafe { taper_module_new(c"m".as_ptr(), &vtable, std::ptr::null_mut(), &mut m) };
        (e, m)
    };
    let mut refused = 0;
    for plan in (0..20).flat_map(|k| [Fail::At(k), Fail::From(k)]) {
        let before = DROPS.load(Ordering::Relaxed);
        // The second and third call come when memory has run out already.
        let made = run(plan, || [0, 1, 2].map(make)).0;
        for (e, m) in made {
            assert_eq!(e.is_null(), !m.is_null());
            refused += usize::from(m.is_null());
            assert!(taper_error_free(e) && taper_module_free(m));
        }
        assert_eq!(DROPS.load(Ordering::Relaxed) - before, 3, "{plan:?}");
    }
    assert!(refused > 0);
}
