"""Errors of a compiler: named by programs that catch them, raised by nothing here."""


class TorchDynamoException(RuntimeError):
    """Base of these errors."""


class Unsupported(TorchDynamoException):
    """What cannot be compiled."""


class BackendCompilerFailed(TorchDynamoException):
    """A compiler that fails."""


class UserError(Unsupported):
    """A program's error in what it says to a compiler."""
