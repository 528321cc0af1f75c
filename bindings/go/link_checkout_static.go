//go:build taper_checkout && taper_static

package taper

// #cgo CFLAGS: -I${SRCDIR}
// #cgo LDFLAGS: ${SRCDIR}/../../target/release/libtaper.a -lpthread -lm -ldl
import "C"
