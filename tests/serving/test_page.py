"""The page in headless Chromium, by what a person sees: from disk, and asking a real service."""

import browsing
import pytest
import tiny_service
import yaml
from finished import finish_report
from ports import free_port

from pipelines.config import load
from pipelines.serving.page import FOLDER

pytestmark = pytest.mark.process

KEY = "a-key-of-the-page"
WIDE, NARROW = {"width": 1200, "height": 900}, {"width": 360, "height": 800}


@pytest.fixture(scope="module")
def browser():
    with browsing.browser() as started:
        yield started


@pytest.fixture
def page(browser):
    """Fails with what the page's own scripts fail at."""
    opened = browser.new_page(viewport=WIDE)
    opened.set_default_timeout(180_000)
    wrong = []
    opened.on("pageerror", lambda error: wrong.append(error))
    yield opened
    opened.close()
    assert not wrong


@pytest.fixture(scope="module")
def url(browser, tiny, ray_cluster, tmp_path_factory):
    """A service under a prefix that wants a key; its report has thresholds and no reliability."""
    from ray import serve

    from jobs.serve import Arguments, app

    directory, port = tmp_path_factory.mktemp("page"), free_port()
    (directory / "keys").write_text(KEY)
    made = tiny_service.settings(
        tiny,
        port,
        serve={"scaling": {"kind": "text"}, "api_keys_file": str(directory / "keys")},
        root=str(directory / "root"),
        data={"train": [{"name": "capitals"}], "eval": [{"name": "elements"}]},
        evaluate={"num_samples": 8, "sampling": {"max_tokens": 150}},
    )
    file = directory / "config.yaml"
    file.write_text(yaml.safe_dump(made))
    finish_report(load(str(file), []), {"early_stopping": 0.0}, {})
    serve.start(http_options={"port": port})
    started = app(Arguments(config=str(file), base=True))
    serve.run(started, name="page", route_prefix="/page")
    yield f"http://127.0.0.1:{port}/page"
    serve.shutdown()


def connected(page, url):
    page.goto(url)
    page.get_by_text("This server wants an API key.").wait_for()
    page.get_by_label("API key").fill(KEY)
    page.keyboard.press("Tab")
    page.get_by_text("base at ").wait_for()


def status(page):
    return page.get_by_role("region", name="Answer").get_by_role("status")


def lanes(page):
    return page.get_by_role("region", name="Samples").get_by_role("listitem")


def scrolls_sideways(page):
    return page.evaluate("document.documentElement.scrollWidth > innerWidth")


@pytest.mark.parametrize("viewport", [WIDE, NARROW])
def test_a_recorded_run_plays_from_disk_by_keyboard_alone(page, viewport):
    page.set_viewport_size(viewport)
    page.goto((FOLDER / "index.html").as_uri())
    assert "without a server" in page.get_by_role("banner").inner_text()
    page.get_by_role("button", name="Ask", disabled=True).wait_for()
    assert not scrolls_sideways(page)
    for _ in range(20):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.textContent") == "Play a recorded run":
            break
    page.keyboard.press("Enter")
    status(page).get_by_text("Stopped after").wait_for()
    assert "2 samples under way were aborted" in status(page).inner_text()
    said = [one.inner_text() for one in lanes(page).all()]
    assert len(said) == 7
    assert sum("aborted" in one and "wasted" in one for one in said) == 2
    assert "settled it" in said[3]
    assert "0.50" in said[3]
    votes = page.get_by_role("table", name="Votes by answer")
    first = votes.get_by_role("row").nth(1)
    assert first.get_by_role("rowheader").inner_text() == "3"
    assert [one.inner_text() for one in first.get_by_role("cell").all()] == ["1", "", "0.63"]
    receipt = page.get_by_role("table", name="Tokens computed").inner_text()
    assert "one sample" in receipt
    assert "all 16 samples" in receipt
    page.get_by_role("img", name="Reliability").wait_for()
    page.get_by_role("table", name="Reliability by confidence").wait_for()
    assert not scrolls_sideways(page)


def test_all_that_can_be_used_has_a_name(page):
    page.goto((FOLDER / "index.html").as_uri())
    page.get_by_role("button", name="Play a recorded run").click()
    status(page).get_by_text("Stopped after").wait_for()
    for name in ("Model", "Policy", "Schedule", "Answer kind", "Test queries"):
        assert page.get_by_role("combobox", name=name).count() == 1
    for name in ("Question", "Threshold", "Budget", "Seed"):
        assert page.get_by_role("textbox", name=name).count() == 1
    assert page.get_by_label("API key").get_attribute("type") == "password"
    names = ["Samples", "Answer", "Reliability of the served model", "The same request"]
    for name in names:
        assert page.get_by_role("region", name=name, exact=name == "Answer").count() >= 1
    assert page.get_by_role("main").count() == page.get_by_role("banner").count() == 1
    assert page.get_by_role("heading", level=1).inner_text() == "Self-calibrated answers"


