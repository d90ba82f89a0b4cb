from __future__ import annotations

import json

import numpy as np
import pytest

from llmers_utils.data import display_titles, leave_last_out
from llmers_utils.language import open_client, user_preference
from llmers_utils.language.distillation import (
    FOLDER,
    STUDENT,
    answer_nll,
    distil,
    divide,
    liked,
    new_student,
    new_to_tiny,
    open_student,
    rationale,
    reading_pairs,
    save_student,
    student_texts,
    teacher_texts,
    three_steps,
)
from llmers_utils.language.responses import Response
from llmers_utils.language.schemas import UserPreference
from llmers_utils.language.train_tiny_lm import person_conversation, recorded_conversations

TASTE = UserPreference(
    summary="Loves trains. Alien gets a 5.",
    preferences=["trains"],
    dislikes=[],
    genres=["Drama", "War"],
    styles=["slow"],
    reasoning="Because.",
    next=["a film about rails", "a journey"],
)


@pytest.fixture(scope="module")
def split(ml_100k):
    return leave_last_out(ml_100k)


def test_three_steps_leave_ratings_out():
    assert three_steps(TASTE) == (
        "Step 1: Loves trains.\nStep 2: Drama, War; slow.\nStep 3: a film about rails; a journey."
    )
    rated = TASTE.model_copy(update={"summary": "Alien gets a 5."})
    assert three_steps(rated).startswith("Step 1: Likes trains.\n")


def test_a_teacher_may_answer_either_question_or_fail():
    facts = {"template_version": 1, "input_sha256": "x", "model": "m", "created": "2026-11"}
    facts |= {"prompt_tokens": 1, "completion_tokens": 1}
    answers = [
        Response(task="rationale", entity="7", text="Step 1: free", **facts),
        Response(task="user_preference", entity="8", text=TASTE.model_dump_json(), **facts),
        Response(task="rationale", entity="9", text="", error="empty", **facts),
    ]
    texts = teacher_texts(answers, ["9", "8", "7", "6"])
    assert texts == [None, three_steps(TASTE), "Step 1: free", None]


def test_prompts_show_liked_training_films_only(split):
    titles, requests = display_titles(split.dataset), rationale(split)
    assert [request.entity for request in requests] == split.dataset.users["raw_user"].to_list()
    for user in (0, 1, 500):
        view = split.training_view(user)
        rating = dict(view.select("item", "rating").iter_rows())
        assert all(rating[item] >= view["rating"].mean() for item in liked(split)[user])
        lines = requests[user].messages[-1]["content"].splitlines()[1:-2]
        assert lines[-1].startswith(f"{titles[liked(split)[user][-1]]} | ")
        assert len(lines) == 8
        hidden = [*split.valid.filter(split.valid["user"] == user)["item"]]
        hidden += [*split.test.filter(split.test["user"] == user)["item"]]
        assert not any(line.startswith(f"{titles[i]} |") for line in lines for i in hidden)


def test_nobody_is_taught_on_and_measured(ml_100k):
    division = divide(ml_100k)
    assert len(division.taught) == 283
    assert len(division.held) == 100
    assert not set(division.taught) & set(division.held)
    assert set(division.new) <= set(division.held)
    with pytest.raises(ValueError, match="too many"):
        divide(ml_100k, share=0.95)


def test_new_to_tiny_are_whom_its_training_held_out(ml_100k):
    talks = recorded_conversations("ml-100k")
    order = np.random.default_rng(0).permutation(len(talks))[: len(talks) // 50]
    store = open_client("recorded", dataset="ml-100k").store
    by_talk = {
        person_conversation(r.parsed())[1]["content"]: int(r.entity)
        for r in store.rows("user_preference_early")
    }
    held = [by_talk[talks[i][1]["content"]] for i in order if i >= ml_100k.n_items]
    raw = ml_100k.users["raw_user"].to_list()
    assert [raw[user] for user in new_to_tiny(ml_100k)] == [str(user) for user in sorted(held)]


def test_reading_exercises_name_the_commonest_genres(split, tiny):
    pairs = reading_pairs(split, tiny, np.array([3, 5]), 6, seed=1)
    assert pairs == reading_pairs(split, tiny, np.array([3, 5]), 6, seed=1)
    for prompt, answer in pairs:
        lines = [line for line in prompt.splitlines() if " | " in line]
        shown = [genre for line in lines for genre in line.split(" | ")[1].split(", ")]
        named = answer.removeprefix("Step 2: ").split(", ")
        assert shown.count(named[0]) == max(map(shown.count, shown))


def test_a_lesson_lowers_the_loss_and_survives_storage(tiny, tmp_path):
    student = new_student(rank=4)
    frozen = student.model.get_input_embeddings().weight.clone()
    pairs = [(tiny.chat([{"role": "user", "content": "Films: A | War"}]), three_steps(TASTE))] * 4
    before = answer_nll(student, pairs)
    assert before == pytest.approx(answer_nll(tiny, pairs), abs=1e-5)  # adapters start at zero
    assert len(distil(student, pairs, exercises=pairs, epochs=2, lr=1e-2)) == 2
    assert answer_nll(student, pairs) < before - 0.5
    assert student.model.get_input_embeddings().weight.equal(frozen)
    save_student(student, tmp_path, {"epochs": 2})
    again = open_student(tmp_path)
    assert answer_nll(again, pairs) == pytest.approx(answer_nll(student, pairs), abs=0.01)
    assert json.loads((tmp_path / "training.json").read_text()) == {"epochs": 2}
    with pytest.raises(FileNotFoundError, match="train_slim_student makes it"):
        open_student(tmp_path / "none")


def test_the_stored_student_is_small_and_wrote_what_is_recorded(split):
    facts = json.loads((FOLDER / "training.json").read_text())
    assert facts["nll_after"]["held_out"] < facts["nll_before"]["held_out"] - 1
    assert facts["nll_after"]["new_to_tiny"] < facts["nll_before"]["new_to_tiny"] - 1
    assert sum(path.stat().st_size for path in FOLDER.iterdir()) < 9_000_000
    client = open_client(f"recorded:{STUDENT}", dataset="ml-100k")
    answers = client.complete(rationale(split))
    assert (len(answers), client.ledger.failed) == (943, 0)
    # Sums differ a little between machines, and so may a rare word.
    some = student_texts(open_student(), rationale(split)[1:4])
    assert [text[:20] for text in some] == [answer.text[:20] for answer in answers[1:4]]


def test_the_recorded_teacher_answers_for_everybody(split):
    answers = open_client("recorded", dataset="ml-100k").complete(user_preference(split))
    texts = teacher_texts(answers, split.dataset.users["raw_user"])
    assert all(text.count("Step ") >= 3 for text in texts)
