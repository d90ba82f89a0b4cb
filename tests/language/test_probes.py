import pytest

from llmers_utils.language.probes import titles_named

TITLES = ["Godfather, The (1972)", "Heat", "Postino, Il", "Se7en (Seven) (1995)"]


@pytest.mark.parametrize(
    ("text", "title", "named"),
    [
        ("Loves the Godfather above all.", 0, True),
        ("Loves godfathers.", 0, False),
        ("Loves Heat.", 1, True),
        ("Loves wheat.", 1, False),
        ("Cried at Il Postino.", 2, True),
        ("A dark thriller such as Se7en!", 3, True),
        (None, 1, False),
    ],
)
def test_titles_are_found_as_people_write_them(text, title, named):
    assert titles_named([text], TITLES, [(0, title)]).tolist() == [named]


def test_one_answer_a_pair():
    texts = ["Heat and Il Postino", "nothing"]
    assert titles_named(texts, TITLES, [(0, 1), (1, 1), (0, 2)]).tolist() == [True, False, True]
