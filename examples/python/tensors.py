"""Nested lists and NumPy arrays as tensors, and how tensors print:  scripts/example.sh python tensors"""

import numpy as np

import taper as torch

data = [[1, 2], [3, 4]]
print(data)
print(type(data))
x_data = torch.tensor(data)
print(x_data)
print(x_data.shape)
print(type(x_data))

# A tensor from an array shares the array's memory and keeps its dtype: nothing is copied.
np_array = np.array(data)
print(np_array)
print(np_array.shape)
print(type(np_array))
x_np = torch.from_numpy(np_array)
print(x_np)
print(x_np.shape)
print(type(x_np))
np_array[0, 0] = 10
print(x_np)

# An array of another integer type than the usual one shows its dtype.
print(torch.from_numpy(np.array(data, dtype=np.int32)))

# Gradients: y = sum(x * x), so dy/dx = 2 x.
x = torch.tensor([1.0, 2.0, 3.0], requires_grad=True)
y = (x * x).sum()
print(y)
y.backward()
print(x.grad)

# A mistake is an error that says what is wrong.
try:
    torch.ones(2, 3) @ torch.ones(4, 5)
except RuntimeError as error:
    print(error)
