"""The one door for the shell: ``llmers fetch | run | board | check | new``."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

# Subpackages are imported by the command that needs them, so that `llmers --help` is instant.

DEFAULT_ASSETS = ("ml-100k", "all-MiniLM-L6-v2")  # what the default parameters need


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code: 0 done, 1 something failed, 2 asked wrongly."""
    options = _parser().parse_args(arguments)
    try:
        return options.command(options)
    except (ValueError, OSError) as error:
        print(f"llmers: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("llmers: interrupted; the same command goes on from here", file=sys.stderr)
        return 130


def fetch(options: argparse.Namespace) -> int:
    """Fetch assets, or list them."""
    from llmers_utils.data import asset_status
    from llmers_utils.data import fetch as fetch_asset

    assets = asset_status()
    if options.list:
        for asset in assets:
            state = "present" if asset.present else "missing"
            print(f"{asset.name:<20} {state:<8} {asset.bytes / 1e6:>7.1f} MB  {asset.licence}")
        return 0
    for name in options.names or DEFAULT_ASSETS:
        print(f"{name}: {fetch_asset(name, progress=sys.stderr.isatty())}")
    return 0


def run(options: argparse.Namespace) -> int:
    """Execute notebooks."""
    from llmers_utils.tutorial import batch

    outcomes = batch.run(
        options.names,
        profile=options.profile,
        assignments=options.parameter,
        seeds=options.seeds,
        jobs=options.jobs,
        name=options.run,
        limit=options.limit,
        cell_limit=options.cell_limit,
        update=options.update,
    )
    print(batch.outcome_table(outcomes))
    return int(any(outcome.status == "failed" for outcome in outcomes))


def board(options: argparse.Namespace) -> int:
    """Print the leaderboard; save records; rewrite the README's table."""
    from llmers_utils.tutorial import board as boards
    from llmers_utils.tutorial import records

    if options.save and options.run == boards.COMMITTED:
        raise ValueError("--save: name the run whose records are to be saved")
    folder = boards.records_folder(options.run)
    found = records.load_records(folder)
    print(boards.board_text(boards.board(found)) if found else f"no records in {folder}")
    if options.save:
        for path in records.save_records(found):
            print(f"saved {path}")
    if options.readme:
        changed = boards.update_readme(records.load_records())
        boards.draw_map()
        print("README.md " + ("rewritten" if changed else "is up to date"))
    return 0


def check(options: argparse.Namespace) -> int:
    """Check the shape and cleanliness of notebooks."""
    from llmers_utils.tutorial.notebooks import clean_notebook, find_notebooks
    from llmers_utils.tutorial.structure import check_notebooks

    paths = find_notebooks(options.names)
    if options.clean:
        for path in paths:
            if clean_notebook(path):
                print(f"cleaned {path}")
    problems = check_notebooks(paths)
    for problem in problems:
        print(problem)
    print(f"{len(paths)} notebook(s), {len(problems)} problem(s)")
    return int(bool(problems))


def new(options: argparse.Namespace) -> int:
    """Write a new notebook from the template."""
    from llmers_utils.tutorial.scaffold import new_notebook

    path = new_notebook(options.slug, section=options.section, method=options.method)
    print(f"wrote {path}: fill in what is marked TODO, then `llmers run --update {options.slug}`")
    return 0


def _seeds(text: str) -> list[int]:
    return [int(part) for part in text.split(",")]


def _positive(text: str) -> int:
    value = int(text)
    if value < 1:
        raise ValueError
    return value


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="llmers", description=__doc__.splitlines()[0])
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    one = commands.add_parser(
        "fetch", help="fetch data and models (by default what the default parameters need)"
    )
    one.add_argument("names", nargs="*", metavar="asset")
    one.add_argument("--list", action="store_true", help="what there is, and what is present")
    one.set_defaults(command=fetch)

    one = commands.add_parser("run", help="execute notebooks (all of them by default)")
    one.add_argument("names", nargs="*", metavar="section|slug")
    one.add_argument("--profile", help="parameters from notebooks/profiles/PROFILE.yaml")
    one.add_argument(
        "-p",
        dest="parameter",
        action="append",
        default=[],
        metavar="name=value",
        help="a parameter",
    )
    one.add_argument("--seeds", type=_seeds, metavar="0,1,2", help="seeds that all arms run over")
    one.add_argument("--jobs", type=_positive, default=1, help="notebooks side by side")
    one.add_argument("--run", metavar="NAME", help="name of the run (default: from what is asked)")
    one.add_argument("--limit", type=_positive, default=3600, help="seconds for a whole notebook")
    one.add_argument("--cell-limit", type=_positive, default=1800, help="seconds for one cell")
    one.add_argument(
        "--update", action="store_true", help="store the clean outputs in the notebooks themselves"
    )
    one.set_defaults(command=run)

    one = commands.add_parser("board", help="the leaderboard of data/records, or of a run")
    one.add_argument("run", nargs="?", default="committed", help="name or folder of a run")
    one.add_argument("--save", action="store_true", help="copy the run's records to data/records")
    one.add_argument(
        "--readme", action="store_true", help="rewrite the README's table of notebooks"
    )
    one.set_defaults(command=board)

    one = commands.add_parser("check", help="shape and cleanliness of notebooks")
    one.add_argument("names", nargs="*", metavar="section|slug|path")
    one.add_argument("--clean", action="store_true", help="first drop what executions left behind")
    one.set_defaults(command=check)

    one = commands.add_parser("new", help="a notebook from the template")
    one.add_argument("slug")
    one.add_argument("--section", required=True, help="folder or number, such as 2")
    one.add_argument("--method", help="the method's name as a reader knows it")
    one.set_defaults(command=new)
    return parser


if __name__ == "__main__":
    sys.exit(main())
