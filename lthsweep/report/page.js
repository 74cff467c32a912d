"use strict";
// Sorting and filtering of the table, and the theme button. Without scripts, the page shows all rows.
(() => {
  const table = document.getElementById("tickets");
  const theme = document.getElementById("theme");
  const dark = () => {
    const chosen = document.documentElement.dataset.theme;
    return chosen ? chosen === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  };
  const nameTheme = () => { theme.textContent = dark() ? "Light theme" : "Dark theme"; };
  theme.hidden = false;
  nameTheme();
  theme.addEventListener("click", () => {
    document.documentElement.dataset.theme = dark() ? "light" : "dark";
    nameTheme();
  });
  if (!table) return;

  const body = table.tBodies[0];
  const rows = [...body.rows];
  const original = new Map(rows.map((row, place) => [row, place]));
  const text = new Map(rows.map((row) => [row, row.textContent.toLowerCase()]));
  const heads = [...table.tHead.rows[0].cells];

  // A cell sorts by data-sort where it has one; unknown values come last in both directions.
  const keyOf = (row, column) => {
    const cell = row.cells[column];
    const raw = cell.dataset.sort ?? cell.textContent.trim();
    if (raw === "" || raw === "–") return null;
    const number = Number(raw);
    return Number.isNaN(number) ? raw : number;
  };
  const compare = (a, b) => {
    if (typeof a === "number" && typeof b === "number") return a - b;
    if (typeof a === "number") return -1;
    if (typeof b === "number") return 1;
    return a.localeCompare(b, undefined, { numeric: true });
  };
  const sortBy = (column, direction) => {
    const keys = new Map(rows.map((row) => [row, keyOf(row, column)]));
    rows.sort((a, b) => {
      const [x, y] = [keys.get(a), keys.get(b)];
      if (x === null || y === null) return (x === null) - (y === null) || original.get(a) - original.get(b);
      return direction * compare(x, y) || original.get(a) - original.get(b);
    });
    body.append(...rows);
  };
  heads.forEach((head, column) => {
    head.setAttribute("aria-sort", "none");
    head.querySelector("button").addEventListener("click", () => {
      const up = head.getAttribute("aria-sort") !== "ascending";
      heads.forEach((other) => other.setAttribute("aria-sort", "none"));
      head.setAttribute("aria-sort", up ? "ascending" : "descending");
      sortBy(column, up ? 1 : -1);
    });
  });

  const form = document.getElementById("filters");
  const shown = document.getElementById("shown");
  const apply = () => {
    const words = form.elements.words.value.toLowerCase().split(/\s+/).filter(Boolean);
    const verdicts = new Set([...form.querySelectorAll("[name=verdict]:checked")].map((box) => box.value));
    const axes = [...form.querySelectorAll("select")].filter((axis) => axis.value !== "");
    const remarksOnly = form.elements.remarks.checked;
    let count = 0;
    for (const row of rows) {
      const hit = (verdicts.size === 0 || verdicts.has(row.dataset.verdict))
        && axes.every((axis) => row.cells[Number(axis.dataset.column)].dataset.value === axis.value.slice(1))
        && (!remarksOnly || row.dataset.remarks === "1")
        && words.every((word) => text.get(row).includes(word));
      row.hidden = !hit;
      count += hit;
    }
    shown.textContent = `${count} of ${rows.length} rows`;
  };
  form.hidden = false;
  form.addEventListener("input", apply);
  form.addEventListener("submit", (event) => event.preventDefault());
  form.addEventListener("reset", () => setTimeout(apply));
  apply();
})();
