/** HTML from plain values: every word that is shown goes through textContent. */
function make(tag, attributes = {}, ...inside) {
  const found = document.createElement(tag);
  for (const [key, value] of Object.entries(attributes)) {
    if (value !== null && value !== undefined && value !== false) found.setAttribute(key, value);
  }
  found.append(...inside);
  return found;
}

const count = n => n.toLocaleString('en-US');

/** Three digits with a decimal prefix: 4.09 G. */
function short(n) {
  if (Math.abs(n) < 1000) return String(n);
  let at = -1;
  do { n /= 1000; at += 1; } while (Math.abs(n) >= 999.5 && at < 3);
  return `${Math.abs(n) >= 999.5 ? Math.round(n).toLocaleString('en-US') : n.toPrecision(3)} ${'kMGT'[at]}`;
}

const signed = (n, words) => (n > 0 ? `+${words(n)}` : n < 0 ? `\u2212${words(-n)}` : '0');

const number = (value, words) => make('td', { class: 'number', 'data-value': value }, words);

/** Gives a table's headings buttons that sort its rows; a cell's `data-value` counts before its text. */
function sortable(table) {
  const heads = [...table.tHead.rows[0].cells];
  const value = (row, at) => {
    const cell = row.cells[at];
    const said = cell.dataset.value ?? cell.textContent;
    if (said === '') return -Infinity;
    return !Number.isNaN(Number(said)) ? Number(said) : said;
  };
  heads.forEach((head, at) => {
    const button = make('button', { type: 'button' }, head.textContent);
    head.replaceChildren(button);
    head.setAttribute('aria-sort', 'none');
    button.addEventListener('click', () => {
      const down = head.classList.contains('number') ? head.getAttribute('aria-sort') !== 'descending' : head.getAttribute('aria-sort') === 'ascending';
      heads.forEach(other => other.setAttribute('aria-sort', 'none'));
      head.setAttribute('aria-sort', down ? 'descending' : 'ascending');
      const rows = [...table.tBodies[0].rows].map((row, i) => [value(row, at), i, row]);
      const order = ([a, i], [b, j]) => (a < b ? -1 : a > b ? 1 : 0) * (down ? -1 : 1) || i - j;
      table.tBodies[0].append(...rows.sort(order).map(row => row[2]));
    });
  });
  return table;
}
