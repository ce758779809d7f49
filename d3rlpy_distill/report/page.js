// Sorts a table by the column whose heading is pressed. Without it, the tables are as they were made.
"use strict";
const order = new Intl.Collator(undefined, { numeric: true });
const text = (row, column) => row.cells[column].textContent.trim();
const number = (cell) => parseFloat(cell.replace(/,/g, ""));
for (const table of document.querySelectorAll("table.sortable")) {
  const body = table.tBodies[0];
  for (const head of table.tHead.rows[0].cells) {
    const button = document.createElement("button");
    button.type = "button";
    button.title = "sort";
    button.append(...head.childNodes);
    head.append(button);
    button.addEventListener("click", () => {
      const column = head.cellIndex;
      const rows = [...body.rows];
      const numbers = rows.every((row) => text(row, column) === "" || !isNaN(number(text(row, column))));
      const before = head.getAttribute("aria-sort");
      // numbers begin with the largest, names with a
      const rising = before === null ? !numbers : before === "descending";
      rows.sort((a, b) => {
        const [x, y] = [text(a, column), text(b, column)];
        if (x === "" || y === "") return (x === "") - (y === ""); // what is missing stays last
        return (rising ? 1 : -1) * (numbers ? number(x) - number(y) : order.compare(x, y));
      });
      for (const other of head.parentNode.cells) other.removeAttribute("aria-sort");
      head.setAttribute("aria-sort", rising ? "ascending" : "descending");
      body.append(...rows);
    });
  }
}
