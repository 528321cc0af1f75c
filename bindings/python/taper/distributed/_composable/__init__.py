"""Where older programs look for `fully_shard`."""

from ..fsdp import fully_shard  # noqa: F401
