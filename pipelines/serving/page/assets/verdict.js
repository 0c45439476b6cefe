"use strict";
// What the samples come to: the votes, when and why it stopped, and what it took.

// Policies whose threshold is of a share of these votes. That of others is said in words.
const BY_SHARE = ["asc", "asc_conf"];

// A policy's name without the source of its confidences.
const alone = (policy) => policy.split("@")[0];

function drawVotes(place, run) {
  const line = BY_SHARE.includes(alone(run.asked.policy)) ? run.asked.threshold : null;
  const rows = run.votes.map((one) =>
    make(
      "tr",
      {},
      make("th", { scope: "row" }, one.answer),
      make("td", {}, whole(one.votes)),
      make("td", { class: "wide" }, bar(one.share, line)),
      make("td", {}, share(one.share)),
    ),
  );
  const weighed = run.used.some((index) => run.lanes.get(index).confidence !== null);
  const head = ["answer", "votes", "", weighed ? "share of confidence" : "share of votes"];
  const table = make(
    "table",
    { "aria-label": "Votes by answer" },
    make("thead", {}, make("tr", {}, ...head.map((one) => make(one ? "th" : "td", one ? { scope: "col" } : {}, one)))),
    make("tbody", {}, ...rows),
  );
  place.replaceChildren(...(rows.length ? [table] : []), make("p", { class: "note" }, rule(run, rows.length)));
}

function rule(run, some) {
  const { policy, threshold, of, kind } = run.asked;
  const none = kind === "none" ? "Kind is none: no answers are compared, and the surest text is given. " : "";
  const at = threshold === null ? "the threshold" : `the threshold, ${share(threshold)}`;
  const rules = {
    confidence: `${policy} stops at the first sample whose confidence reaches ${at}; that line is in the lanes.`,
    share: alone(policy) === "cges"
      ? `${policy} stops when one answer's posterior, by each confidence, reaches ${at}.`
      : BY_SHARE.includes(alone(policy))
      ? `${policy} stops, from 2 votes on, when one answer's share reaches ${at}, the line above.`
      : `${policy} stops, from 2 votes on, when the leader's chance to stay ahead reaches ${at}.`,
    window: `${policy} stops at ${threshold ?? "so many"} equal answers in a row.`,
    none: `${policy} spends the whole budget.`,
  };
  const begin = some || none ? "" : "No votes yet. ";
  return none + begin + rules[of];
}

// One sentence on the end, which is read out; null while there is none.
function ending(run) {
  const { result, end } = run;
  if (!end) return null;
  if (end === "stopped") {
    return `You stopped it after ${seconds(run.elapsed)}; ${counted(run.count("aborted"), "sample")} under way ended with it.`;
  }
  if (end === "failed") return "It failed; the reason stands under the form.";
  const { used, cancelled } = result.samples;
  const after = `after ${(result.seconds).toFixed(2)} s and ${used} of ${counted(result.budget, "sample")}`;
  const reasons = {
    sure: `Stopped ${after}: ${because(run)}`,
    "gave up": `Gave up ${after}: too few of the samples agreed.`,
    budget: `The budget is spent ${after}; nothing reached a threshold.`,
    deadline: `The deadline came ${after}; this is the answer so far.`,
    "no answer": `No sample has an answer that can be read, ${after}; the surest text is shown.`,
  };
  if (end === "budget" && result.threshold === null) reasons.budget = `The budget is spent ${after}.`;
  const lost = cancelled
    ? ` ${counted(cancelled, "sample")} under way ${cancelled === 1 ? "was" : "were"} aborted.`
    : "";
  return reasons[end] + lost;
}

function because(run) {
  const { threshold, votes } = run.result;
  const { of, policy } = run.asked;
  const last = run.lanes.get(run.used.at(-1));
  if (of === "confidence" && last.confidence >= threshold) {
    return `sample ${last.index + 1} was sure, ${share(last.confidence)} at a threshold of ${share(threshold)}.`;
  }
  if (of === "window") return `${threshold} answers in a row were equal.`;
  if (BY_SHARE.includes(alone(policy))) {
    const [leader] = run.votes;
    return `“${leader.answer}” had ${share(leader.share)} of ${policy === "asc" ? "the votes" : "all confidence"}, at a threshold of ${share(threshold)}.`;
  }
  return `one answer of ${Object.keys(votes).length} led far enough for ${policy}.`;
}

function drawReceipt(place, run) {
  if (!run.result) {
    const text = run.end ? "It did not end, so there is none." : "It comes when the answer is settled.";
    place.replaceChildren(make("p", { class: "note" }, text));
    return;
  }
  const { receipt, budget } = run.result;
  const most = Math.max(receipt.full_budget, receipt.tokens, receipt.one_sample);
  const row = (name, tokens) =>
    make(
      "tr",
      {},
      make("th", { scope: "row" }, name),
      make("td", { class: "wide" }, bar(tokens / most)),
      make("td", {}, whole(tokens)),
    );
  const table = make(
    "table",
    { "aria-label": "Tokens computed" },
    make("tbody", {},
      row("one sample", receipt.one_sample),
      row("this request", receipt.tokens),
      row(budget === 1 ? "full budget" : `all ${budget} samples`, receipt.full_budget),
    ),
  );
  const saved = receipt.saved >= 0 ? `${percent(receipt.saved)} less` : `${percent(-receipt.saved)} more`;
  const times = (receipt.tokens / receipt.one_sample).toFixed(1);
  const lines = [`Tokens computed: ${saved} than the full budget, ${times} times one sample.`];
  const details = run.usage && run.usage.completion_tokens_details;
  if (details) {
    lines.push(
      `Of the responses, ${whole(details.message_tokens)} are the message's, ` +
        `${whole(details.other_tokens)} of other samples that were used, ` +
        `${whole(details.wasted_tokens)} wasted; ${whole(details.scored_tokens)} went into scores.`,
    );
  }
  place.replaceChildren(table, ...lines.map((line) => make("p", { class: "note" }, line)));
}
