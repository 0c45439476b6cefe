"use strict";
// How often responses of a confidence were right, as the run's report measured it.

const SIDE = 220;
const [LEFT, TOP, RIGHT, BOTTOM] = [38, 8, 12, 34];

// run: whose answer's P(True) is marked, or null. Drawn anew only where it is of something else, so that
// who chooses a data set meanwhile can go on.
function drawReliability(place, about, name, run) {
  const scored = run && run.result && run.result.mass !== null;
  const confidence = scored ? run.result.confidence : null;
  const shown = [about, name, confidence];
  if (place.shown && shown.every((one, index) => one === place.shown[index])) return;
  place.shown = shown;
  const found = about && about.models[name] ? about.models[name].reliability : {};
  const titles = Object.keys(found);
  if (!titles.length) {
    const why = about
      ? `Nothing was measured of the model ${name}: the server has no finished report of its run. ` +
        "Run the pipeline to its report, and serve again."
      : "It is measured by the run's report, and told by the server.";
    place.replaceChildren(make("p", { class: "note" }, why));
    return;
  }
  const before = place.querySelector("select");
  const picked = before && titles.includes(before.value) ? before.value : titles.includes("in_domain") ? "in_domain" : titles[0];
  const select = make("select", { id: "dataset" });
  for (const title of titles) {
    const option = make("option", { value: title }, title.replaceAll("_", " "));
    option.selected = title === picked;
    select.append(option);
  }
  select.addEventListener("change", () => {
    place.shown = null;
    drawReliability(place, about, name, run);
  });
  const measured = found[picked];
  const focused = before && before === document.activeElement;
  place.replaceChildren(
    make("label", {}, "Test queries ", select),
    make("div", { class: "plot" }, plot(measured, confidence), table(measured)),
    ...reading(measured, name, confidence).map((line) => make("p", { class: "note" }, line)),
  );
  if (focused) select.focus();
}

function plot(measured, confidence) {
  const x = (value) => LEFT + SIDE * value;
  const y = (value) => TOP + SIDE * (1 - value);
  const svg = make("svg", {
    viewBox: `0 0 ${LEFT + SIDE + RIGHT} ${TOP + SIDE + BOTTOM}`,
    role: "img",
    "aria-label": "Reliability: share of correct responses over their confidence; the table has the same numbers",
  });
  for (const tick of [0, 0.25, 0.5, 0.75, 1]) {
    svg.append(
      make("line", { class: "grid", x1: x(0), x2: x(1), y1: y(tick), y2: y(tick) }),
      make("line", { class: "grid", x1: x(tick), x2: x(tick), y1: y(0), y2: y(1) }),
    );
    if (tick % 0.5) continue;
    svg.append(
      make("text", { x: x(0) - 6, y: y(tick) + 4, "text-anchor": "end" }, String(tick)),
      make("text", { x: x(tick), y: y(0) + 15, "text-anchor": "middle" }, String(tick)),
    );
  }
  svg.append(
    make("text", { x: x(0.5), y: y(0) + 29, "text-anchor": "middle" }, "P(True)"),
    make("text", { x: 0, y: 0, "text-anchor": "middle", transform: `translate(11 ${y(0.5)}) rotate(-90)` }, "share correct"),
    make("line", { class: "diagonal", x1: x(0), y1: y(0), x2: x(1), y2: y(1) }),
  );
  const most = Math.max(...measured.reliability.map(([, , count]) => count));
  const points = measured.reliability.map(([c, right]) => `${x(c)} ${y(right)}`);
  svg.append(make("path", { class: "curve", d: `M${points.join("L")}` }));
  for (const [c, right, count] of measured.reliability) {
    svg.append(make("circle", { class: "dot", cx: x(c), cy: y(right), r: 2.5 + 6 * Math.sqrt(count / most) }));
  }
  if (confidence !== null) {
    const mark = { x1: x(confidence), x2: x(confidence), y1: y(0), y2: y(1) };
    const side = confidence > 0.6 ? { x: x(confidence) - 5, "text-anchor": "end" } : { x: x(confidence) + 5 };
    svg.append(make("line", { class: "mark", ...mark }), make("text", { class: "strong", y: y(1) + 12, ...side }, "this answer"));
  }
  return svg;
}

function table(measured) {
  const cells = (tag, values, scope) => values.map((one) => make(tag, scope ? { scope } : {}, one));
  const rows = measured.reliability.map(([c, right, count]) =>
    make("tr", {}, ...cells("td", [share(c), share(right), whole(count)])),
  );
  return make(
    "table",
    { "aria-label": "Reliability by confidence" },
    make("thead", {}, make("tr", {}, ...cells("th", ["P(True)", "correct", "responses"], "col"))),
    make("tbody", {}, ...rows),
  );
}

function reading(measured, name, confidence) {
  const { queries, responses, ece, reliability } = measured;
  const lines = [
    `${counted(responses, "response")} of ${name} to ${counted(queries, "test query").replace("querys", "queries")}. ` +
      "On the dashed diagonal, confidence is what it claims" +
      (ece === null ? "." : `; the mean distance from it (ECE) is ${share(ece)}.`),
  ];
  if (confidence !== null) {
    const bin = Math.min(9, Math.floor(10 * confidence));
    const same = reliability.find(([c]) => Math.min(9, Math.floor(10 * c)) === bin);
    lines.push(
      same
        ? `Of responses about as sure as this answer, P(True) ${share(confidence)}, ${percent(same[1])} were correct (of ${whole(same[2])}).`
        : `No response there was as sure as this answer, P(True) ${share(confidence)}.`,
    );
  }
  return lines;
}
