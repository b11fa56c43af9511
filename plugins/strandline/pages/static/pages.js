"use strict";
// Airflow keeps there which theme its reader chose; without a choice, the system's holds.
const theme = localStorage.getItem("theme");
if (theme === "dark" || theme === "light") document.documentElement.style.colorScheme = theme;

document.addEventListener("DOMContentLoaded", () => {
  const format = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "short" });
  for (const time of document.querySelectorAll("time[datetime]")) {
    time.title = time.textContent;
    time.textContent = format.format(new Date(time.dateTime));
  }
  document.addEventListener("click", leaveFrame);
  for (const table of document.querySelectorAll("table.sortable")) {
    makeExport(table);
    makeSortable(table);
  }
  for (const form of document.querySelectorAll("form.trigger")) makeTrigger(form);
  for (const input of document.querySelectorAll("input[data-find]")) makeFinder(input);
  for (const map of document.querySelectorAll("svg[data-brush]")) makeBrush(map);
  for (const input of document.querySelectorAll("input[data-all]")) makeAll(input);
  for (const figure of document.querySelectorAll("[data-says]")) makeSaying(figure);
  document.addEventListener("keydown", pressKey);
});

// What is pointed at, or has the focus, is named below its chart.
function makeSaying(figure) {
  const said = figure.querySelector("p:last-child");
  for (const event of ["focusin", "pointerover"]) {
    figure.addEventListener(event, ({ target }) => {
      if (target.tagName === "rect" && target.ariaLabel) said.textContent = target.ariaLabel;
    });
  }
}

// Each head becomes a button that sorts by its column: by data-value where a cell has one.
function makeSortable(table) {
  const heads = [...table.tHead.rows[0].cells];
  heads.forEach((head, column) => {
    if (!head.textContent.trim()) return;
    const button = document.createElement("button");
    button.type = "button";
    button.append(...head.childNodes);
    head.append(button);
    button.addEventListener("click", () => {
      const down = head.getAttribute("aria-sort") === "ascending";
      heads.forEach((other) => other.removeAttribute("aria-sort"));
      head.setAttribute("aria-sort", down ? "descending" : "ascending");
      const value = (row) => row.cells[column].dataset.value ?? row.cells[column].textContent.trim();
      const compare = (a, b) => value(a).localeCompare(value(b), undefined, { numeric: true });
      const rows = [...table.tBodies[0].rows].sort((a, b) => (down ? -compare(a, b) : compare(a, b)));
      table.tBodies[0].append(...rows);
    });
  });
}

// A table as it is shown, in the order that its reader chose, for a spreadsheet, which takes no cell of it for a formula.
function makeExport(table) {
  const heads = [...table.tHead.rows[0].cells].map((head) => head.textContent.trim());
  const safe = (text) => (/^[=+\-@\t\r]/.test(text) && !/^-?[\d.]+$/.test(text) ? `'${text}` : text);
  const quoted = (text) => (/[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text);
  const value = (cell) => cell.dataset.value ?? cell.textContent.trim().replace(/\s+/g, " ");
  const button = document.createElement("button");
  button.type = "button";
  button.className = "export";
  button.textContent = "This table as CSV";
  button.addEventListener("click", () => {
    const rows = [...table.tBodies[0].rows].map((row) => [...row.cells].map(value));
    const columns = [...heads.keys()].filter((column) => heads[column] && rows.some((row) => row[column]));
    const lines = [heads, ...rows].map((row) => columns.map((column) => quoted(safe(row[column]))).join(","));
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([lines.join("\r\n"), "\r\n"], { type: "text/csv" }));
    link.download = `${document.title.replace(/[^\p{L}\d]+/gu, "-")}.csv`;
    link.click();
    URL.revokeObjectURL(link.href);
  });
  (table.closest(".scroll") ?? table).after(button);
}

// Inside Airflow's own page, what is Airflow's takes the whole window. The frame may not ask for that with a target, but it
// is of the same origin: Airflow's document follows the link.
function leaveFrame(event) {
  const link = event.target.closest?.("a[data-airflow]");
  if (!link || window.parent === window || event.ctrlKey || event.metaKey || event.shiftKey) return;
  event.preventDefault();
  const outside = window.parent.document.createElement("a");
  outside.href = link.href;
  outside.click();
}

// Airflow itself begins the run, with its reader's rights and name.
function makeTrigger(form) {
  const button = form.querySelector("button");
  const said = form.querySelector("output");
  const { dag } = form.dataset;
  const airflow = document.documentElement.dataset.airflow;
  button.disabled = false;
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    button.disabled = true;
    said.textContent = "asking Airflow \u2026";
    const answer = await fetch(`${airflow}/api/v2/dags/${dag}/dagRuns`, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify({
        logical_date: null,
        conf: { ...JSON.parse(form.dataset.conf), ...released(form.dataset.ticked), ...filledIn(form) },
      }),
    }).catch(() => null);
    if (answer?.ok) {
      const run = await answer.json();
      const link = document.createElement("a");
      link.href = `${airflow}/dags/${dag}/runs/${encodeURIComponent(run.dag_run_id)}`;
      link.dataset.airflow = "";
      link.textContent = "The run has begun";
      said.replaceChildren(link);
    } else {
      button.disabled = false;
      const told = answer && (await answer.json().catch(() => null))?.detail;
      said.textContent =
        answer?.status === 403 ? "You may not trigger this DAG." :
        typeof told === "string" ? told : "Airflow did not begin a run: try again.";
    }
  });
}

