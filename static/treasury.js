/* Small mercies on top of pages that work without it: nothing here decides, and nothing here is needed. */
(() => {
  "use strict";

  let paused = false;
  const live = document.getElementById("live-updates");
  const house = () => document.getElementById("house"); // it is swapped, too
  // The header polls on every page; the switch is offered where what one reads moves by itself.
  const polls = () => document.querySelector("#main [hx-trigger^='every']") !== null;

  // Who asked: in a swap's event ``elt`` is what is swapped, and a form's target may be a region that polls.
  const isPoll = (event) => {
    const asked = event.detail.requestConfig?.elt || event.detail.elt;
    return (asked.getAttribute("hx-trigger") || "").startsWith("every");
  };
  const typedIn = (region) =>
    [...region.querySelectorAll("input:not([type=hidden]), textarea")].some(
      (box) => box.value !== box.defaultValue || box.checked !== box.defaultChecked,
    );
  // What a refused form gives back looks untouched, and a swap would take it away, with the refusal itself.
  const refusal = (region) => region.querySelector("[role=alert]");
  // Nor would there be a place for the answer to a step that was begun in it.
  const underWay = (region) => region.querySelector("form.htmx-request") !== null;
  const inUse = (region) => typedIn(region) || refusal(region) !== null || underWay(region);
  const sayItStandsStill = (region) => {
    const place = refusal(region)?.querySelector("span, p");
    if (!place || place.querySelector(".as-of")) return;
    const sentence = document.createElement("span");
    sentence.className = "as-of";
    sentence.textContent = " What stands below is of that moment; reload the page to see it as it is now.";
    place.append(sentence);
  };
  // A heading that was focused to be read aloud is not in use; a control is.
  const focused = (region) =>
    region !== null && region.contains(document.activeElement) &&
    document.activeElement.matches("a, button, input, select, summary, textarea");

  // A region is never swapped by a poll while somebody is in it, has typed in it, looks elsewhere, or said pause.
  document.addEventListener("htmx:beforeRequest", (event) => {
    if (!isPoll(event)) return;
    const region = event.detail.elt;
    if (paused || document.hidden || inUse(region) || focused(region) || focused(house())) {
      event.preventDefault();
      sayItStandsStill(region);
    }
  });
  // What a step has swapped away is told nothing any more: htmx would look for the header within what is gone.
  document.addEventListener("htmx:beforeRequest", (event) => {
    const asked = event.detail.elt;
    if (event.defaultPrevented || !isPoll(event)) return;
    const heard = (answer) => {
      if (answer.target !== asked) return;
      asked.removeEventListener("htmx:beforeOnLoad", heard);
      if (!asked.isConnected) answer.preventDefault();
    };
    asked.addEventListener("htmx:beforeOnLoad", heard);
  });
  document.addEventListener("visibilitychange", () => {
    if (!document.hidden) htmx.trigger(house(), "seen-again");
  });

  // Nobody loses what they have typed because a poll finds the session over: the next step says so.
  document.addEventListener("htmx:beforeOnLoad", (event) => {
    if (isPoll(event) && event.detail.xhr.getResponseHeader("HX-Redirect") && inUse(document)) event.preventDefault();
  });

  // The answer may arrive after somebody has begun to type, or has gone into the header, which it replaces as well.
  document.addEventListener("htmx:beforeSwap", (event) => {
    if (isPoll(event) && (inUse(event.detail.elt) || focused(house()))) event.detail.shouldSwap = false;
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
    showWhere();
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

  // A step that leaves no trace where one looks is said beside the page, until the next one.
  document.addEventListener("noted", (event) => {
    const sentence = document.createElement("p");
    sentence.className = "notice noted";
    sentence.textContent = event.detail.sentence;
    document.getElementById("alerts").replaceChildren(sentence);
  });
  document.addEventListener("htmx:beforeRequest", (event) => {
    if (!isPoll(event)) document.querySelector("#alerts .noted")?.remove();
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
      else if (event.detail.elt.id === "house") silence();
    });
  }

  // Without the header's answer nobody would see a stop order, nor that nothing is being sent.
  const silence = () => {
    if (document.getElementById("unheard")) return;
    const sentence = document.createElement("p");
    sentence.id = "unheard";
    sentence.className = "alert";
    const since = new Date().toISOString().slice(11, 19);
    sentence.textContent = `No answer from Treasury since ${since} UTC; what this page shows may be out of date.`;
    document.getElementById("alerts").append(sentence);
  };
  document.addEventListener("htmx:afterOnLoad", (event) => {
    if (event.detail.successful) document.getElementById("unheard")?.remove();
  });

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

  // Where the sections do not fit side by side, the one that is open is in sight.
  const showWhere = () => {
    const here = document.querySelector(".sections [aria-current]");
    const bar = here?.parentElement;
    if (bar) bar.scrollLeft = here.offsetLeft - (bar.clientWidth - here.offsetWidth) / 2;
  };
  showWhere();
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
