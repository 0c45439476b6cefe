"""Formulas: what is cut off them, the classes that they stand in, and math-verify's processes."""

import asyncio
import resource
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import psutil
import pytest
from hypothesis import given
from hypothesis import strategies as st
from processes import ROOT, command_line, kill, printed_until, started
from waiting import once

from pipelines.method.answers import canonical, extract, is_correct
from pipelines.method.formulas import LONGEST, Classes, clean, compare, equal, parses
from pipelines.method.formulas.workers import LIMIT

ENDLESS = [
    r"9^{9^{9^9}}",
    "99999999!",
    r"\sum_{i=1}^{10^{12}} \frac{1}{i}",
    "(" * 400 + "1" + ")" * 400,
]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (" $x +\n 1$. ", "x + 1"),
        (r"\( \frac{1}{2} \)", r"\frac{1}{2}"),
        (r"\[x\],", "x"),
        ("$$[0, 1)$$", "[0, 1)"),
        ("$x$ and $y$", "$x$ and $y$"),
        (".5", ".5"),
        (r"\{1, 2\}", r"\{1, 2\}"),
        (r"\left\{ x \right.", r"\left\{ x \right"),  # an escaped brace is not one of LaTeX's own
        ("{x", None),
        ("}x{", None),
        ("", None),
        ("$$", None),
        ("x" * LONGEST, "x" * LONGEST),
        ("x" * (LONGEST + 1), None),
    ],
)
def test_what_is_left_of_a_formula(text, expected):
    assert clean(text) == expected


@given(st.text(st.sampled_from(list("$x\\([])}{ .,;\n1"))))
def test_what_is_left_stays(text):
    left = clean(text)
    assert left is None or clean(left) == left == canonical(text, "math")


@pytest.mark.parametrize(
    ("response", "expected"),
    [
        (r"So \boxed{\frac{1}{\sqrt{2}}} it is, of $3$.", r"\frac{1}{\sqrt{2}}"),
        (r"\boxed{1}, no: \boxed{[0, 1)}", "[0, 1)"),
        ("**Answer:** $x = 2$.\nGood luck!", "x = 2"),
        (r"\boxed{\frac{1}{2}", None),
        ("I cannot say.", None),
    ],
)
def test_the_formula_that_a_response_states(response, expected):
    assert extract(response, "math") == expected


# Verdicts as they come: neither symmetric nor transitive, and some formulas are not read.
VERDICTS = st.dictionaries(
    st.tuples(st.integers(0, 7), st.integers(0, 7)), st.sampled_from([True, False, None])
)
FORMULAS = st.lists(st.integers(0, 7).map(str), max_size=20)


def classes_of(formulas, verdicts):
    def verdict(first, second):
        return verdicts.get((int(first), int(second)), first == second)

    classes = Classes(verdict)
    return [classes.of(formula) for formula in formulas]


@given(FORMULAS, VERDICTS)
def test_a_class_is_named_by_its_first_formula(formulas, verdicts):
    """So being in one is an equivalence relation, whatever the verdicts: it is that of a function,
    equal formulas have one class, and what names a class is in it."""
    found = classes_of(formulas, verdicts)
    class_of = dict(zip(formulas, found, strict=True))
    assert found == [class_of[formula] for formula in formulas]
    for formula, its in class_of.items():
        if its is not None:
            assert class_of[its] == its
            assert formulas.index(its) <= formulas.index(formula)
        else:
            assert verdicts.get((int(formula), int(formula))) is None or len(formulas) > 1


@given(FORMULAS, FORMULAS, VERDICTS)
def test_a_class_depends_on_what_came_before_alone(formulas, later, verdicts):
    """So a policy that stops early sees the classes that the label stage sees."""
    found = classes_of(formulas + later, verdicts)
    assert found[: len(formulas)] == classes_of(formulas, verdicts)


def test_a_formula_joins_the_first_class_that_it_is_equal_to():
    near = {(0, 1): True, (1, 2): True, (0, 2): False, (3, 3): None, (0, 4): None}
    assert classes_of("0123445", near) == ["0", "0", "2", None, None, None, "5"]


