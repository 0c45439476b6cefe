"use strict";
// The page: asks the server or plays a recorded run, and draws what comes.

const lanes = new Lanes(byId("lanes"));
let about = null; // of the server; or, where there is none, of the recorded run
let run = null; // the one that is shown
let underWay = null; // what ends it

function draw() {
  drawForm();
  drawReliability(byId("reliability"), (run || { about }).about, shownModel(), run);
  if (!run) return;
  lanes.draw(run);
  write(byId("counted"), `${run.used.length} used, ${run.lanes.size} started, ${run.asked.budget} at most`);
  write(byId("lanes-note"), run.wasted ? `${counted(run.wasted, "token")} wasted on samples that were not used.` : "");
  write(byId("message"), run.message);
  drawVotes(byId("votes"), run);
  drawReceipt(byId("receipt"), run);
  write(byId("status"), ending(run) || "Under way…");
}

function drawForm() {
  if (about) noteThreshold(about);
  drawCode(byId("code"), request());
}

function shownModel() {
  if (run) return run.asked.name;
  return byId("model").value.split(":")[0];
}

// Draws a run as its chunks come: [milliseconds, chunk].
async function follow(started, chunks) {
  run = started;
  const own = run;
  underWay = new AbortController();
  write(byId("error"), "");
  lanes.clear();
  busy(true);
  draw();
  const redraw = onceAFrame(() => run === own && draw());
  try {
    for await (const [elapsed, chunk] of chunks(underWay.signal)) {
      own.take(chunk, elapsed);
      redraw();
    }
  } catch (error) {
    own.leave(underWay.signal.aborted ? "stopped" : "failed");
    if (own.end === "failed") tell(error);
  }
  busy(false);
  draw();
}

function tell(error) {
  // What a browser says where no server answers is no sentence for people.
  const unreachable = error instanceof TypeError;
  write(byId("error"), unreachable ? "The server does not answer; is it still running?" : error.message);
}

function onceAFrame(what) {
  let waits = false;
  return () => {
    if (waits) return;
    waits = true;
    requestAnimationFrame(() => {
      waits = false;
      what();
    });
  };
}

function busy(is) {
  byId("ask").disabled = is || !serves();
  byId("play").disabled = is;
  byId("stop").disabled = !is;
  byId("lanes").setAttribute("aria-busy", String(is));
}

const serves = () => about !== null && !about.recorded;

function askServer(event) {
  event.preventDefault();
  if (byId("ask").disabled) return;
  write(byId("recorded"), "");
  const body = request();
  const begin = performance.now();
  const sent = { ...body, stream: true, stream_options: { include_usage: true } };
  follow(new Run(about, body), async function* (signal) {
    for await (const chunk of ask(sent, byId("key").value, signal)) yield [performance.now() - begin, chunk];
  });
}

async function play() {
  const { about: told, request: body, recorded, chunks } = await recordedRun();
  if (!serves()) {
    about = { ...told, recorded };
    fillForm(about);
    byId("model").value = body.model;
    fillDefaults(about);
    showRequest(body);
  }
  const { policy, budget } = resolved(told, body);
  const asked = `“${body.messages.at(-1).content}”, ${policy}, ${counted(budget, "sample")} at most`;
  write(byId("recorded"), `Recorded on ${recorded}: ${asked}.`);
  follow(new Run(told, body), async function* (signal) {
    const begin = performance.now();
    for (const [at, chunk] of chunks) {
      await until(begin + at, signal);
      yield [at, chunk];
    }
  });
}

// A script, for a page from disk may read no other file.
function recordedRun() {
  return new Promise((resolve) => {
    if (window.RECORDED) resolve(window.RECORDED);
    const script = make("script", { src: "assets/recorded.js" });
    script.addEventListener("load", () => resolve(window.RECORDED));
    document.body.append(script);
  });
}

function until(time, signal) {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(resolve, time - performance.now());
    signal.addEventListener("abort", () => {
      clearTimeout(timer);
      reject(signal.reason);
    });
  });
}

async function begin() {
  if (location.protocol === "file:") {
    write(byId("server"), "Opened from disk, without a server: it plays a recorded run.");
  } else {
    await connect();
  }
  busy(false);
  draw();
}

// Asks for the key first where the server wants one.
async function connect() {
  const key = byId("key").value;
  write(byId("error"), "");
  try {
    about = await readAbout(key);
    fillForm(about);
    write(byId("server"), `${Object.keys(about.models).join(", ")} at ${address("v1")}`);
    if (!key) byId("key").placeholder = "none is needed";
  } catch (error) {
    const keyless = error.status === 401;
    write(byId("server"), keyless ? "This server wants an API key." : "The server tells nothing of itself.");
    if (keyless) byId("key").placeholder = "wanted";
    if (!keyless || key) tell(error);
  }
}

byId("form").addEventListener("submit", askServer);
byId("form").addEventListener("input", drawForm);
byId("model").addEventListener("change", () => {
  if (about) fillDefaults(about);
  draw();
});
byId("key").addEventListener("change", () => {
  if (location.protocol !== "file:" && !serves()) begin();
});
byId("question").addEventListener("keydown", (event) => {
  if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) byId("form").requestSubmit();
});
byId("stop").addEventListener("click", () => underWay.abort());
byId("play").addEventListener("click", play);
begin();
