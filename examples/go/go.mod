module github.com/taper-torch/taper/examples/go

go 1.24

require github.com/taper-torch/taper/bindings/go v0.0.0

replace github.com/taper-torch/taper/bindings/go => ../../bindings/go
