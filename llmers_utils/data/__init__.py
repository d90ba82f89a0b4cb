"""Data: assets from outside, one dataset shape, splits."""

from llmers_utils.data.assets import AssetError, AssetStatus, asset_status, fetch
from llmers_utils.data.dataset import Dataset, display_titles
from llmers_utils.data.loading import load_dataset
from llmers_utils.data.reading import DataError
from llmers_utils.data.splits import (
    SPLITS,
    Split,
    cold_items,
    global_time,
    leave_last_out,
    prefix,
)

__all__ = [
    "SPLITS",
    "AssetError",
    "AssetStatus",
    "DataError",
    "Dataset",
    "Split",
    "asset_status",
    "cold_items",
    "display_titles",
    "fetch",
    "global_time",
    "leave_last_out",
    "load_dataset",
    "prefix",
]
