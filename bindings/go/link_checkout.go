//go:build taper_checkout && !taper_static

package taper

// #cgo CFLAGS: -I${SRCDIR}
// #cgo LDFLAGS: -L${SRCDIR}/../../target/release -ltaper -Wl,-rpath,${SRCDIR}/../../target/release
import "C"
