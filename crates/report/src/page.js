// Refreshes the parts of the page that change. The page is complete without it.
"use strict";

(() => {
  const PERIOD_MS = 2000;
  const PATIENCE_MS = 5000;
  const lost = document.getElementById("lost");
  let since = null;

  // Replaces each live part by its next version. The focus stays where it is, and selected text is left alone.
  function replace(next) {
    const selection = document.getSelection();
    for (const part of document.querySelectorAll("[data-live]")) {
      const fresh = next.getElementById(part.id);
      if (!fresh || fresh.outerHTML === part.outerHTML) continue;
      if (selection && !selection.isCollapsed && part.contains(selection.anchorNode)) continue;
      const focused = part.contains(document.activeElement) ? document.activeElement.getAttribute("href") : null;
      part.replaceChildren(...fresh.childNodes);
      part.className = fresh.className;
      if (focused !== null) {
        for (const link of part.querySelectorAll("a")) {
          if (link.getAttribute("href") === focused) link.focus({ preventScroll: true });
        }
      }
    }
  }

  function touch(answered) {
    if (answered) {
      since = null;
      lost.hidden = true;
      lost.textContent = "";
    } else if (since === null) {
      since = new Date();
      lost.textContent = `No answer from Aqueduct since ${since.toISOString().slice(11, 19)} UTC. ` +
        "The page shows the state at that time and resumes automatically.";
      lost.hidden = false;
    }
    document.body.classList.toggle("stale", since !== null);
  }

  async function refresh() {
    if (!document.hidden) {
      try {
        const answer = await fetch(location.href, { cache: "no-store", signal: AbortSignal.timeout(PATIENCE_MS) });
        if (!answer.ok) throw new Error(`status ${answer.status}`);
        replace(new DOMParser().parseFromString(await answer.text(), "text/html"));
        touch(true);
      } catch {
        touch(false);
      }
    }
    setTimeout(refresh, PERIOD_MS);
  }

  setTimeout(refresh, PERIOD_MS);
})();
