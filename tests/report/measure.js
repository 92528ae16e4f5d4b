// What the page is asked for, in a browser; the answer is written into the page.
addEventListener("load", () => {
  const found = { width: innerWidth, height: document.documentElement.scrollHeight };
  found.overflow = document.documentElement.scrollWidth - innerWidth;
  for (const part of document.querySelectorAll("details")) part.open = true;
  found.overflow_unfolded = document.documentElement.scrollWidth - innerWidth;
  const named = element => (element.getAttribute("aria-label") || element.textContent || element.title || "").trim();
  found.nameless = [...document.querySelectorAll("button, a, summary, [role=region]")].filter(e => !named(e)).length
    + [...document.querySelectorAll("img")].filter(e => !e.alt).length
    + [...document.querySelectorAll("input, select")].filter(e => !(e.labels && e.labels.length)).length
    + [...document.querySelectorAll("svg")].filter(e => !e.querySelector("title")).length;
  const ids = [...document.querySelectorAll("[id]")].map(e => e.id);
  found.doubled = ids.filter((id, at) => ids.indexOf(id) !== at);
  found.dead = [...document.querySelectorAll('a[href^="#"]')].filter(a => !document.getElementById(a.hash.slice(1))).length;
  const luminance = colour => {
    const parts = colour.match(/[\d.]+/g).slice(0, 3).map(v => v / 255)
      .map(v => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
    return 0.2126 * parts[0] + 0.7152 * parts[1] + 0.0722 * parts[2];
  };
  const paper = luminance(getComputedStyle(document.body).backgroundColor);
  const contrast = element => {
    const ink = luminance(getComputedStyle(element).color);
    return (Math.max(ink, paper) + 0.05) / (Math.min(ink, paper) + 0.05);
  };
  found.contrast = Math.min(...["p", "a", "td", "td small", "th", ".caption", ".lead", ".verdict", "dt"]
    .flatMap(kind => [...document.querySelectorAll(kind)].slice(0, 1)).map(contrast));
  found.texts_on_texts = [];
  found.figures = document.querySelectorAll("figure > .drawing > svg").length;
  for (const figure of document.querySelectorAll("figure > .drawing > svg")) {
    const boxes = [...figure.querySelectorAll("text")].map(text => [text.textContent.trim(), text.getBoundingClientRect()])
      .filter(([text, box]) => text && box.width);
    for (let i = 0; i < boxes.length; i++) for (let j = i + 1; j < boxes.length; j++) {
      const [a, b] = [boxes[i][1], boxes[j][1]];
      const wide = Math.min(a.right, b.right) - Math.max(a.left, b.left);
      const high = Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top);
      if (wide > 2 && high > 0.3 * Math.min(a.height, b.height))
        found.texts_on_texts.push(figure.closest("figure").id + ": " + boxes[i][0] + " / " + boxes[j][0]);
    }
  }
  const said = document.createElement("pre");
  said.id = "measured";
  said.textContent = JSON.stringify(found);
  document.body.append(said);
});
