"use strict";

const element = (id) => document.getElementById(id);
let asked = 0;

function show(message, probabilities = {}, about = "") {
  element("message").textContent = message;
  element("about").textContent = about;
  const likeliest = Object.entries(probabilities).sort((one, other) => other[1] - one[1]).slice(0, 10);
  element("bars").replaceChildren(...likeliest.map(bar));
}

function bar([label, probability]) {
  const row = document.createElement("tr");
  const progress = document.createElement("progress");
  progress.value = probability;
  progress.setAttribute("aria-label", label);
  const cells = [label, progress, `${(100 * probability).toFixed(1)} %`];
  for (const content of cells) {
    const cell = document.createElement("td");
    cell.append(content);
    row.append(cell);
  }
  return row;
}

async function classify(file) {
  const mine = ++asked;
  preview(file);
  show("…");
  const token = element("token").value;
  const headers = token ? { authorization: `Bearer ${token}` } : {};
  try {
    const response = await fetch("classify", { method: "POST", body: file, headers });
    const said = await response.json();
    if (mine === asked) tell(response.ok, said);
  } catch (error) {
    if (mine === asked) show("The service does not answer.");
  }
}

function tell(answered, said) {
  if (!answered) return show(`${said.reason}: ${said.detail}`);
  const notes = said.notes.length ? ` · ${said.notes.join(" ")}` : "";
  const about = `Version ${said.model_version.slice(0, 12)} · prediction ${said.prediction_id}${notes}`;
  show(said.label, said.probabilities, about);
}

function preview(file) {
  const image = element("preview");
  if (image.src) URL.revokeObjectURL(image.src);
  image.src = URL.createObjectURL(file);
  image.hidden = false;
}

document.querySelector("form").addEventListener("submit", (event) => event.preventDefault());
const drop = element("drop");
element("file").addEventListener("change", (event) => {
  if (event.target.files.length) classify(event.target.files[0]);
  event.target.value = "";
});
for (const kind of ["dragenter", "dragover", "dragleave", "drop"]) {
  drop.addEventListener(kind, (event) => {
    event.preventDefault();
    drop.classList.toggle("over", kind === "dragenter" || kind === "dragover");
  });
}
drop.addEventListener("drop", (event) => {
  if (event.dataTransfer.files.length) classify(event.dataTransfer.files[0]);
});
