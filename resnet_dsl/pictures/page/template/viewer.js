/** One network or two: pictures, search, details of what is chosen, and a table. */
class Viewer {
  constructor(element, data) {
    this.element = element;
    this.convention = data.convention;
    this.grey = document.documentElement.dataset.theme === 'print' || data.networks.length > 1;
    element.classList.toggle('two', data.networks.length > 1);
    this.chosen = null;
    this.networks = data.networks.map(n => new Network(n));
    const two = this.networks.length > 1;
    this.panes = this.networks.map((n, i) => new Pane(this, n, two ? 'AB'[i] : ''));
    this.floating = make('div', { class: 'tip', hidden: '', 'aria-hidden': 'true' });
    this.details = make('div', { class: 'details', role: 'region', 'aria-label': 'Details', tabindex: '0' });
    this.figures = make('div', { class: 'figures', role: 'region', 'aria-label': 'Figures', tabindex: '0' });
    const panes = make('div', { class: 'panes' }, ...this.panes.map(p => p.element));
    element.append(this.tools(), panes, make('div', { class: 'side' }, this.details, this.figures), this.floating);
    this.choose(null);
    this.tabulate('stage');
    this.panes.forEach(pane => { pane.openTo(2); this.openChanged(pane); });
  }

  /** In a comparison the first look goes to what differs. */
  openChanged(pane) {
    if (this.networks.length < 2 || !Object.keys(pane.network.marks).length) return;
    pane.opened.clear();
    for (const item of pane.network.root.inside) {
      if (item.status !== 'changed' || item.inside.length > MOST_OPEN) continue;
      pane.opened.add(item.path);
      const inner = item.inside.find(child => child.status === 'changed' && !child.changes.length);
      if (inner) pane.opened.add(inner.path);
    }
    pane.show();
  }

  tools() {
    const button = (words, act, about) => {
      const b = make('button', { type: 'button', 'aria-label': about, title: about }, words);
      b.addEventListener('click', act);
      return b;
    };
    const open = (words, level) => button(words, () => {
      const all = this.panes.map(p => p.openTo(level)).every(Boolean);
      this.say(all ? '' : 'some stay closed: too many');
    }, null);
    this.input = make('input', { type: 'search', placeholder: 'conv2, layer3, BN ...', spellcheck: 'false', autocomplete: 'off' });
    this.status = make('span', { class: 'status', role: 'status' });
    this.input.addEventListener('input', () => this.search());
    this.input.addEventListener('keydown', event => {
      if (event.key === 'Enter') { event.preventDefault(); this.next(event.shiftKey ? -1 : 1); }
      if (event.key === 'Escape') { this.input.value = ''; this.search(); this.panes[0].focus(this.panes[0].at); }
    });
    return make('div', { class: 'tools', role: 'group', 'aria-label': 'Tools' },
      make('label', {}, 'Search', this.input), this.status, make('span', { class: 'gap' }),
      open('Stages', 1), open('Blocks', 2), open('Everything', 9),
      button('\u2212', () => this.panes.forEach(p => p.scale(0.8)), 'Zoom out'),
      button('+', () => this.panes.forEach(p => p.scale(1.25)), 'Zoom in'),
      button('Fit', () => this.panes.forEach(p => p.fit()), 'Fit the whole picture'),
      button('1:1', () => this.panes.forEach(p => p.scale(1 / p.zoom)), 'Full size'));
  }

  say(words) { this.status.textContent = words; }

  search() {
    const words = this.input.value.trim().toLowerCase().split(/\s+/).filter(Boolean);
    this.matches = [];
    for (const pane of this.panes) {
      pane.hits.clear();
      if (words.length) {
        for (const item of pane.network.root.walk()) {
          if (words.every(word => item.text.includes(word))) { this.matches.push([pane, item]); pane.hits.add(item.path); }
        }
      }
      pane.paint();
    }
    this.match = -1;
    this.say(words.length ? `${count(this.matches.length)} found` : '');
  }

