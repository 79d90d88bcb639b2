"""The frame of the live page: it fetches the report anew whenever the search has moved on."""

from __future__ import annotations

SHELL = """<!doctype html>
<html lang="en"><head><meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>promptclimb, live</title>
<style>
#live { position: sticky; top: 0; margin: 0; max-width: none; padding: .4rem 1rem;
  font: 14px/1.4 system-ui, sans-serif;
  background: Canvas; color: CanvasText; border-bottom: 1px solid #8884; z-index: 1; }
</style><style id="style"></style></head>
<body><p id="live" role="status">connecting ...</p><div id="report"></div>
<script nonce="{nonce}">
const line = document.getElementById("live"), place = document.getElementById("report");
const source = new EventSource("events");
let busy = false, again = false, ended = false;
function show(text) {
  const page = new DOMParser().parseFromString(text, "text/html");
  const open = [...place.querySelectorAll("details")].map((one) => one.open);
  document.getElementById("style").textContent =
    [...page.querySelectorAll("style")].map((one) => one.textContent).join("\\n");
  place.replaceChildren(...page.body.childNodes);
  place.querySelectorAll("details").forEach((one, at) => { if (at in open) one.open = open[at]; });
}
async function renew() {
  if (busy) { again = true; return; }
  busy = true;
  try {
    const answer = await fetch("report"), text = await answer.text();
    if (answer.ok && !ended) show(text);
  } catch {
    // the search has ended, or has gone: the event source hears of both
  } finally {
    busy = false;
    if (again && !ended) { again = false; setTimeout(renew, 1000); }
  }
}
source.onmessage = (told) => { line.textContent = JSON.parse(told.data); renew(); };
source.addEventListener("end", (told) => {
  source.close();
  ended = true;
  const last = JSON.parse(told.data);
  show(last.page);
  line.textContent = last.line;
});
source.onerror = () => {
  if (source.readyState !== EventSource.CLOSED) line.textContent = "no connection to the search";
};
</script></body></html>
"""
"""Text from outside is put in as text or as a parsed page, in which no script runs; the answer's policy
forbids every script but this one."""