function filledIn(form) {
  const inputs = [...form.querySelectorAll("input[name]")].filter((input) => input.value);
  return Object.fromEntries(inputs.map((input) => [input.name, input.type === "number" ? input.valueAsNumber : input.value]));
}

// The files whose boxes of this name are ticked; and their period, if it is one, for those whose paths name none.
function released(name) {
  const boxes = [...document.querySelectorAll(`input[name="${name}"]:checked`)];
  const periods = new Set(boxes.map((box) => box.dataset.period));
  return {
    ...(boxes.length && { release: boxes.map((box) => box.dataset.file) }),
    ...(periods.size === 1 && { period: [...periods][0] }),
  };
}

// A key does what the button or link that shows it does, unless its reader writes.
function pressKey(event) {
  if (event.ctrlKey || event.metaKey || event.altKey || event.target.closest?.("input, select, textarea")) return;
  const found = document.querySelector(`[data-key="${CSS.escape(event.key)}"]`);
  if (found) {
    event.preventDefault();
    found.click();
  }
}

// Only what has the text in it stays; Enter takes the first of them.
function makeFinder(input) {
  const all = [...document.querySelectorAll(input.dataset.find)];
  const fits = (item) => item.textContent.toLowerCase().includes(input.value.trim().toLowerCase());
  input.addEventListener("input", () => all.forEach((item) => (item.hidden = !fits(item))));
  input.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && input.value.trim()) all.find(fits)?.click();
  });
}

// A rectangle that is drawn on a map is written into the fields of its form, as percent of the map, and asked for.
function makeBrush(map) {
  const form = document.getElementById(map.dataset.brush);
  const brush = map.querySelector(".brush");
  const [, , width, height] = map.getAttribute("viewBox").split(" ");
  let start = null;
  const place = (event) => {
    const box = map.getBoundingClientRect();
    const within = (share) => Math.min(Math.max(100 * share, 0), 100);
    return [within((event.clientX - box.left) / box.width), within((box.bottom - event.clientY) / box.height)];
  };
  const sides = (event) => {
    const [x, y] = place(event);
    return { left: Math.min(x, start[0]), right: Math.max(x, start[0]), bottom: Math.min(y, start[1]), top: Math.max(y, start[1]) };
  };
  map.addEventListener("pointerdown", (event) => {
    if (!event.isPrimary || event.button) return;
    event.preventDefault();
    map.setPointerCapture(event.pointerId);
    start = place(event);
  });
  map.addEventListener("pointermove", (event) => {
    if (!start) return;
    const { left, right, bottom, top } = sides(event);
    brush.setAttribute("x", (left * width) / 100);
    brush.setAttribute("width", ((right - left) * width) / 100);
    brush.setAttribute("y", ((100 - top) * height) / 100);
    brush.setAttribute("height", ((top - bottom) * height) / 100);
  });
  map.addEventListener("pointerup", (event) => {
    if (!start) return;
    const drawn = sides(event);
    start = null;
    if (drawn.right - drawn.left < 1 || drawn.top - drawn.bottom < 1) return;
    for (const [side, value] of Object.entries(drawn)) form.elements[side].value = value.toFixed(1);
    form.requestSubmit();
  });
  map.addEventListener("pointercancel", () => (start = null));
}

// Ticks all boxes of a name. The forms about what is ticked have nothing to send before one is.
function makeAll(input) {
  const boxes = [...document.querySelectorAll(`input[name="${input.dataset.all}"]`)];
  const buttons = document.querySelectorAll(`form[data-ticked="${input.dataset.all}"] button`);
  const show = () => {
    const ticked = boxes.filter((box) => box.checked).length;
    input.checked = ticked === boxes.length;
    input.indeterminate = ticked > 0 && !input.checked;
    for (const button of buttons) button.disabled = !ticked;
  };
  input.parentElement.hidden = false;
  input.addEventListener("change", () => {
    for (const box of boxes) box.checked = input.checked;
    show();
  });
  for (const box of boxes) box.addEventListener("change", show);
  show();
}

// Beside what has to be typed elsewhere.
document.addEventListener("DOMContentLoaded", () => {
  for (const value of document.querySelectorAll("[data-copy]")) {
    if (!navigator.clipboard) return;
    const button = document.createElement("button");
    button.type = "button";
    button.className = "copy";
    button.textContent = "Copy";
    button.addEventListener("click", async () => {
      await navigator.clipboard.writeText(value.textContent.trim());
      button.textContent = "Copied";
      setTimeout(() => (button.textContent = "Copy"), 2000);
    });
    value.after(button);
  }
});
