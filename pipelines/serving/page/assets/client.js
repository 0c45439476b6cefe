"use strict";
// The service over HTTP: what it tells of itself, and one request's chunks as they come.

const address = (path) => new URL(path, document.baseURI).href;

async function readAbout(key) {
  const response = await fetch("about", { cache: "no-store", headers: authorization(key) });
  if (!response.ok) throw new Refusal(response.status, await refusal(response));
  return response.json();
}

class Refusal extends Error {
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

const authorization = (key) => (key ? { authorization: `Bearer ${key}` } : {});

// Yields each chunk of a streamed completion; throws an Error with one sentence.
async function* ask(body, key, signal) {
  const headers = { "content-type": "application/json", ...authorization(key) };
  const response = await fetch("v1/chat/completions", {
    method: "POST",
    headers,
    body: JSON.stringify(body),
    signal,
  });
  if (!response.ok) throw new Refusal(response.status, await refusal(response));
  for await (const data of serverSent(response.body)) {
    if (data === "[DONE]") return;
    const chunk = JSON.parse(data);
    if (chunk.error) throw new Error(sentence(chunk.error.message));
    yield chunk;
  }
  throw new Error("The server ended the response before it was whole.");
}

// The `data:` lines of a stream. The service sends one to an event.
async function* serverSent(stream) {
  const reader = stream.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      const lines = (rest + value).split("\n");
      rest = lines.pop();
      for (const line of lines) if (line.startsWith("data: ")) yield line.slice(6);
    }
  } finally {
    reader.cancel().catch(() => {}); // of a stream that failed, which is told already
  }
}

// OpenAI's shape where it has it; what stands between here and the service may answer otherwise.
async function refusal(response) {
  const text = await response.text();
  let message = "";
  try {
    message = JSON.parse(text).error.message;
  } catch {
    message = `it answers ${response.status} ${response.statusText}`.trim();
  }
  const wait = response.headers.get("retry-after");
  const again = wait ? ` Try again in ${counted(Number(wait), "second")}.` : "";
  return `The server refused this (${response.status}): ${sentence(message)}${again}`;
}

const sentence = (message) => (/[.!?]$/.test(message) ? message : `${message}.`);
