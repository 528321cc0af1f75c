//! The tests of the kernels as a program: each is called in the library, which has them (`build.rs`).

taper_kernels::kernel_tests!();
