"use strict";
// What a reader can choose, from what the server tells of itself; and the request that comes of it.

const KINDS = { none: "none: open text", number: "number", option: "option", text: "short text", math: "math" };
const SCHEDULES = { sequential: "one by one", waves: "waves", all: "all at once" };

function fillForm(about) {
  const presets = ["", ...Object.keys(about.presets).map((one) => `:${one}`)];
  const models = Object.keys(about.models).flatMap((name) => presets.map((end) => name + end));
  fill("model", Object.fromEntries(models.map((one) => [one, one])), about.default_model);
  fillDefaults(about);
}

// The defaults are the model's preset's, so they change with it.
function fillDefaults(about) {
  const chosen = resolved(about, { model: byId("model").value });
  const names = Object.fromEntries(Object.keys(about.policies).map((one) => [one, one]));
  const schedule = Array.isArray(chosen.schedule) ? chosen.schedule.join(", ") : SCHEDULES[chosen.schedule];
  fill("policy", { "": `default: ${chosen.policy}`, ...names });
  fill("schedule", { "": `default: ${schedule}`, ...SCHEDULES });
  fill("kind", { "": `default: ${KINDS[chosen.kind]}`, ...KINDS });
  byId("budget").placeholder = `${chosen.budget}, ${about.max_budget} at most`;
  noteThreshold(about);
}

// What the threshold is of, and what the report measured at it.
function noteThreshold(about) {
  const own = request();
  const { threshold: given, ...scaling } = own.scaling;
  const measured = resolved(about, { ...own, scaling });
  const { threshold, promised, policy, of, name } = measured;
  const field = byId("threshold");
  field.disabled = of === "none";
  field.placeholder = of === "none" ? "it has none" : promised ? "as promised" : threshold === null ? "name one" : `${+threshold.toFixed(3)}`;
  const kinds = {
    none: `${policy} has no threshold.`,
    confidence: `The threshold is of a sample's confidence, 0 to 1.`,
    share: `The threshold is of one answer's share, 0 to 1.`,
    window: `The threshold is a number of equal answers in a row.`,
  };
  const at = given === undefined ? threshold : given;
  const { curve = [] } = about.models[name].curves[policy] || {};
  const near = curve.filter((one) => at !== null && Math.abs(one.threshold - at) < 1e-9);
  const there = near.length
    ? ` At ${+at.toFixed(3)} the report measured an accuracy of ${share(near[0].accuracy)} by ${near[0].avg_samples.toFixed(1)} samples.`
    : promised
      ? " For a kind and the full budget, the service takes the one that keeps this model's promise."
      : of !== "none" && threshold === null
        ? " None was measured, so a request names one."
        : "";
  write(byId("threshold-note"), kinds[of] + there);
}

function fill(id, options, value) {
  const select = byId(id);
  const kept = value ?? select.value;
  select.replaceChildren(...Object.entries(options).map(([key, text]) => make("option", { value: key }, text)));
  select.value = kept in options ? kept : Object.keys(options)[0];
}

// As the service takes it. What is left empty is the server's to choose; what is no number is sent as
// it stands, for the service says what is wrong with it.
function request() {
  const number = (id) => {
    const text = byId(id).value.trim();
    return text === "" ? undefined : Number.isFinite(Number(text)) ? Number(text) : text;
  };
  const text = (id) => byId(id).value || undefined;
  const scaling = {
    policy: text("policy"),
    threshold: byId("threshold").disabled ? undefined : number("threshold"),
    budget: number("budget"),
    schedule: text("schedule"),
    kind: text("kind"),
  };
  const body = {
    model: text("model"),
    messages: [{ role: "user", content: byId("question").value }],
    seed: number("seed"),
    scaling,
  };
  return JSON.parse(JSON.stringify(body)); // without what is undefined
}

// The form as a request has it, of a run that is played.
function showRequest(body) {
  const { scaling = {} } = body;
  byId("question").value = body.messages.at(-1).content;
  for (const id of ["policy", "threshold", "budget", "schedule", "kind"]) byId(id).value = scaling[id] ?? "";
  byId("seed").value = body.seed ?? "";
}
