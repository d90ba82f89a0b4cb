"""Shared parts of the LLM-enhanced recommender systems tutorial.

Four subpackages, and an import only ever points left:
``data`` -> ``language`` -> ``recommenders`` -> ``tutorial``.
"""

import warnings

# tqdm misses ipywidgets in every notebook; the tutorial stores no bars, so it does not need them.
warnings.filterwarnings("ignore", message="IProgress not found")

__version__ = "0.1.0"
