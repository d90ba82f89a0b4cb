"""Libraries that print bars while they load weights."""

from __future__ import annotations


def no_loading_bars() -> None:
    """Load models of transformers without a progress bar: a notebook would keep it as output."""
    from transformers.utils import logging

    logging.disable_progress_bar()
