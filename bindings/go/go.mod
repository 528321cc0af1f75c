module github.com/taper-torch/taper/bindings/go

go 1.24
