"""Questions that mislead: their answers computed anew where one can, and how they are read."""

import re
from collections import Counter
from fractions import Fraction
from itertools import combinations, combinations_with_replacement, permutations, product
from math import comb
from statistics import median

import pytest

from pipelines.config import DatasetConfig
from pipelines.datasets import LOADERS
from pipelines.datasets.adversarial import asked, questions
from pipelines.method.answers import canonical, extract, is_correct

ROWS = questions()
CATEGORIES = {"logic", "arithmetic", "units", "probability", "language"}


def entry(**more):
    return DatasetConfig(**{"name": "adversarial", "split": "test"} | more)


def test_there_are_a_hundred_of_five_categories_each_with_a_reason():
    assert len(ROWS) >= 100
    counts = Counter(row["category"] for row in ROWS)
    assert set(counts) == CATEGORIES
    assert min(counts.values()) >= 20
    assert all(len(row["why"]) > 15 for row in ROWS)


def test_rows_are_those_of_the_file_in_the_seeds_order():
    first, again, other = (list(LOADERS["adversarial"](entry(), seed)) for seed in (0, 0, 1))
    assert first == again != other
    assert {row.question for row in first} == {asked(row) for row in ROWS}
    assert all(canonical(row.reference, row.kind) is not None for row in first)
    with pytest.raises(ValueError, match="split 'train' is not test"):
        list(LOADERS["adversarial"](entry(split="train"), 0))


def phrasings(row):
    """The ways in which a model states an answer most often."""
    answer, kind = row["answer"], row["kind"]
    stated = [answer]
    if kind == "option":
        text = row["choices"][ord(answer) - ord("A")]
        stated += [
            text,
            f"({answer})",
            f"({answer}) {text}",
            f"{answer}. {text}",
            f"{answer}) {text}",
            f"Option {answer}",
            f"Option {answer}: {text}",
            f"Choice {answer}",
        ]
        yield f"Option {answer} is correct."
    elif answer in ("yes", "no"):
        said = answer.capitalize()
        follows = f"it does{' not' * (answer == 'no')} follow"
        yield from (
            said,
            f"{said}, {follows}.",
            f"{said}. Here is why.",
            f"{said}, because of that.",
        )
        yield f"{said}: {follows}."
        yield f"{said} - {follows}."
        yield f"Therefore, {answer}."
        yield f"{said}, the premises do not say otherwise."
        yield f"{said}. The conclusion is{' not' * (answer == 'no')} valid."
        yield f"{said}.\n\nThe premises tell of others."
    elif kind == "text":
        stated += [answer.capitalize(), f'"{answer}"']
        yield f"It is {answer}."
    else:
        value = Fraction(answer)
        yield from (f"It is {answer}.", f"= {answer}", f"Adding these, we get {answer}.")
        if value.denominator > 1 and "/" in answer:
            fraction = f"\\frac{{{value.numerator}}}{{{value.denominator}}}"
            yield from (f"${fraction}$", f"\\boxed{{{fraction}}}", f"The probability is {answer}.")
        if value >= 1000:
            yield f"{int(value):,}"
        if "percent" in row["question"]:
            yield from (f"{answer}%", f"It is {answer}%.", f"The answer is {answer} percent.")
    for one in stated:
        yield from (one, f"{one}.", f"**{one}**", f"Answer: {one}", f"The answer is {one}.")
        yield from (f"The correct answer is {one}.", f"One step.\n\nSo the answer is **{one}**.")
    yield f"\\boxed{{{answer}}}"


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row["question"][:40])
def test_a_response_with_its_answer_is_read_as_right(row):
    for text in phrasings(row):
        answer = extract(text, row["kind"], "stop", row.get("choices"))
        assert is_correct(answer, row["answer"], row["kind"]), (text, answer)
    assert not is_correct(extract("I do not know.", row["kind"]), row["answer"], row["kind"])