  /** Goes to the next match, opening what it lies in; the focus stays in the search. */
  next(step) {
    if (!this.matches?.length) return;
    this.match = this.match < 0 && step < 0 ? this.matches.length - 1 : (this.match + step + this.matches.length) % this.matches.length;
    const [pane, item] = this.matches[this.match];
    this.choose(pane, item);
    pane.reveal(item);
    this.input.focus();
    this.say(`${this.match + 1} of ${count(this.matches.length)}`);
  }

  tip(g, event) {
    if (!g) { this.floating.hidden = true; return; }
    const { item } = g;
    const changes = item.changes.map(([name, from, to]) => `${name}: ${from || 'none'} \u2192 ${to || 'none'}`);
    const kind = item.kind === item.name ? '' : item.kind;
    this.floating.textContent = [`${item.path}${item.times > 1 ? `  x${item.times}` : ''}`, kind, `gives ${item.shape}`, item.costs, ...changes].filter(Boolean).join('\n');
    this.floating.hidden = false;
    const box = g.querySelector('rect').getBoundingClientRect();
    const [x, y] = event?.clientX ? [event.clientX + 14, event.clientY + 14] : [box.right + 8, box.top];
    const mine = this.floating.getBoundingClientRect();
    this.floating.style.left = `${Math.max(4, Math.min(x, innerWidth - mine.width - 8))}px`;
    this.floating.style.top = `${Math.max(4, Math.min(y, innerHeight - mine.height - 8))}px`;
  }

  choose(pane, item) {
    this.chosen = pane ? { pane, item } : null;
    this.panes.forEach(p => p.elements && p.paint());
    this.figures.querySelectorAll('tr').forEach(row => row.classList.toggle('chosen', Boolean(pane) && row.dataset.row === item.path));
    if (!pane) {
      const hint = 'Click a box, or press Enter on it, for its spec lines and its code. A click or Space opens and closes; arrow keys walk; + and \u2212 zoom; / searches.';
      this.details.replaceChildren(make('h3', {}, 'Details'), make('p', { class: 'hint' }, hint));
      return;
    }
    this.details.replaceChildren(make('h3', {}, `${pane.letter ? `${pane.letter}: ` : ''}${item.path}`), this.facts(item, pane), ...this.specs(item, pane), ...this.code(item));
    this.details.scrollTop = 0;
  }

  facts(item, pane) {
    const reads = item.node.i.map(i => (i < 0 ? item.parent.program.in : item.parent.program.nodes[i].o).join('x')).join(', ');
    const share = pane.network.data.params ? ` (${(100 * item.params / pane.network.data.params).toFixed(1)} %)` : '';
    const rows = [
      ['what', item.times > 1 ? `${item.times} x ${item.kind}` : item.kind], ['in', reads], ['out', item.shape],
      ['params', `${count(item.params)}${item.params ? share : ''}`], ['MACs', count(item.macs)],
      ...(item.status ? [['status', WORDS[item.status]]] : []),
      ...item.changes.map(([name, from, to]) => [name, `${from || 'none'} \u2192 ${to || 'none'}`]),
    ];
    return make('dl', {}, ...rows.flatMap(([name, value]) => [make('dt', {}, name), make('dd', {}, value)]));
  }

  specs(item, pane) {
    const places = [item.node.at, item.program?.at].map(n => pane.network.place(n));
    const found = places.filter((p, i) => p && !places.slice(0, i).some(q => q && q.name === p.name && q.line === p.line));
    return found.flatMap(({ name, line, near }) => [
      make('h4', {}, `Spec: ${name}, line ${line}`), this.listing(near.map(([n, words]) => [n, words, n === line]), `Spec lines of ${item.path}`),
    ]);
  }

  code(item) {
    const own = item.program ? item.program.code : item.parent.program.code;
    const named = new RegExp(`(self\\.|")${item.node.n}\\b`);
    const rows = own.split('\n').map(words => [null, words, !item.program && named.test(words)]);
    return [make('h4', {}, 'Emitted code'), this.listing(rows, `Code of ${item.path}`)];
  }

  listing(rows, about) {
    const most = String(Math.max(...rows.map(r => r[0] || 0))).length;
    const shown = rows.map(([n, words, here]) => {
      const line = make('span', { class: here ? 'here' : null });
      if (n) line.append(make('span', { class: 'number' }, String(n).padStart(most)));
      line.append(words || ' ');
      return line;
    });
    return make('pre', { tabindex: '0', role: 'region', 'aria-label': about }, ...shown);
  }

