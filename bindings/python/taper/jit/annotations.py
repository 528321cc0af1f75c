"""Types in annotations (`torch.jit.annotations`)."""

from typing import Any, Dict, Final, List, NamedTuple, Optional, Tuple, Union  # noqa: F401, UP035


class BroadcastingListCls:
    """`BroadcastingList2[int]`: an int or that many."""

    def __getitem__(self, types):
        return None


BroadcastingList1 = BroadcastingListCls()
for _i in range(2, 7):
    globals()[f"BroadcastingList{_i}"] = BroadcastingList1
