/* Small mercies on top of pages that work without it: nothing here decides, and nothing here is needed. */
(() => {
  "use strict";

  let paused = false;
  const live = document.getElementById("live-updates");
  const polls = () => document.querySelector("[hx-trigger^='every']") !== null;

  // Who asked: in a swap's event ``elt`` is what is swapped, and a form's target may be a region that polls.
  const isPoll = (event) => {
    const asked = event.detail.requestConfig?.elt || event.detail.elt;
    return (asked.getAttribute("hx-trigger") || "").startsWith("every");
  };
  const typedIn = (region) =>
    [...region.querySelectorAll("input:not([type=hidden]), textarea")].some((box) => box.value !== box.defaultValue);
  // A heading that was focused to be read aloud is not in use; a control is.
  const focused = (region) =>
    region !== null && region.contains(document.activeElement) &&
    document.activeElement.matches("a, button, input, select, summary, textarea");

  // A region is never swapped by a poll while somebody is in it, has typed in it, looks elsewhere, or said pause.
  document.addEventListener("htmx:beforeRequest", (event) => {
    if (!isPoll(event)) return;
    const region = event.detail.elt;
    if (paused || document.hidden || typedIn(region) || focused(region) || focused(document.getElementById("house"))) {
      event.preventDefault();
    }
  });

  // The answer may arrive after somebody has begun to type.
  document.addEventListener("htmx:beforeSwap", (event) => {
    if (isPoll(event) && typedIn(event.detail.elt)) event.detail.shouldSwap = false;
  });

  // What was folded open stays open.
  let opened = [];
  let reading = false;
  document.addEventListener("htmx:beforeSwap", (event) => {
    const here = document.activeElement;
    reading = event.detail.target.contains(here) && here.matches("h1, h2, [role=alert]");
    opened = [...document.querySelectorAll("details[open][id]")].map((one) => one.id);
  });
  document.addEventListener("htmx:afterSwap", (event) => {
    for (const id of opened) document.getElementById(id)?.setAttribute("open", "");
    showLiveSwitch();
    tick();
    const verb = event.detail.requestConfig?.verb;
    if (verb !== "post" && !reading) return;
    // After a step, go on reading where its outcome is: the refusal, else the heading of what was swapped in.
    const root = document.getElementById(event.detail.target.id) || document.getElementById("main");
    const place = root.querySelector("[role=alert]") || root.querySelector("h1, h2[tabindex]");
    if (place) {
      place.setAttribute("tabindex", "-1");
      place.focus({ preventScroll: verb !== "post" });
    }
  });

  // No answer, or one that nobody foresaw: nobody may take silence for a no.
  const warn = () => {
    const sentence = document.createElement("p");
    sentence.className = "alert";
    sentence.textContent =
      "No answer. It is not known whether that was done; reload the page and look before you do it again.";
    document.getElementById("alerts").replaceChildren(sentence);
  };
  for (const name of ["htmx:sendError", "htmx:timeout", "htmx:responseError"]) {
    document.addEventListener(name, (event) => {
      if (!isPoll(event)) warn();
    });
  }

  // A number's age stays true while the page stays open.
  const span = (seconds) => {
    if (seconds >= 172800) return `${Math.floor(seconds / 86400)} d`;
    if (seconds >= 3600) return `${Math.floor(seconds / 3600)} h`;
    if (seconds >= 60) return `${Math.floor(seconds / 60)} min`;
    return `${Math.max(0, seconds)} s`;
  };
  const tick = () => {
    for (const age of document.querySelectorAll("time.age")) {
      const text = `${span(Math.floor((Date.now() - Date.parse(age.dateTime)) / 1000))} ago`;
      if (age.textContent !== text) age.textContent = text;
    }
  };
  setInterval(tick, 5000);

  const showLiveSwitch = () => {
    live.hidden = !paused && !polls();
  };
  if (live) {
    live.addEventListener("click", () => {
      paused = !paused;
      live.setAttribute("aria-pressed", String(paused));
      live.textContent = paused ? "Resume live updates" : "Pause live updates";
    });
    showLiveSwitch();
  }
})();
