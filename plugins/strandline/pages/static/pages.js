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
  // Inside Airflow's own page, what is Airflow's opens in the whole window.
  for (const link of document.querySelectorAll("a[data-airflow]")) link.target = "_top";
  for (const table of document.querySelectorAll("table.sortable")) makeSortable(table);
});

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
