// Shows the values of the point that is nearest to the pointer.
for (const figure of document.querySelectorAll("figure")) {
  const svg = figure.querySelector("svg");
  const cursor = svg.querySelector(".cursor");
  const tip = figure.querySelector(".tip");
  const points = JSON.parse(svg.dataset.points);
  const names = [...figure.parentNode.querySelectorAll("li")].map((item) => item.textContent);
  const [, , width, height] = svg.getAttribute("viewBox").split(" ").map(Number);
  const show = (visibility) => { cursor.style.visibility = tip.style.visibility = visibility; };
  figure.addEventListener("pointerleave", () => show("hidden"));
  figure.addEventListener("pointermove", (event) => {
    const box = svg.getBoundingClientRect();
    const x = (event.clientX - box.left) / box.width * width;
    let best = null;
    for (const point of points) {
      if (!best || Math.abs(point[0] - x) < Math.abs(best[0] - x)) best = point;
    }
    if (!best) return;
    for (const end of ["x1", "x2"]) cursor.setAttribute(end, best[0]);
    cursor.setAttribute("y1", 12);
    cursor.setAttribute("y2", height - 34);
    const values = best[2].map((value, index) => `${names[index]}  ${value}`);
    tip.textContent = [best[1], ...values].join("\n");
    const left = best[0] / width;
    tip.style.left = left < 0.5 ? `calc(${left * 100}% + 12px)` : "auto";
    tip.style.right = left < 0.5 ? "auto" : `calc(${(1 - left) * 100}% + 12px)`;
    show("visible");
  });
}
