// Reading values off the curves: the page is complete without this.
const read = () => {
  for (const figure of document.querySelectorAll("figure.plot")) {
    const chart = figure.querySelector("svg.chart");
    const layer = chart && chart.querySelector("g.hover");
    if (!layer) continue;
    const curves = [...chart.querySelectorAll("polyline[data-values]")].map((line) => ({
      series: line.dataset.series,
      class: "c" + line.dataset.series,
      places: line.getAttribute("points").split(" ").map((p) => p.split(",").map(Number)),
      values: line.dataset.values.split(" ").map((v) => v.split(":")),
    }));
    const texts = [...figure.querySelectorAll(".last")].map((text) => ({ text, at_rest: text.textContent }));
    const add = (name, attributes) => {
      const element = document.createElementNS("http://www.w3.org/2000/svg", name);
      for (const key in attributes) element.setAttribute(key, attributes[key]);
      layer.append(element);
    };
    const rest = () => {
      layer.replaceChildren();
      for (const { text, at_rest } of texts) text.textContent = at_rest;
    };
    chart.addEventListener("pointerleave", rest);
    chart.addEventListener("pointermove", (event) => {
      const at = new DOMPoint(event.clientX, event.clientY).matrixTransform(chart.getScreenCTM().inverse()).x;
      rest();
      const near = new Map();
      for (const curve of curves) {
        curve.places.forEach(([x, y], i) => {
          const away = Math.abs(x - at);
          const best = near.get(curve.series);
          if (away < 24 && (!best || away < best.away)) near.set(curve.series, { away, x, y, value: curve.values[i], class: curve.class });
        });
      }
      if (!near.size) return;
      const nearest = [...near.values()].sort((a, b) => a.away - b.away)[0].x;
      add("line", { x1: nearest, x2: nearest, y1: 26, y2: 236 });
      for (const [series, found] of near) {
        add("circle", { class: found.class, cx: found.x, cy: found.y, r: 4 });
        const text = figure.querySelector(`.last[data-series="${series}"]`);
        if (text) text.textContent = `${found.value[1]} at step ${found.value[0]}`;
      }
    });
  }
};
read();
// A page that is served live draws its charts anew.
document.addEventListener("redrawn", read);
