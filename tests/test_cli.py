from __future__ import annotations

import subprocess
import sys

import pytest

from llmers_utils import cli
from llmers_utils.tutorial import batch
from llmers_utils.tutorial.execution import Outcome


@pytest.fixture
def asked(monkeypatch):
    """What `llmers run` asks of the batch, without executing anything."""
    calls = []

    def run(names, **options):
        calls.append((list(names), options))
        return [Outcome("2_x/01_a", "finished", 2.0, 50, "KAR 0.1"), *calls_failed]

    calls_failed: list[Outcome] = []
    monkeypatch.setattr(batch, "run", run)
    return calls, calls_failed


def test_run_passes_everything_on(asked, capsys):
    calls, _ = asked
    line = "run kar 2 --profile full -p epochs=3 -p dim=8 --seeds 0,1 --jobs 2 --run mine --limit 9"
    assert cli.main([*line.split(), "--cell-limit", "5"]) == 0
    names, options = calls[0]
    assert names == ["kar", "2"]
    assert options == {
        "profile": "full",
        "assignments": ["epochs=3", "dim=8"],
        "seeds": [0, 1],
        "jobs": 2,
        "name": "mine",
        "limit": 9,
        "cell_limit": 5,
        "update": False,
    }
    assert "1 of 1 finished" in capsys.readouterr().out


def test_run_fails_when_anything_failed(asked, capsys):
    _, failed = asked
    failed.append(Outcome("2_x/02_b", "failed", note="In [3]: ValueError: no"))
    assert cli.main(["run"]) == 1
    assert "In [3]: ValueError: no" in capsys.readouterr().out


def test_wrong_requests_are_one_line_and_code_2(monkeypatch, capsys):
    def run(names, **options):
        raise ValueError("no section or notebook is named 'karr': did you mean kar?")

    monkeypatch.setattr(batch, "run", run)
    assert cli.main(["run", "karr"]) == 2
    captured = capsys.readouterr()
    assert captured.err == "llmers: no section or notebook is named 'karr': did you mean kar?\n"
    assert cli.main(["board", "--save"]) == 2
    assert cli.main(["board", "no-such-run"]) == 2
    assert cli.main(["check", "no-such-notebook"]) == 2
    assert cli.main(["new", "x", "--section", "99"]) == 2


@pytest.mark.parametrize("line", ["run --jobs 0", "run --seeds a", "new x", "", "fly"])
def test_the_parser_refuses(line, capsys):
    with pytest.raises(SystemExit) as stop:
        cli.main(line.split())
    assert stop.value.code == 2


def test_interrupt_is_no_traceback(monkeypatch, capsys):
    def run(names, **options):
        raise KeyboardInterrupt

    monkeypatch.setattr(batch, "run", run)
    assert cli.main(["run"]) == 130
    assert "goes on from here" in capsys.readouterr().err


def test_fetch_lists_assets(capsys):
    assert cli.main(["fetch", "--list"]) == 0
    printed = capsys.readouterr().out
    assert "ml-100k" in printed
    assert "MB" in printed


def test_help_is_instant_because_nothing_heavy_is_imported():
    script = (
        "import sys, llmers_utils.cli as c\n"
        "try: c.main(['--help'])\n"
        "except SystemExit: pass\n"
        "heavy = {'torch', 'nbformat', 'matplotlib', 'polars', 'numpy'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert all(command in done.stdout for command in ("fetch", "run", "board", "check", "new"))
