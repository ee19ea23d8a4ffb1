// Asks for the page that is shown again and again, and puts its parts in place of the old ones.
// The parts are parsed by XMLHttpRequest into a document that runs nothing; no text becomes markup here.
"use strict";
(() => {
  const PARTS = ["main", "nav", "foot"];
  let seen = Date.now();
  let touched = 0;
  let timer = 0;

  const seconds = () => Number(document.body.dataset.refresh || 0);

  // Nobody loses what they select, nor their place within the first seconds after a key or a click.
  const busy = () =>
    !document.getSelection().isCollapsed ||
    (Date.now() - touched < 10000 &&
      document.getElementById("main").contains(document.activeElement));

  const put = (page) => {
    const opened = [...document.querySelectorAll("details[open]")].map((found) => found.id);
    for (const id of PARTS) {
      const [old, fresh] = [document.getElementById(id), page.getElementById(id)];
      if (old && fresh) old.replaceWith(document.adoptNode(fresh));
    }
    for (const id of opened) document.getElementById(id)?.setAttribute("open", "");
    document.title = page.title;
    document.body.dataset.refresh = page.body.dataset.refresh || "";
  };

  const away = (is) => {
    const note = document.getElementById("away");
    note.hidden = !is;
    if (is) note.textContent =
      `The page has not answered for ${Math.round((Date.now() - seen) / 1000)} s: what is shown here is old.`;
  };

  const ask = () => {
    clearTimeout(timer);
    const request = new XMLHttpRequest();
    request.open("GET", location.href);
    request.responseType = "document";
    request.timeout = 10000;
    request.onload = () => {
      if (request.response?.getElementById("main")) {
        seen = Date.now();
        if (!busy()) put(request.response);
        away(false);
      }
    };
    request.onerror = request.ontimeout = () => away(true);
    request.onloadend = later;
    request.send();
  };

  const later = () => {
    clearTimeout(timer);
    if (seconds()) timer = setTimeout(() => (document.hidden ? later() : ask()), 1000 * seconds());
  };

  for (const event of ["keydown", "pointerdown"])
    document.addEventListener(event, () => { touched = Date.now(); });
  // A phone that is taken out of a pocket shows at once how things are.
  document.addEventListener("visibilitychange", () => { if (!document.hidden && seconds()) ask(); });
  later();
})();
