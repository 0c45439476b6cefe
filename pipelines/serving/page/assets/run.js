"use strict";
// One request as its chunks tell it: what is known of each sample, of the votes, of the end. No page.

class Run {
  // about: of the server. body: of the request.
  constructor(about, body) {
    Object.assign(this, { about, body, result: null, usage: null, message: "", end: null });
    this.elapsed = 0; // ms, of the last chunk
    this.lanes = new Map(); // by index
    this.used = []; // indices, in the order in which the policy saw them
    this.asked = resolved(about, body);
  }

  take(chunk, elapsed) {
    this.elapsed = elapsed;
    if (chunk.usage) this.usage = chunk.usage;
    const [choice] = chunk.choices;
    if (!choice) return;
    if (choice.delta.content) this.say(choice.delta.content);
    if (chunk.scaling && chunk.scaling.event) this.happen(chunk.scaling);
    else if (chunk.scaling) this.settle(chunk.scaling);
  }

  // Of one sample alone the message comes as it is drawn.
  say(piece) {
    this.message += piece;
    const first = this.lanes.get(0);
    if (first && this.lanes.size === 1 && first.state === "drawing") first.text += piece;
  }

  happen(event) {
    if (event.event === "restarted") {
      this.lanes.clear();
      this.used = [];
      if (this.message) this.lane(0).text = this.message; // it goes on where it was
      return;
    }
    const lane = this.lane(event.index);
    if (event.event === "text") lane.text += event.text;
    if (event.event === "aborted") Object.assign(lane, { state: "aborted", tokens: event.tokens });
    if (event.event === "finished" || event.event === "used") {
      const { answer, tokens } = event;
      const confidence = event.confidence ?? event.p_true; // the policy's, once it saw the sample
      const state = event.event === "used" ? "used" : confidence === null ? "drawn" : "scored";
      Object.assign(lane, { state, answer, confidence, tokens });
    }
    if (event.event === "used") this.used.push(event.index);
  }

  settle(scaling) {
    this.result = scaling;
    this.end = scaling.stop_reason;
    const { policy, threshold } = scaling; // where one sample was all, it may be another
    Object.assign(this.asked, { policy, threshold, of: this.about.policies[policy].threshold });
    for (const lane of this.lanes.values()) {
      if (lane.state === "scored" || lane.state === "drawn") lane.state = "not used";
    }
    const last = this.lanes.get(this.used.at(-1));
    if (last && this.end === "sure") last.settled = true;
    const chosen = this.used.map((index) => this.lanes.get(index));
    const shown = chosen.find((lane) => lane.text === this.message);
    if (shown) shown.chosen = true;
  }

  // By the reader, or by what went wrong: what is under way ends in the engine, too.
  leave(how) {
    this.end = how;
    for (const lane of this.lanes.values()) {
      if (lane.state === "drawing") lane.state = "aborted";
      if (lane.state === "scored" || lane.state === "drawn") lane.state = "not used";
    }
  }

  lane(index) {
    if (!this.lanes.has(index)) {
      const nothing = { text: "", answer: null, confidence: null, tokens: null };
      this.lanes.set(index, { index, state: "drawing", ...nothing });
    }
    return this.lanes.get(index);
  }

  count(state) {
    return [...this.lanes.values()].filter((lane) => lane.state === state).length;
  }

  get wasted() {
    const lost = [...this.lanes.values()].filter((one) => /aborted|not used/.test(one.state));
    return lost.reduce((sum, one) => sum + (one.tokens || 0), 0);
  }

  // By answer: votes, and the share of all weights. As the policy weighs them: by confidence where
  // samples are scored.
  get votes() {
    const seen = new Map();
    let total = 0;
    if (this.asked.kind === "none") return [];
    for (const index of this.used) {
      const { answer, confidence } = this.lanes.get(index);
      if (answer === null) continue;
      const weight = confidence === null ? 1 : confidence;
      const sum = seen.get(answer) || { answer, votes: 0, weight: 0 };
      seen.set(answer, { answer, votes: sum.votes + 1, weight: sum.weight + weight });
      total += weight;
    }
    const rows = [...seen.values()].map((one) => ({ ...one, share: total ? one.weight / total : 0 }));
    return rows.sort((a, b) => b.share - a.share);
  }
}

// What a request comes to after the defaults, as far as a client can know it.
function resolved(about, body) {
  const [name, preset] = (body.model || about.default_model).split(":");
  const server = over(about.presets[preset] || {}, about.defaults);
  const chosen = over(body.scaling || {}, server);
  const policy = about.policies[chosen.policy];
  const curve = (about.models[name] || { curves: {} }).curves[chosen.policy];
  const tuned = policy && policy.threshold !== "none";
  const promised = tuned && !!chosen.target && (body.scaling || {}).threshold === undefined;
  if (!tuned || promised) delete chosen.threshold;
  else if (chosen.threshold === undefined && curve) chosen.threshold = curve.threshold;
  chosen.threshold ??= null;
  return { ...chosen, promised, name, of: policy ? policy.threshold : "none" };
}

// A choice, and of the one below what it leaves out; but for a threshold of another policy.
function over(choice, below) {
  const given = (one) => Object.entries(one).filter(([, value]) => value !== null);
  const [own, kept] = [Object.fromEntries(given(choice)), Object.fromEntries(given(below))];
  if (own.policy && own.policy !== kept.policy) delete kept.threshold;
  return { ...kept, ...own };
}