@pytest.mark.parametrize(
    ("words", "text"),
    [
        ("overtakes the runner", "Tom is in second place."),
        ("overtakes the runner", "Tom is second, since he is now where that runner was."),
        ("9.9 larger", "Yes, 9.9 is larger than 9.11."),
        ("silk", "Cows drink water."),
        ("the dog", "Yesterday the dog lay in the sun all day."),
        ("Mount Everest", "Mount Everest was the highest mountain."),
        ("Their is", "The word Their is used wrongly."),
        ("The old man the boat", "Man is the verb."),
        ("cards lie on a table", "Red and 7 must be turned over."),
    ],
)
def test_a_sentence_with_the_right_answer_is_never_a_wrong_vote(words, text):
    (row,) = [row for row in ROWS if words in row["question"]]
    answer = extract(text, row["kind"], "stop", row.get("choices"))
    assert answer is None or is_correct(answer, row["answer"], row["kind"])


def test_a_fraction_is_asked_for_where_a_decimal_never_ends():
    """Else 0.667 is right, and read as another number than 2/3."""
    for row in ROWS:
        if row["kind"] == "number" and 10**6 % Fraction(row["answer"]).denominator:
            assert "as a fraction" in row["question"], row["question"]


def test_a_constant_answer_is_right_no_more_often_than_chance():
    logic = Counter(
        row["answer"] for row in ROWS if row["category"] == "logic" and row["kind"] == "text"
    )
    assert logic["yes"] == logic["no"]
    every = Counter(row["answer"] for row in ROWS if row["answer"] in ("yes", "no"))
    assert abs(every["yes"] - every["no"]) <= 2
    letters = Counter(row["answer"] for row in ROWS if row["kind"] == "option")
    assert max(letters.values()) <= 0.4 * letters.total(), letters


def test_none_is_nearly_another():
    """Under two thirds of the words of two questions are shared, the form of answers aside."""
    bare = [re.sub(r" Answer .*", "", row["question"]).lower() for row in ROWS]
    words = [set(re.findall(r"[a-z]+|[0-9.]+", one)) for one in bare]
    for (i, one), (j, other) in combinations(enumerate(words), 2):
        alike = len(one & other) / len(one | other)
        assert alike < 0.67, (ROWS[i]["question"], ROWS[j]["question"])


def draws(of, wanted):
    """The share of equally likely outcomes in which something holds."""
    outcomes = list(of)
    return Fraction(sum(map(wanted, outcomes)), len(outcomes))


COINS, DICE, CHILDREN = (0, 1), range(1, 7), "bg"
SIDES = [("r", "r"), ("r", "r"), ("w", "w"), ("w", "w"), ("r", "w"), ("w", "r")]  # shown, hidden
BALLS = list(combinations("rrrbb", 2))
SICK, WELL = Fraction(1, 1000), Fraction(999, 1000) * Fraction(5, 100)
BLUE, GREEN = Fraction(15, 100) * Fraction(80, 100), Fraction(85, 100) * Fraction(20, 100)


def host(prize, choice):
    """Whether changing wins: the host opens an empty door that was not chosen."""
    return prize != choice


def climbed():
    height, day = 0, 0
    while True:
        day += 1
        height += 3
        if height >= 10:
            return day
        height -= 2


