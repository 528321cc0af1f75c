"""`torch.ao`: of quantization the stubs alone."""
