"""`torch.onnx`: models are not exported."""

__all__ = ["ExportableModule", "InputObserver", "ONNXProgram", "OnnxExporterError", "export", "is_in_onnx_export"]


class OnnxExporterError(RuntimeError):
    """Raised by what would write ONNX."""


def _refused(what):
    return OnnxExporterError(
        f"{what}: Taper does not write ONNX; load the model's state dict (torch.save, safetensors) in PyTorch and export it there"
    )


def export(*args, **kwargs):
    """Refused."""
    raise _refused("torch.onnx.export")


def is_in_onnx_export():
    """False."""
    return False


class ONNXProgram:
    """Of PyTorch's exporter: cannot be made."""

    def __init__(self, *args, **kwargs):
        raise _refused(f"torch.onnx.{type(self).__name__}")


class InputObserver(ONNXProgram):
    """Of PyTorch's exporter: cannot be made."""


class ExportableModule(ONNXProgram):
    """Of PyTorch's exporter: cannot be made."""
