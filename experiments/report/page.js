"use strict";
// Every clip: the slider moves all its films to the same frame; the button plays them.
for (const clip of document.querySelectorAll(".clip")) {
  const slider = clip.querySelector("input");
  const output = clip.querySelector("output");
  const button = clip.querySelector("button");
  const last = Number(slider.max);
  let timer = null;

  const show = () => {
    const frame = Number(slider.value);
    const simulated = frame >= Number(slider.dataset.observed);
    clip.style.setProperty("--frame", frame);
    clip.classList.toggle("simulated", simulated);
    output.textContent = `${frame} / ${last}${simulated ? " simulated" : ""}`;
    slider.setAttribute("aria-valuetext", `${frame} of ${last}${simulated ? ", simulated" : ""}`);
  };
  const stop = () => {
    clearInterval(timer);
    timer = null;
    button.textContent = "Play";
  };
  slider.addEventListener("input", () => {
    stop();
    show();
  });
  button.addEventListener("click", () => {
    if (timer !== null) return stop();
    button.textContent = "Pause";
    timer = setInterval(() => {
      slider.value = (Number(slider.value) + 1) % (last + 1);
      show();
    }, 170);
  });
  show();
}