  /** The table: a row a stage, block or operation; of two networks a row for both, with the differences. */
  tabulate(by) {
    const choice = make('select', {}, ...['stage', 'block', 'op'].map(x => make('option', { value: x, selected: x === by ? '' : null }, x)));
    choice.addEventListener('change', () => { this.tabulate(choice.value); this.figures.querySelector('select').focus(); });
    const two = this.panes.length > 1;
    const numbers = two ? ['params A', 'params B', 'difference', 'MACs A', 'MACs B', 'difference'] : ['output', 'params', 'MACs', 'share'];
    const heads = ['name', ...(two ? [] : ['what']), ...numbers].map(words => make('th', { scope: 'col', class: ['name', 'what', 'output'].includes(words) ? null : 'number' }, words));
    const body = make('tbody', {}, ...(two ? this.pairs(by).map(pair => this.compared(pair)) : [...this.rows(this.panes[0], by)].map(item => this.row(item))));
    const caption = make('caption', {}, `${this.convention}${two ? ' Rows are matched by name.' : ' Share is of the parameters.'}`);
    const table = make('table', {}, caption, make('thead', {}, make('tr', {}, ...heads)), body);
    this.figures.replaceChildren(make('div', { class: 'rows' }, make('label', {}, 'Rows by ', choice)), sortable(table));
  }

  /** Items of both networks by path, in A's order with what only B has where it stands there. */
  pairs(by) {
    const [a, b] = this.panes.map(pane => [...this.rows(pane, by)]);
    const places = new Map(a.map((item, i) => [item.path, i]));
    const found = a.map(item => [item, null]);
    const extra = a.map(() => []);
    extra.unshift([]);
    let last = 0;
    for (const item of b) {
      if (places.has(item.path)) { last = places.get(item.path) + 1; found[last - 1][1] = item; } else extra[last].push([null, item]);
    }
    return [...extra[0], ...found.flatMap((pair, i) => [pair, ...extra[i + 1]])];
  }

  *rows(pane, by) {
    for (const item of pane.network.root.inside) {
      if (by === 'stage' || item.node.r !== 'stage') { yield item; continue; }
      for (const block of item.inside) {
        if (by === 'block' || !block.program) { yield block; continue; }
        for (const op of block.walk()) if (!op.program) yield op;
      }
    }
  }

  /** What an item costs in all: within a run the picture shows one copy, and the table all. */
  total(item) {
    let times = 1;
    for (let up = item.parent; up; up = up.parent) times *= up.times;
    return { params: item.params * times, macs: item.macs * times, copies: times * item.times };
  }

  link(item, panes) {
    const button = make('button', { type: 'button' }, `${SIGNS[item.status] || ''}${item.path}`);
    button.addEventListener('click', () => panes.forEach(([pane, there]) => { this.choose(pane, there); pane.reveal(there); }));
    return make('td', {}, button);
  }

  what(item) {
    const { copies } = this.total(item);
    return make('td', {}, `${item.kind}${copies > 1 ? ` x${copies}` : ''}`);
  }

  row(item) {
    const [pane] = this.panes;
    const { params, macs } = this.total(item);
    const all = pane.network.data.params;
    return make('tr', { 'data-row': item.path }, this.link(item, [[pane, item]]), this.what(item), make('td', {}, item.shape),
      number(params, count(params)), number(macs, short(macs)), number(all ? params / all : 0, all ? `${(100 * params / all).toFixed(1)} %` : ''));
  }

  compared(pair) {
    const item = pair[1] || pair[0];
    const [a, b] = pair.map(x => (x ? this.total(x) : null));
    const cells = (key, words) => [
      ...[a, b].map(x => (x ? number(x[key], words(x[key])) : number('', ''))),
      number((b?.[key] || 0) - (a?.[key] || 0), signed((b?.[key] || 0) - (a?.[key] || 0), words)),
    ];
    const there = this.panes.map((pane, i) => [pane, pair[i]]).filter(([, x]) => x);
    return make('tr', { 'data-row': item.path }, this.link(item, there), ...cells('params', short), ...cells('macs', short));
  }
}