EQUAL = [
    (r"\frac{1}{2}", "0.5"), (r"\frac12", "1/2"), ("1/3", "0.333333"), (r"0.1\overline{6}", "1/6"),
    ("2 1/2", r"\frac{5}{2}"), ("2½", "2.5"), (r"10\,000", "10^4"), ("1 000 000", "10^{6}"),
    ("1e-3", "0.001"), (r"1.5 \times 10^3", "1500"), (r"50\%", "0.5"), (r"90^\circ", "90"),
    (r"\sqrt{8}", r"2\sqrt{2}"), (r"\frac{1}{\sqrt{2}}", r"\frac{\sqrt{2}}{2}"), ("√2", "sqrt(2)"),
    ("x²", "x**2"), ("x^-1", r"\frac{1}{x}"), ("(x+1)^2", "x^2+2x+1"), ("5!", "120"),
    (r"\frac{x^2-1}{x-1}", "x+1"), (r"\binom{5}{2}", "10"), (r"\log_2 8", "log_2(8)"),
    (r"\sin^2 x + \cos^2 x", "1"), (r"2\sin x\cos x", "sin(2x)"), (r"\frac{\pi}{2}", "pi/2"),
    (r"\int_0^1 x dx", "1/2"), (r"\sum_{i=1}^{3} i", "6"), ("2+3i", "3i+2"),
    (r"\{1,2\}", r"\{2,1\}"), ("1, 2, 3", r"\{3,2,1\}"), (r"\left\{1,2\right\}", "2,1"),
    (r"\pm 3", "3, -3"), ("(1,2)", "1,2"), (r"\langle 1,2\rangle", "(1,2)"),
    (r"(\frac12, 3)", "(0.5,3)"), ("(-oo,3]", r"x \le 3"), ("(−∞,3)", "x<3"), ("1<x<3", "(1,3)"),
    (r"x \in [1,2]", "[1,2]"), (r"\{x \mid x>1\}", r"(1,\infty)"),
    (r"(-\infty,-1)\cup(1,\infty)", r"x<-1 \text{ or } x>1"), ("x < -1 or x > 1", "x>1 or x<-1"),
    ("x=5", "5"), ("x=5", "5=x"), ("y=2x+3", "2x-y+3=0"), ("x<3", "3>x"),
    ("2x<6", "x<3"), ("-x<1", "x>-1"), ("2x=10", "x=5"), ("x^2-4=0", "2x^2=8"),
    ("x=1, y=2", "y=2, x=1"), (r"x=3\text{ or }x=-3", r"x=\pm 3"), ("f(x)=x^2", "x^2"),
    (r"\begin{pmatrix}1\\2\end{pmatrix}", r"\begin{bmatrix}1\\2\end{bmatrix}"),
    ("1x", "x"), ("3x=6y", "x=2y"), (r"\mathbb{R}", r"(-\infty,\infty)"), ("x=1", "1"),
    ("1011_2", "1011_{2}"), ("13_{4}", "13_4"),
    (r"\sqrt{9+16} = \sqrt{25} = 5", "5"), ("2+5 = 7", "7"), ("2+5=7", "3+4=7"), ("x=3+4=7", "x=7"),
    (r"f(2) = 3 \cdot 2 + 1 = 7", "7"), (r"\left(1+2\right)^2 = 9", "9"), ("500+500=1,000", "1000"),
    (r"\sum_{i=1}^{3} i = 6", "6"), (r"\angle A = 180^\circ - 110^\circ = 70^\circ", "70"),
    ("even", r"\text{Even}"), ("No solution", r"\text{no solution}"), ("12 square units", "12"),
]  # fmt: skip
DIFFERENT = [
    ("1/3", "0.33"), (r"\pi", "3.14"), ("0.0000001", "0.0000002"), ("0.0000001", "0"),
    ("2^{100}", "2^{100}+1"), ("x^10", "x^11"), (r"\infty", r"-\infty"), ("(x+1)^2", "x^2+1"),
    (r"\sin x", r"\cos x"), ("x", r"\sqrt{x^2}"), ("a", "b"), ("x=5", "y=5"), ("x^2=4", "x=2"),
    ("5", "2x+z=5"), ("1", "9=1"), ("x<3", r"x\le 3"), ("x>0", "x>=0"), (r"\pm 3", "3"),
    (r"\{1,2\}", r"\{1,3\}"), (r"\{1,2\}", r"\{1,2,3\}"), ("(1,2)", "[1,2]"), ("(1,2)", "(2,1)"),
    ("(1,2)", r"\{1,2\}"), ("(1,2,3)", "(3,2,1)"), ("(1,2,3)", r"\{1,2,3\}"),
    ("x=1,y=2", "x=2,y=1"), ("x<1 or y>2", "x<1 or x>2"), ("x=1 or x=2", "x=1"),
    (r"\begin{pmatrix}1\\2\end{pmatrix}", r"\begin{pmatrix}2\\1\end{pmatrix}"), ("even", "odd"),
    ("x<3", "x<4"), ("(1,2)", "x"), ("x=1", "x"), ("y", "x<3"), (r"\mathbb{R}", "x"),
    ("abc", "cba"), ("2x<6", "y<3"), ("x=3", "x=4"), ("y=2x", "y=x"),
    (r"3x=\sin 2x", r"2x=\sin 3x"), ("y=x+10^9", "y=2x+2*10^9"), ("x+10^9", "x+10^9+1"),
    ("2+5=7", "5"), ("2+5=7", "2"), ("x^2+y^2=1", "1"), ("x=1+1=2, y=3", "3"), ("2^x=8", "8"),
    ("13_4", "13_5"), ("1011_2", "1011_{3}"), ("13_4 + 1", "13_5 + 1"), ("1A_{16}", "1A_{12}"),
]  # fmt: skip


@pytest.mark.process
@pytest.mark.parametrize("pair", EQUAL, ids=" ~ ".join)
def test_equal(pair):
    assert compare(*pair) is compare(*reversed(pair)) is True