# By words of their questions; each computed here from the problem itself.
COMPUTED = {
    "A snail is": climbed(),
    "A pen and a notebook": next(x for x in range(220) if x + (x + 200) == 220),
    "8 machines": Fraction(40, 40) / (Fraction(8, 8) / 8),
    "Water lilies": next(day for day in range(30) if 2**day * 2 == 2**30),
    "A clock takes": (12 - 1) * Fraction(5, 6 - 1),
    "What is 6 + 4 * 5": 6 + 4 * 5,
    "Work out 12 / 4 * 3": 12 / 4 * 3,
    "value of -3^2": -(3**2),
    "8 divided by 0.5": 8 / 0.5,
    "A price of 100": Fraction(100) * Fraction(120, 100) * Fraction(80, 100),
    "A coat is": 100 - 100 * Fraction(1, 2) * Fraction(1, 2),
    "You drive to a town": 120 / Fraction(60 * 60 + 60 * 30, 30 * 60),
    "A straight fence": len(range(0, 101, 10)),
    "from 17 to 53": len(range(17, 54)),
    "one half plus one third": Fraction(1, 2) + Fraction(1, 3),
    "square root of 0.09": Fraction(3, 10),
    "Divide 30": 30 / Fraction(1, 2) + 10,
    "A number grows": 100 - 100 / Fraction(125, 100),
    "Six workers": Fraction(6 * 4, 3),
    "sides of a square": 2**2,
    "edges of a cube": 3**3,
    "5 to the power of 0": 5**0,
    "power of -1": Fraction(2) ** -1,
    "write the digit 9": "".join(map(str, range(1, 101))).count("9"),
    "A book costs": next(x for x in range(100) if x == 10 + Fraction(x, 2)),
    "square centimetres are in one square metre": 100**2,
    "sugar cubes": 100**3,
    "2.5 minutes": Fraction(5, 2) * 60,
    "1.25 hours": Fraction(5, 4) * 60,
    "10:40 to 13:15": (13 * 60 + 15) - (10 * 60 + 40),
    "degrees Fahrenheit": Fraction(9, 5) * 10,
    "scale of 1:1000": Fraction(1000, 100) ** 2,
    "A sprinter": 10 * 3600 / 1000,
    "0.05 kilograms": Fraction(5, 100) * 1000,
    "80 megabits": 80 / 8,
    "10 centimetres": 10 * 10 * 1,  # in decimetres
    "two square feet": 2 * 12 * 12,
    "2 micrograms": Fraction(2, 1000),
    "tenth of an hour": Fraction(60, 10),
    "A pizza": Fraction(40**2, 20**2),
    "20 decibels": 10 ** (20 / 10),
    "no year 0": len([y for y in range(-5, 5) if y != 0]),
    "3 cubic metres": 3 * 1000,
    "magnitude 7": 10 ** (7 - 5),
    "90 kilometres per hour": 90 * 1000 / 3600,
    "A recipe": 4 * 45 / 60,
    "five times in a row": draws(
        [x for x in product(COINS, repeat=6) if sum(x[:5]) == 5], lambda x: x[5] == 1
    ),
    "one of three doors": draws(product(range(3), repeat=2), lambda x: host(*x)),
    "two children": draws(
        [x for x in product(CHILDREN, repeat=2) if "b" in x], lambda x: x == ("b", "b")
    ),
    "One person in 1000": round(100 * SICK / (SICK + WELL)),
    "anything from 2 to 12": draws(product(DICE, repeat=2), lambda x: sum(x) == 7),
    "Of three cards": draws([x for x in SIDES if x[0] == "r"], lambda x: x[1] == "r"),
    "one head and one tail": draws(product(COINS, repeat=2), lambda x: sum(x) == 1),
    "It rains": 100 * (1 - Fraction(7, 10) ** 2),
    "3 red and 2 blue": draws(BALLS, lambda x: x == ("r", "r")),
    "mean of five numbers": Fraction(5 * 10 + 16, 6),
    "median": median([1, 2, 3, 4, 100]),
    "366 possible": 366 + 1,
    "Two archers": draws(product(COINS, repeat=2), any),
    "A class of 10": Fraction(10 * 80 + 30 * 60, 40),
    "taxis": round(100 * BLUE / (BLUE + GREEN)),
    "exactly two heads": Fraction(comb(4, 2), 2**4),
    "divisible by 2 or by 3": sum(n % 2 == 0 or n % 3 == 0 for n in range(1, 101)),
    "letter r occur": "strawberry".count("r"),
    "letters e in": "nevertheless".count("e"),
    "The cat that I had": "The cat that I had had had fleas.".count(" ") + 1,
    "letters has the word alphabet": len("alphabet"),
    "the word rhythm": sum(letter in "aeiou" for letter in "rhythm"),
}


@pytest.mark.parametrize(("words", "value"), COMPUTED.items(), ids=COMPUTED)
def test_an_answer_is_what_a_computation_gives(words, value):
    (row,) = [row for row in ROWS if words in row["question"]]
    assert Fraction(row["answer"]) == Fraction(value).limit_denominator(10**6)


# A world: a few of the things that there may be, each with or without three properties.
THINGS = list(product((False, True), repeat=3))
WORLDS = [world for n in range(4) for world in combinations_with_replacement(THINGS, n)]


def every(world, of, are):
    return all(are(*one) for one in world if of(*one))


def some(world, of, are):
    return any(of(*one) and are(*one) for one in world)


def follows(premise, conclusion, worlds=WORLDS):
    """Whether a conclusion holds in each world in which its premises do."""
    return all(conclusion(world) for world in worlds if premise(world))


def a(x, y, z):
    return x


def b(x, y, z):
    return y


def c(x, y, z):
    return z


