"""What of a checkpoint is written and read."""


class DefaultSavePlanner:
    """Writes everything."""

    def __init__(self, flatten_state_dict=True, flatten_sharded_tensors=True, **options):
        self.flatten_state_dict = flatten_state_dict


class DefaultLoadPlanner:
    """Reads what the state dict names; allow_partial_load: what is missing there stays."""

    def __init__(self, flatten_state_dict=True, flatten_sharded_tensors=True, allow_partial_load=False):
        self.flatten_state_dict, self.allow_partial_load = flatten_state_dict, allow_partial_load
