/* Starts allauth's passkey dialogue for the button that says which, and says in words when nothing came of it. */
(() => {
  "use strict";

  const problem = document.getElementById("passkey-problem");
  // Passkeys belong to a name; only practice answers to an address without one.
  if (/^[\d.]+$|^\[/.test(location.hostname)) {
    const there = document.createElement("a");
    there.href = `${location.protocol}//localhost:${location.port}${location.pathname}${location.search}`;
    there.textContent = there.href;
    problem.replaceChildren("Passkeys work on localhost: open ", there, " and sign in there.");
    problem.hidden = false;
  }
  document.addEventListener("allauth.error", (event) => {
    event.preventDefault(); // it would only be written to the console
    problem.hidden = false;
    problem.setAttribute("tabindex", "-1");
    problem.focus();
  });

  const ids = { credential: "passkey-credential", data: "passkey-data" };
  const forms = window.allauth.webauthn.forms;
  const add = document.getElementById("passkey-add");
  const use = document.getElementById("passkey-use");
  for (const button of [add, use]) button?.addEventListener("click", () => { problem.hidden = true; });
  if (add) forms.addForm({ ids: { ...ids, add: add.id } });
  if (use) forms.authenticateForm({ ids: { ...ids, authenticate: use.id } });
})();
