// On each event the page is fetched again and its live part is replaced, unless somebody is pressing a button in it.
const busy = live => live.contains(document.activeElement) || live.matches(":active");
async function refresh() {
  const live = document.querySelector("#live");
  if (busy(live)) { setTimeout(refresh, 500); return; }
  const text = await (await fetch(location.href)).text();
  const now = new DOMParser().parseFromString(text, "text/html").querySelector("#live");
  if (!now) { location.reload(); return; }  // the sandbox was started again, and knows this order or call no more
  const open = [...live.querySelectorAll("details[open] > summary")].map(summary => summary.textContent);
  for (const each of now.querySelectorAll("summary")) each.parentElement.open = open.includes(each.textContent);
  if (!busy(live)) live.replaceWith(now);
}
const events = new EventSource(location.pathname.replace(/\/$/, "") + "/events");
events.onmessage = refresh;
addEventListener("pagehide", () => events.close());
if (navigator.clipboard) document.documentElement.classList.add("copies");  // only https and loopback have one
document.addEventListener("click", event => {
  if (event.target.id === "copy") navigator.clipboard.writeText(document.querySelector("#python").textContent)
    .then(() => { event.target.textContent = event.target.dataset.done; });
});
