"""Questions that are there twice: which count as one, and that any number of hashes is held."""

import numpy as np
import pytest

from pipelines.datasets.duplicates import Hashes, exact, near


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("What is 3 + 4?", "what is  3+4"),
        ("What is 3 + 4?", "What is 4 + 3?"),
        ("What is 3 * 4 * 5?", "What is 5 * 3 * 4?"),
        ("Add: 2 × 3", "Add 3 × 2."),
        ("What is the capital of France?", "WHAT IS THE CAPITAL OF FRANCE"),
        ("Who, then, is it?", "Who then is it?"),
        ("A line\nand another", "A line and another"),
        ("ﬁne", "fine"),
        ("Is it well-known?", "is it well known"),
        ("Is it (1 + 2) * 3?", "Is it (2+1)*3"),
        ("Is it 3 − 4?", "Is it 3 - 4?"),
        ("Is it 2 + 3 + 4 * 5?", "Is it 3 + 2 + 4 * 5?"),
        ("What's the capital of Peru?", "whats the capital of peru"),
        ("What’s the capital of Côte d'Ivoire?", "What's the capital of Côte d’Ivoire?"),
        ("Who leads the U.S.?", "Who leads the US?"),
        ("Is the U.S.A.'s flag old", "Is the USA's flag old"),
        ("Is it in a city, e.g. Lima?", "Is it in a city, eg Lima"),
        ("It ended. Why?", "It ended.Why?"),
        ("What is $12 + $7?", "What is $7 + $12?"),
        ("What is €1.50 + €3 + €2?", "What is €3 + €2 + €1.50?"),
        ("What is 12 € + 7 €?", "What is 7€ + 12€?"),
        ("What is $12 + 7$?", "What is $7 + 12$?"),  # LaTeX
    ],
)
def test_alike_but_for_case_spaces_punctuation_and_order(one, other):
    assert near(one) == near(other)
    assert exact(one) != exact(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("What is 9 - 4?", "What is 4 - 9?"),
        ("What is 9 - 4?", "What is 9 4?"),
        ("What is 9 - 4?", "What is 9 + 4?"),
        ("What is 9 / 3?", "What is 3 / 9?"),
        ("What is 1 + 2 * 3?", "What is 2 + 1 * 3?"),
        ("What is 9 - 1 + 2?", "What is 9 - 2 + 1?"),
        ("What is 1.5 + 2?", "What is 15 + 2?"),
        ("What is the integral of f'g?", "What is the integral of fg?"),
        ("A bites B", "B bites A"),
        ("What is 3 + 4?", "What is 3 + 5?"),
        ("What is -3 + 4?", "What is 3 + 4?"),
        ("What is x + y?", "What is x - y?"),
        ("What is x - y?", "What is x y?"),
        ("Is a > b?", "Is a < b?"),
        ("Is a ≤ 3?", "Is a ≥ 3?"),
        ("What is C++?", "What is C#?"),
        ("What is 5% of 20?", "What is 5 of 20?"),
        ("What is 10 + 5% of 20?", "What is 5 + 10% of 20?"),
        ("What is 3! + 4?", "What is 3 + 4?"),
        ("What is .5 + 2?", "What is 5 + 2?"),
        ("What is (1 + 2) * 3?", "What is 1 + 2 * 3?"),
        ("What is 3 + 2.5 * 4?", "What is 2 + 3.5 * 4?"),
        ("What is 10 - 1.4 + 3?", "What is 10 - 1.3 + 4?"),
        ("What is √2 + 3?", "What is √3 + 2?"),
        ("What is 1 + 2(3)?", "What is 2 + 1(3)?"),
        ("What is $12 - $7?", "What is $7 - $12?"),
        ("What is $12 + €7?", "What is €12 + $7?"),
        ("What is $12 + $7 * 3?", "What is $7 + $12 * 3?"),
        ("What is 20 - $12 + $7?", "What is 20 - $7 + $12?"),
        ("What is $12 + $7?", "What is 12 + 7?"),
        ("Whose dogs bark?", "Whose dog barks?"),
        ("What is .5 + U.S.?", "What is 5 + US?"),
        ("कि", "की"),
        ("🙂", "🙁"),
    ],
)
def test_another_question_is_another(one, other):
    assert near(one) != near(other)


def test_a_set_of_hashes_holds_what_was_added_and_no_more():
    drawn = np.random.default_rng(0).integers(0, 2**64, 200_000, np.uint64, endpoint=False)
    some, others = drawn[:150_000].tolist(), drawn[150_000:].tolist()
    hashes = Hashes()
    for one in some:
        hashes.add(one)
        hashes.add(one)
    known = set(some)
    for one in (*some[::100], *others[::100], 0, 2**64 - 1):
        assert (one in hashes) == (one in known)
    ids = {one >> 16 for one in some}
    for one in (*some[::100], *others[::100], 0, 2**64 - 1):
        for other in (one, one ^ 1, one ^ 0xFFFF, one ^ 0x10000):
            assert hashes.has_id(other) == (other >> 16 in ids)