@pytest.mark.process
@pytest.mark.parametrize("pair", DIFFERENT, ids=" ~ ".join)
def test_different(pair):
    assert compare(*pair) is compare(*reversed(pair)) is False


@pytest.mark.process
@pytest.mark.parametrize(
    "text",
    ["", "1/0", r"\frac{0}{0}", r"\frac{", "^", "\\" * 500, "1 2 ? !", "\x00", "\udc80",
     "the sum of all the numbers that divide it is 12"],
)  # fmt: skip
def test_what_is_no_formula_is_not_read(text):
    assert not parses(text)
    assert compare(text, "1") is None


@pytest.mark.process
@pytest.mark.parametrize("text", ENDLESS, ids=lambda text: text[:20])
def test_what_does_not_end_is_not_read_and_what_follows_is(text):
    before = spent_by_those_that_ended()
    assert not parses(text)
    assert compare("x+1", text) is None
    assert not is_correct("x+1", text, "math")
    assert spent_by_those_that_ended() - before < 10 * LIMIT
    assert equal("2x", "x+x")


def spent_by_those_that_ended():
    """Seconds of CPU of this process's children: however busy the machine, a limit of theirs."""
    spent = resource.getrusage(resource.RUSAGE_CHILDREN)
    return spent.ru_utime + spent.ru_stime


@pytest.mark.process
def test_classes_of_a_query():
    classes = Classes()
    stated = ["1/2", r"\frac{1}{2}", "x", ENDLESS[0], "0.5", "1/0", "1x", "x"]
    assert [classes.of(one) for one in stated] == [
        "1/2", "1/2", "x", None, "1/2", None, "x", "x",
    ]  # fmt: skip


@pytest.mark.process
def test_is_correct():
    assert is_correct(extract(r"It is \boxed{\dfrac{2}{4}}.", "math"), "$1/2$", "math")
    assert is_correct("|x|", "|x|", "math")  # a bar separates spellings of a text alone
    assert is_correct("0.5", r"x␟\frac{1}{2}", "math")
    assert not is_correct("0.4", r"x␟\frac{1}{2}", "math")
    assert not is_correct("1/3", "1/2", "math")
    assert not is_correct(None, "1/2", "math")
    assert not is_correct("1", "", "math")


@pytest.mark.process
def test_from_threads_and_an_event_loop():
    """math-verify's own time limits want the main thread."""
    pairs = [(f"{n}x", f"x+{n - 1}x") for n in range(2, 30)]
    with ThreadPoolExecutor(8) as threads:
        verdicts = threads.map(lambda pair: equal(*pair), pairs)
        assert not [pair for pair, same in zip(pairs, verdicts, strict=True) if not same]

    async def many(pairs):
        return await asyncio.gather(*(asyncio.to_thread(equal, *pair) for pair in pairs))

    pairs = [(f"{n}y", f"y+{n - 1}y") for n in range(2, 30)]
    verdicts = asyncio.run(many(pairs))
    assert not [pair for pair, same in zip(pairs, verdicts, strict=True) if not same]


@pytest.mark.process
def test_from_an_actor_of_ray(ray_cluster):
    import ray

    @ray.remote(num_cpus=0)
    class Actor:
        async def ask(self):
            return await asyncio.to_thread(
                lambda: (equal("1/2", "0.5"), parses(ENDLESS[0]), equal("2x", "x+x"))
            )

    assert ray.get(Actor.remote().ask.remote()) == (True, False, True)


ASKS = """
import itertools
import sys
from pipelines.method.formulas import parses
if sys.argv[1] == "ends":
    print(parses("x+1"))
else:
    print(parses("x+1"), flush=True)
    for number in itertools.count():  # each until its limit
        parses(f"{sys.argv[1]}+{number}")
"""


@pytest.mark.process
def test_what_asks_ends_at_once_and_without_a_word():
    command = [sys.executable, "-c", ASKS, "ends"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert (done.returncode, done.stdout, done.stderr) == (0, "True\n", "")


@pytest.mark.process
@pytest.mark.parametrize("how", ["kill", "interrupt"])
def test_a_process_ends_with_the_one_that_started_it(how):
    with started([sys.executable, "-c", ASKS, ENDLESS[0]]) as asks:
        printed_until("True", asks)
        (worker,) = psutil.Process(asks.pid).children()
        if how == "kill":
            asks.kill()
        else:
            asks.send_signal(2)
        said = asks.communicate(timeout=300)[0]
    assert said == "" if how == "kill" else said.strip().endswith("KeyboardInterrupt")
    assert said.count("Traceback") == (how == "interrupt")
    once(lambda: not worker.is_running())


@pytest.mark.process
def test_a_process_that_is_killed_from_outside_changes_no_verdict():
    assert equal("3z", "z+2z")
    for worker in psutil.Process().children():
        if "pipelines.method.formulas.algebra" in command_line(worker):
            kill(worker)
            once(lambda worker=worker: worker.status() == psutil.STATUS_ZOMBIE)
    assert equal("4z", "z+3z")
