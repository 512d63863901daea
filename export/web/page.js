// The page: what a person gives it, and how an answer is shown. Where answers come from is
// the business of an engine (server.js, device.js), which calls `start` with its models.
//
// A model is {name, about, kind, ask}. By kind, `ask` takes
//   "picture"  a File: gives {caption, score}, {label, probabilities} or {image: Blob}
//   "text"     a list of texts: gives a list of {label, probabilities}
//   "tensors"  a string of JSON: gives {raw}; `example` is what the form begins with
// `probabilities` is an object from labels to numbers.

const $$ = (id) => document.getElementById(id);
const MOST_WORDS = 40; // each costs a run of the model
let current; // the model that is asked
let turn = 0; // of the newest question: answers to older ones are dropped

export function start(models) {
  for (const model of models) {
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = model.name;
    button.onclick = () => choose(model);
    model.button = button;
    $$("models").append(button);
  }
  $$("models").hidden = models.length < 2;
  choose(models[0]);

  $$("file").onchange = () => $$("file").files.length && give($$("file").files[0]);
  addEventListener("paste", (event) => {
    const [file] = event.clipboardData.files;
    if (file && current.kind === "picture") give(file);
  });
  // Anywhere on the page: a file dropped beside the frame must not replace the page.
  addEventListener("dragover", (event) => {
    event.preventDefault();
    $$("drop").classList.add("over");
  });
  addEventListener("dragleave", () => $$("drop").classList.remove("over"));
  addEventListener("drop", (event) => {
    event.preventDefault();
    $$("drop").classList.remove("over");
    const [file] = event.dataTransfer.files;
    if (file && current.kind === "picture") give(file);
  });
  $$("sentence").onsubmit = (event) => {
    event.preventDefault();
    classify($$("text").value);
  };
  $$("tensors").onsubmit = (event) => {
    event.preventDefault();
    answer(() => current.ask($$("json").value), showRaw);
  };
  // Enter sends, Shift+Enter begins a line.
  $$("text").onkeydown = (event) => {
    if (event.key === "Enter" && !event.shiftKey && !event.isComposing) {
      event.preventDefault();
      $$("sentence").requestSubmit();
    }
  };
  document.body.dataset.ready = "yes";
}

export function fail(message) {
  clear();
  $$("about").hidden = true;
  show("status", message);
  $$("status").classList.add("fault");
}

function choose(model) {
  current = model;
  turn += 1;
  clear();
  for (const button of $$("models").children)
    button.setAttribute("aria-pressed", button === model.button);
  $$("about").textContent = model.about;
  $$("picture").hidden = model.kind !== "picture";
  $$("sentence").hidden = model.kind !== "text";
  $$("tensors").hidden = model.kind !== "tensors";
  if (model.kind === "tensors") $$("json").value = model.example;
}

function give(file) {
  answer(() => current.ask(file), (told) => {
    if (told.image) {
      setPicture("made", told.image);
    } else if ("caption" in told) {
      show("answer", told.caption);
    } else {
      showClasses(told);
    }
  }, file);
  $$("file").value = ""; // the same file may be chosen again
}

function classify(text) {
  const words = text.split(/([ \t\n\v\f\r]+)/); // words at even places, space between
  const places = words.map((_, place) => place)
    .filter((place) => place % 2 === 0 && words[place]).slice(0, MOST_WORDS);
  const without = (place) => words.map((w, p) => (p === place ? "" : w)).join("");
  answer(() => current.ask([text, ...places.map(without)]), ([told, ...others]) => {
    showClasses(told);
    const effects = new Map(places.map((place, n) => [
      place,
      told.probabilities[told.label] - (others[n].probabilities[told.label] ?? 0),
    ]));
    const largest = Math.max(...[...effects.values()].map(Math.abs), 1e-9);
    $$("words").replaceChildren(...words.map((word, place) => {
      const span = document.createElement("span");
      span.textContent = word;
      if (!effects.has(place)) return span;
      const effect = effects.get(place);
      const share = Math.round((60 * Math.abs(effect)) / largest);
      const hue = effect > 0 ? "seagreen" : "crimson";
      span.style.background = `color-mix(in srgb, ${hue} ${share}%, transparent)`;
      span.className = effect > 0 ? "for" : "against";
      span.title = effect.toFixed(4);
      span.dataset.effect = effect;
      return span;
    }));
    $$("words").hidden = $$("legend").hidden = false;
  });
}

// Runs `ask` and shows what it gives, unless something newer was asked meanwhile.
async function answer(ask, display, file) {
  const mine = (turn += 1);
  clear();
  if (file) setPicture("given", file);
  show("status", "One moment …");
  document.body.dataset.ready = "no";
  await new Promise((done) => setTimeout(done)); // lets the page be painted
  const begin = performance.now();
  try {
    const told = await ask();
    if (mine !== turn) return;
    $$("status").hidden = true;
    display(told);
    show("took", `${(performance.now() - begin).toFixed(0)} ms`);
  } catch (error) {
    if (mine !== turn) return;
    show("status", error.message);
    $$("status").classList.add("fault");
  }
  document.body.dataset.ready = "yes";
}

function showClasses({ label, probabilities }) {
  show("answer", label);
  const largest = Object.entries(probabilities).sort((a, b) => b[1] - a[1]).slice(0, 10);
  $$("classes").replaceChildren(...largest.flatMap(([name, value]) => {
    const bar = document.createElement("dd");
    bar.className = "bar";
    bar.append(document.createElement("div"));
    bar.firstChild.style.width = `${100 * value}%`;
    return [element("dt", name), bar, element("dd", `${(100 * value).toFixed(1)} %`)];
  }));
  $$("classes").hidden = false;
}

function showRaw({ raw }) {
  show("raw", raw);
}

function setPicture(id, blob) {
  URL.revokeObjectURL($$(id).src);
  $$(id).src = URL.createObjectURL(blob);
  $$(id).hidden = $$("shown").hidden = false;
}

function clear() {
  for (const child of $$("result").children) child.hidden = true;
  $$("made").hidden = true;
  $$("status").classList.remove("fault");
}

function show(id, text) {
  $$(id).textContent = text;
  $$(id).hidden = false;
}

function element(tag, text) {
  const made = document.createElement(tag);
  made.textContent = text;
  return made;
}