def test_a_data_set_can_be_chosen_while_a_run_goes_on(page):
    page.goto((FOLDER / "index.html").as_uri())
    page.get_by_role("button", name="Play a recorded run").click()
    lanes(page).first.wait_for()
    page.get_by_role("combobox", name="Test queries").focus()
    status(page).get_by_text("Stopped after").wait_for()
    assert page.evaluate("document.activeElement.id") == "dataset"
    page.keyboard.press("End")
    assert page.evaluate("document.activeElement.id") == "dataset"


SAID = """(policy) => {
  const about = {
    default_model: "m", models: { m: { curves: {} } }, presets: {}, defaults: {},
    policies: { [policy]: { threshold: "share" } },
  };
  const run = new Run(about, { model: "m", scaling: { policy, threshold: 0.8, kind: "text" } });
  const told = { event: "used", answer: "4", p_true: null, confidence: 0.9, tokens: 3 };
  for (const index of [0, 1])
    run.take({ choices: [{ delta: {} }], scaling: { ...told, index } }, 0);
  run.result = { threshold: 0.8, votes: { 4: 2 } };
  const place = document.createElement("div");
  drawVotes(place, run);
  return [place.innerText, because(run)];
}"""


def test_a_policy_by_the_confidences_of_tokens_is_told_as_the_policy_it_is(page):
    page.goto((FOLDER / "index.html").as_uri())
    votes, ended = page.evaluate(SAID, "asc_conf@mean_logprob")
    assert "share of confidence" in votes
    assert "asc_conf@mean_logprob stops, from 2 votes on, when one answer's share reaches" in votes
    assert ended == "“4” had 1.00 of all confidence, at a threshold of 0.80."
    assert "one answer's posterior" in page.evaluate(SAID, "cges@tail_entropy")[0]


RESTARTED = """() => {
  const server = { default_model: "m", models: {}, presets: {}, policies: {}, defaults: {} };
  const run = new Run(server, {});
  const told = [
    [null, { event: "started", index: 0 }], ["It is"], [null, { event: "restarted" }],
    [null, { event: "started", index: 0 }], [" four."],
  ];
  for (const [content, scaling] of told)
    run.take({ choices: [{ delta: { content } }], scaling }, 0);
  return [run.message, run.lanes.get(0).text];
}"""


def test_a_message_goes_on_where_a_replica_left_it(page):
    page.goto((FOLDER / "index.html").as_uri())
    assert page.evaluate(RESTARTED) == ["It is four.", "It is four."]


def test_a_question_is_asked_and_the_same_request_is_code(page, url):
    connected(page, url)  # without a slash, too
    page.get_by_text("Nothing was measured of the model base").wait_for()
    page.get_by_label("Question").fill("Name a 'colour'.")
    page.get_by_label("Policy").select_option("best_of_n")
    page.get_by_label("Budget").fill("4")
    page.get_by_label("Seed").fill("3")
    code = page.get_by_role("region", name="The same request")
    assert f"curl {url}/v1/chat/completions" in code.inner_text()
    assert f'base_url="{url}/v1"' in code.inner_text()
    assert "$API_KEY" in code.inner_text()
    assert KEY not in page.content()
    compile(code.get_by_role("region", name="Python").inner_text(), "shown", "exec")
    page.get_by_role("button", name="Ask").click()
    status(page).get_by_text("The budget is spent").wait_for()
    assert lanes(page).count() == 4
    said = [one.inner_text() for one in lanes(page).all()]
    assert not [one for one in said if "used" not in one]
    page.get_by_role("table", name="Tokens computed").wait_for()


def test_a_promised_threshold_is_the_services_to_choose(page, url):
    connected(page, url)
    page.get_by_role("combobox", name="Model").select_option("base:promised")
    page.get_by_text("keeps this model's promise").wait_for()
    assert page.get_by_placeholder("as promised").count() == 1
    page.get_by_role("button", name="Ask").click()
    page.get_by_role("alert").get_by_text("nothing was measured for early_stopping").wait_for()


def test_a_wrong_key_is_told(page, url):
    page.goto(f"{url}/")
    page.get_by_text("This server wants an API key.").wait_for()
    page.get_by_label("API key").fill("wrong")
    page.keyboard.press("Tab")
    page.get_by_role("alert").get_by_text("(401)").wait_for()
    page.get_by_role("button", name="Ask", disabled=True).wait_for()


def test_what_the_service_refuses_is_one_sentence(page, url):
    connected(page, f"{url}/")
    page.get_by_label("Budget").fill("65")
    page.get_by_role("button", name="Ask").click()
    page.get_by_role("alert").get_by_text("scaling.budget").wait_for()
    said = page.get_by_role("alert").inner_text()
    assert "(400)" in said
    assert "over this server's limit, 64" in said
    assert "\n" not in said
    page.get_by_role("button", name="Ask", disabled=False).wait_for()


def test_stop_ends_what_is_under_way(page, url):
    connected(page, f"{url}/")
    page.get_by_label("Policy").select_option("best_of_n")
    page.get_by_label("Budget").fill("64")
    page.get_by_label("Schedule").select_option("one by one")
    page.get_by_role("button", name="Ask").click()
    lanes(page).nth(1).wait_for()
    page.get_by_role("button", name="Stop").click()
    status(page).get_by_text("You stopped it").wait_for()
    page.get_by_role("button", name="Ask", disabled=False).wait_for()
