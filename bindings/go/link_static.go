//go:build !taper_checkout && taper_static

package taper

// #cgo CFLAGS: -I${SRCDIR}
// #cgo pkg-config: taper-static
import "C"
