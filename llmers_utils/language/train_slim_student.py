"""Make the stored student of SLIM again: half an hour on one core.

``python -m llmers_utils.language.train_slim_student`` tunes the tiny language model on the
recorded teacher's rationales for a subset of the people, keeps the adapters in
``data/models/slim-student``, and lets it write a rationale for everybody.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from llmers_utils.data import Split, leave_last_out, load_dataset
from llmers_utils.language.causal_lm import CausalLM
from llmers_utils.language.clients import open_client
from llmers_utils.language.distillation import (
    EPOCHS,
    EXERCISES,
    FOLDER,
    STUDENT,
    TASK,
    Pair,
    answer_nll,
    distil,
    divide,
    new_student,
    open_student,
    rationale,
    reading_pairs,
    save_student,
    student_texts,
    teacher_texts,
)
from llmers_utils.language.responses import Response, ResponseStore
from llmers_utils.language.tasks import user_preference
from llmers_utils.paths import DATA


def train(split: Split, folder: Path, exercises: int, epochs: int) -> None:
    """Teach a student on the recorded teacher's rationales, measure it, and save it."""
    division, student = divide(split.dataset), new_student()
    raw = split.dataset.users["raw_user"]
    prompts = {request.entity: student.chat(request.messages) for request in rationale(split)}
    answers = open_client("recorded", dataset=split.dataset.name).complete(user_preference(split))

    def pairs(users: np.ndarray) -> list[Pair]:
        texts = teacher_texts(answers, raw[users])
        return [(prompts[entity], text) for entity, text in zip(raw[users], texts, strict=True)]

    sides = {"held_out": pairs(division.held), "new_to_tiny": pairs(division.new)}
    before = {side: round(answer_nll(student, some), 3) for side, some in sides.items()}
    read = reading_pairs(split, student, division.taught, exercises)
    print("reading:", student.fit_answers(read, lr=3e-3), flush=True)
    taught = pairs(division.taught)
    losses = distil(student, taught, exercises=read, epochs=epochs)
    facts = {
        "trained_parameters": sum(p.numel() for p in student.model.parameters() if p.requires_grad),
        "taught_people": len(taught),
        "held_out_people": len(division.held),
        "new_to_tiny_people": len(division.new),
        "exercises": exercises,
        "epochs": epochs,
        "losses": [round(loss, 3) for loss in losses],
        "nll_before": before,
        "nll_after": {side: round(answer_nll(student, some), 3) for side, some in sides.items()},
    }
    save_student(student, folder, facts)
    print(facts, flush=True)


def write_rationales(split: Split, student: CausalLM, folder: Path) -> None:
    """Let the student write for everybody, and keep it as recorded answers of ``STUDENT``."""
    requests, store = rationale(split), ResponseStore(folder)
    for request, text in zip(requests, student_texts(student, requests), strict=True):
        prompt = student.count_tokens(student.chat(request.messages))
        tokens = (prompt, student.count_tokens(text))
        store.append(Response(*request.identity, STUDENT, "2026-11", *tokens, text))
    store.merge(TASK)


def main(arguments: Sequence[str] | None = None) -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=Path, default=FOLDER)
    parser.add_argument("--answers", type=Path, default=DATA / "llm_responses" / "ml-100k")
    parser.add_argument("--exercises", type=int, default=EXERCISES)
    parser.add_argument("--epochs", type=int, default=EPOCHS)
    parser.add_argument("--only-write", action="store_true", help="with the student in --output")
    options = parser.parse_args(arguments)
    split = leave_last_out(load_dataset("ml-100k"))
    if not options.only_write:
        train(split, options.output, options.exercises, options.epochs)
    write_rationales(split, open_student(options.output), options.answers)


if __name__ == "__main__":
    main()
