"use strict";
// The request of the form as other programs send it.

function drawCode(place, body) {
  const base = location.protocol === "file:" ? "http://localhost:8000/v1" : address("v1");
  const keyed = byId("key").value !== "";
  const samples = { curl: curl(base, body, keyed), openai: python(base, body, keyed) };
  if (!place.children.length) {
    for (const name of Object.keys(samples)) place.append(copied(name));
  }
  for (const [name, text] of Object.entries(samples)) write(byId(`code-${name}`), text);
}

function copied(name) {
  const title = { curl: "curl", openai: "Python, with the openai package" }[name];
  const text = make("code", { id: `code-${name}` });
  const button = make("button", { type: "button", "aria-label": `Copy the ${name} request` }, "Copy");
  const told = make("span", { class: "note", role: "status" });
  button.addEventListener("click", async () => {
    let done = true;
    try {
      await navigator.clipboard.writeText(text.textContent);
    } catch {
      done = false; // a browser gives no clipboard to a page over plain http
      getSelection().selectAllChildren(text);
    }
    write(told, done ? "Copied." : "Selected: copy it with the keyboard.");
    setTimeout(() => write(told, ""), 4000);
  });
  const head = make("div", { class: "head" }, make("h3", {}, title), told, button);
  return make("div", {}, head, make("pre", { tabindex: "0", role: "region", "aria-label": title }, text));
}

function curl(base, body, keyed) {
  const key = keyed ? ` \\\n  -H "authorization: Bearer $API_KEY"` : "";
  const json = JSON.stringify(body, null, 2).replaceAll("'", `'\\''`);
  return `curl ${base}/chat/completions${key} \\\n  -H 'content-type: application/json' -d '${json}'`;
}

function python(base, body, keyed) {
  const { scaling, ...fields } = body;
  const given = Object.entries(fields).map(([name, value]) => `    ${name}=${literal(value)},`);
  const key = keyed ? `os.environ["API_KEY"]` : `"none"`;
  return [
    ...(keyed ? ["import os", ""] : []),
    "from openai import OpenAI",
    "",
    `client = OpenAI(base_url="${base}", api_key=${key})`,
    "made = client.chat.completions.create(",
    ...given,
    `    extra_body={"scaling": ${literal(scaling)}},`,
    ")",
    "print(made.choices[0].message.content, made.scaling)",
  ].join("\n");
}

// What a request has of JSON is Python as it stands: text, numbers, lists and objects.
function literal(value) {
  if (Array.isArray(value)) return `[${value.map(literal).join(", ")}]`;
  if (typeof value !== "object") return JSON.stringify(value);
  const pairs = Object.entries(value).map(([name, one]) => `${JSON.stringify(name)}: ${literal(one)}`);
  return `{${pairs.join(", ")}}`;
}