def no(of):
    return lambda *one: not of(*one)


def share(world, of):
    return sum(of(*one) for one in world) / max(1, len(world))


# Of sentences: which of three hold. Of heights: their order.
CASES, HEIGHTS = THINGS, list(permutations(range(3)))
VALID = {
    "All roses": follows(lambda w: every(w, a, b) and some(w, b, c), lambda w: some(w, a, c)),
    "street gets wet": follows(lambda s: (not s[0] or s[1]) and s[1], lambda s: s[0], CASES),
    "lamp is red": follows(lambda s: (not s[0] or s[1]) and not s[0], lambda s: not s[1], CASES),
    "No cats": follows(
        lambda w: every(w, a, no(b)) and every(w, b, no(c)), lambda w: every(w, a, no(c))
    ),
    "all birds can fly": follows(
        lambda w: every(w, a, b) and every(w, c, a), lambda w: every(w, c, b)
    ),
    "All bloops": follows(lambda w: every(w, a, b) and every(w, c, a), lambda w: every(w, b, c)),
    "passed the exam": follows(lambda w: every(w, a, b) and w and b(*w[0]), lambda w: a(*w[0])),
    "every swan": follows(lambda w: not every(w, a, b), lambda w: every(w, a, no(b))),
    "Only members": follows(lambda w: every(w, b, a) and w and a(*w[0]), lambda w: b(*w[0])),
    "without a ticket": follows(
        lambda w: every(w, no(a), no(b)) and w and b(*w[0]), lambda w: a(*w[0])
    ),
    "Ann is taller": follows(lambda h: h[0] > h[1] and h[2] > h[1], lambda h: h[0] > h[2], HEIGHTS),
    "not asleep": follows(lambda w: some(w, a, no(b)), lambda w: some(w, a, b)),
    "Nothing that has wings": follows(
        lambda w: every(w, a, no(b)) and every(w, c, a), lambda w: every(w, c, no(b))
    ),
    "Lena": follows(lambda s: (not s[0] or s[1]) and not s[1], lambda s: not s[0], CASES),
    "A fuse": follows(lambda s: (not s[0] or s[1]) and s[0], lambda s: s[1], CASES),
    "none of the guests": follows(lambda w: not every(w, a, no(b)), lambda w: some(w, a, b)),
    "unicorns": follows(lambda w: not any(a(*one) for one in w), lambda w: every(w, a, b)),
    "moon is made of cheese": follows(lambda s: s[0] and not s[0], lambda s: s[1], CASES),
    "Snow is white": follows(lambda s: s[0], lambda s: s[0] or s[1], CASES),
    "More than half": follows(
        lambda w: share(w, a) > 0.5 and share(w, b) > 0.5, lambda w: some(w, a, b)
    ),
    "No athletes": follows(
        lambda w: every(w, a, no(b)) and some(w, b, c), lambda w: some(w, c, no(a))
    ),
}


@pytest.mark.parametrize(("words", "valid"), VALID.items(), ids=VALID)
def test_an_argument_is_valid_if_no_world_denies_it(words, valid):
    (row,) = [row for row in ROWS if words in row["question"]]
    assert row["answer"] == ("yes" if valid else "no")


def test_every_argument_is_held_against_worlds():
    left = [
        row["question"].split(".")[0]
        for row in ROWS
        if row["category"] == "logic"
        and row["kind"] == "text"
        and not any(words in row["question"] for words in VALID)
    ]
    assert left == ["In summer both ice cream sales and drownings rise"]  # of causes


def test_what_is_not_computed_is_looked_at_by_eye():
    """Numbers whose answers hang on how the question is read."""
    left = [
        row["question"].split(".")[0]
        for row in ROWS
        if row["kind"] == "number" and not any(words in row["question"] for words in COMPUTED)
    ]
    assert len(left) <= 10, left


def test_the_truths_that_probability_claims_rest_on():
    no_pair = 1.0
    for n in range(30):
        no_pair *= (365 - n) / 365
    assert 1 - no_pair > 0.5  # of 30 people
    assert 1 - (5 / 6) ** 4 < 0.52 < 4 / 6  # a six in four throws

    def over_60(n):
        return sum(comb(n, k) for k in range(n + 1) if k > 0.6 * n) / 2**n

    assert over_60(15) > over_60(45)  # hospitals
