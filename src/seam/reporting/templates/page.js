"use strict";
(() => {
  const points = [...document.querySelectorAll('input[name="point"]')];
  const readout = document.getElementById("readout");
  const copy = document.getElementById("copy");
  const copied = document.getElementById("copied");

  const word = (text) => {
    const span = document.createElement("span");
    span.className = "word";
    span.textContent = text;
    return span;
  };
  const show = (point) => {
    for (const place of readout.querySelectorAll("[data-show]")) {
      place.textContent = point.dataset[place.dataset.show];
    }
    const command = document.getElementById("command");
    const words = command.textContent.split(" ");
    command.replaceChildren(...words.flatMap((text, i) => (i ? [" ", word(text)] : [word(text)])));
    copied.textContent = "";
  };
  for (const point of points) point.addEventListener("change", () => show(point));
  const chosen = points.find((point) => point.checked);
  if (chosen) show(chosen); // a browser may have kept another one over a reload

  if (copy && navigator.clipboard) {
    copy.hidden = false;
    copy.addEventListener("click", async () => {
      const text = document.getElementById("command").textContent;
      try {
        await navigator.clipboard.writeText(text);
        copied.textContent = "Copied.";
      } catch {
        copied.textContent = "The browser does not allow it: mark the command and copy it.";
      }
    });
  }

  addEventListener("beforeprint", () => {
    for (const details of document.querySelectorAll("details")) details.open = true;
  });
})();
