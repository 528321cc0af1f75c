"""`torch.utils.tensorboard`: event files that TensorBoard shows. Nothing else needs to be installed."""

from .writer import FileWriter, SummaryWriter

__all__ = ["FileWriter", "SummaryWriter"]
