"use strict";
// A lane a sample: its state in words, its text as it comes, its answer, its P(True).

class Lanes {
  constructor(list) {
    this.list = list;
    this.rows = new Map();
  }

  clear() {
    this.list.replaceChildren();
    this.rows.clear();
  }

  draw(run) {
    if (run.lanes.size < this.rows.size) this.clear(); // it begins anew, at another replica
    const inOrder = [...run.lanes.values()].sort((a, b) => a.index - b.index);
    for (const lane of inOrder) this.row(lane, run);
  }

  row(lane, run) {
    if (!this.rows.has(lane.index)) this.rows.set(lane.index, this.made(lane.index));
    const { item, state, text, answer, bars } = this.rows.get(lane.index);
    item.dataset.state = lane.state;
    item.classList.toggle("chosen", Boolean(lane.chosen));
    write(state, stateOf(lane));
    write(text, lane.text);
    write(answer, answerOf(lane, run));
    answer.classList.toggle("none", lane.answer === null);
    const known = `${lane.confidence} ${run.asked.threshold}`;
    if (bars.dataset.known !== known) {
      bars.dataset.known = known;
      bars.replaceChildren(...confidenceOf(lane, run));
    }
  }

  made(index) {
    const parts = {
      item: make("li", { "aria-label": `Sample ${index + 1}` }),
      state: make("span", { class: "state" }),
      text: make("span", { class: "text" }),
      answer: make("span", { class: "said" }),
      bars: make("span", { class: "confidence" }),
    };
    const number = make("span", { class: "number", "aria-hidden": "true" }, String(index + 1));
    const clip = make("span", { class: "clip" }, parts.text);
    parts.item.append(number, parts.state, clip, parts.answer, parts.bars);
    this.list.append(parts.item);
    return parts;
  }
}

function stateOf(lane) {
  const tokens = lane.tokens === null ? "" : `, ${counted(lane.tokens, "token")}`;
  if (lane.state === "aborted" || lane.state === "not used") {
    return `${lane.state}${tokens}${tokens && " wasted"}`;
  }
  const more = [lane.settled && "settled it", lane.chosen && "shown"].filter(Boolean);
  return [lane.state, ...more].join(", ") + tokens;
}

function answerOf(lane, run) {
  if (run.asked.kind === "none" || !["scored", "drawn", "used", "not used"].includes(lane.state)) return "";
  return lane.answer === null ? "no answer" : lane.answer;
}

function confidenceOf(lane, run) {
  if (lane.confidence === null) return [];
  const line = run.asked.of === "confidence" ? run.asked.threshold : null;
  return [
    bar(lane.confidence, line),
    make("span", { class: "hidden" }, "confidence "),
    make("span", { class: "figure" }, share(lane.confidence)),
  ];
}
