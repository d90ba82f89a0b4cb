"""Everything in one go: ``python -m tests.benchmarks.run [PART ...] [--smoke]``."""

from __future__ import annotations

import argparse
import os
import time

from llmers_utils.data import fetch
from tests.benchmarks import annotation, batch, encoding, figure, growth, models, parity, results

PARTS = {
    "models": models.measure,
    "encoding": encoding.measure,
    "annotation": annotation.measure,
    "batch": batch.measure,
    "growth": growth.measure,
}


def main() -> None:
    """Measure what is asked for, keep it, and write the README's part."""
    parser = argparse.ArgumentParser(description=__doc__)
    parts = f"of parity, {', '.join(PARTS)}; default: all; `show` only writes the README's part"
    parser.add_argument("parts", nargs="*", help=parts)
    parser.add_argument("--smoke", action="store_true", help="a minute of it; keeps nothing")
    parser.add_argument("--repetitions", type=int, default=3)
    options = parser.parse_args()
    unknown = set(options.parts) - {"parity", *PARTS, "show"}
    if unknown:
        parser.error(f"no such part: {', '.join(sorted(unknown))}")
    os.environ["OMP_NUM_THREADS"] = "1"
    for asset in ("ml-100k", "all-MiniLM-L6-v2"):
        fetch(asset)
    wanted = options.parts or ["parity", *PARTS]
    if "parity" in wanted:
        parity.measure()
    for name, measure in PARTS.items():
        if name in wanted:
            started = time.perf_counter()
            for one in measure(*(1, 0.1) if options.smoke else (options.repetitions,)):
                print({key: one[key] for key in one if key != "note"}, flush=True)
                if not options.smoke:
                    results.save([one])  # at once: what follows may take half an hour
            print(f"{name}: {time.perf_counter() - started:.0f} s", flush=True)
    if not options.smoke:
        rows = results.load()
        if any(one["model"] for one in rows):
            figure.draw(rows)
        results.update_readme(rows)


if __name__ == "__main__":
    main()
