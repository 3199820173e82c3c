const SVG = 'http://www.w3.org/2000/svg';
const MOST_OPEN = 60;
const MOST_SHOWN = 1500;

function draw(tag, attributes = {}, ...inside) {
  const found = document.createElementNS(SVG, tag);
  for (const [key, value] of Object.entries(attributes)) if (value !== null && value !== undefined) found.setAttribute(key, value);
  found.append(...inside);
  return found;
}

/** The picture of one network: an ARIA tree in an SVG, in an area that scrolls. */
class Pane {
  constructor(viewer, network, letter) {
    Object.assign(this, { viewer, network, letter, opened: new Set(), zoom: 1, at: null, hits: new Set() });
    this.svg = draw('svg', { role: 'tree', 'aria-label': `${network.data.name}, ${count(network.data.params)} parameters` });
    this.scroll = make('div', { class: 'scroll', tabindex: '-1' });
    this.scroll.append(this.svg);
    const about = make('small', {}, `${count(network.data.params)} params, ${short(network.data.macs)} MACs, depth ${network.data.depth}`);
    this.element = make('div', { class: 'pane' }, make('div', { class: 'name' }, `${letter ? `${letter}  ` : ''}${network.data.name}`, about), this.scroll);
    this.listen();
  }

  isOpen = item => item.level === 0 || this.opened.has(item.path);

  /** Opens down to stages (1), blocks (2) or everything (9); gives whether some stayed closed since there are too many. */
  openTo(level) {
    this.opened.clear();
    let shown = 0;
    let all = true;
    const visit = item => {
      const inside = item.inside;
      if (item.level >= level || !inside.length) return;
      if (shown + inside.length > MOST_SHOWN || (level < 9 && item.level > 0 && inside.length > MOST_OPEN)) { all = false; return; }
      shown += inside.length;
      if (item.level) this.opened.add(item.path);
      inside.forEach(visit);
    };
    visit(this.network.root);
    this.show();
    return all;
  }

  toggle(item, open = !this.opened.has(item.path)) {
    if (!item.program || !item.inside.length) return;
    if (open) this.opened.add(item.path); else this.opened.delete(item.path);
    this.show();
  }

  reveal(item) {
    for (let up = item.parent; up && up.level; up = up.parent) this.opened.add(up.path);
    this.show();
    this.focus(item.path);
  }

  focus(path) {
    const element = this.elements.get(path);
    if (!element) return;
    this.at = path;
    for (const [other, g] of this.elements) g.setAttribute('tabindex', other === path ? '0' : '-1');
    element.focus({ preventScroll: true });
    this.bring(element);
  }

  /** Scrolls the least that shows an item's head. */
  bring(element) {
    const box = element.querySelector('rect').getBoundingClientRect();
    const area = this.scroll.getBoundingClientRect();
    const margin = 24;
    if (box.top < area.top + margin) this.scroll.scrollTop += box.top - area.top - margin;
    else if (Math.min(box.bottom, box.top + 80) > area.bottom - margin) this.scroll.scrollTop += Math.min(box.bottom, box.top + 80) - area.bottom + margin;
    if (box.left < area.left + margin) this.scroll.scrollLeft += box.left - area.left - margin;
    else if (Math.min(box.right, box.left + 160) > area.right - margin) this.scroll.scrollLeft += Math.min(box.right, box.left + 160) - area.right + margin;
  }

  /** Lays everything out anew; what had the focus keeps it. */
  show() {
    const plan = measure(this.network.root, this.isOpen);
    const entry = `input ${this.network.data.input.join('x')}`;
    const half = wide(entry, 12, false) / 2 + 14;
    const [left, right] = [Math.max(plan.lo, half) + 16, Math.max(plan.hi, half) + 16];
    this.size = [left + right, plan.height + 76];
    this.elements = new Map();
    const marker = draw('marker', { id: `head${this.letter}`, viewBox: '0 0 8 8', refX: 7, refY: 4, markerWidth: 7, markerHeight: 7, orient: 'auto', markerUnits: 'userSpaceOnUse' }, draw('path', { d: 'M0,0.8L8,4L0,7.2Z' }));
    const input = draw('g', { 'aria-hidden': 'true' }, draw('rect', { class: 'body', x: -half, y: 4, width: 2 * half, height: 24, rx: 12 }));
    const words = draw('text', { x: 0, y: 20, 'font-size': 12, 'text-anchor': 'middle' });
    words.textContent = entry;
    const body = draw('g', { transform: `translate(${left},12)`, role: 'presentation' }, input);
    input.append(words);
    const first = plan.children[0];
    if (first) body.append(draw('path', { class: 'wire', d: `M0,28V${first.y + 36}`, 'marker-end': `url(#head${this.letter})`, 'aria-hidden': 'true' }));
    const network = draw('g', { transform: 'translate(0,36)', role: 'presentation' });
    network.append(this.wires(plan), ...plan.children.map(child => this.item(child)));
    body.append(network);
    const focused = this.svg.contains(document.activeElement);
    this.svg.replaceChildren(draw('defs', {}, marker), body);
    this.rescale();
    const at = this.elements.has(this.at) ? this.at : this.nearest(this.at);
    this.at = at;
    if (this.elements.get(at)) {
      this.elements.get(at).setAttribute('tabindex', '0');
      if (focused) this.focus(at);
    }
    this.paint();
  }

  nearest(path) {
    for (let up = path; up; up = up.slice(0, Math.max(0, up.lastIndexOf('.')))) if (this.elements.has(up)) return up;
    return this.elements.keys().next().value;
  }

  wires(plan) {
    const paths = plan.edges.map(e => draw('path', { class: `wire${e.dotted ? ' dotted' : ''}`, d: e.d, 'marker-end': e.head ? `url(#head${this.letter})` : null }));
    return draw('g', { 'aria-hidden': 'true' }, ...paths);
  }

  item(plan) {
    const { item } = plan;
    const look = item.node.g === 'merge' ? 'merge' : item.node.r === 'shortcut' ? 'shortcut' : item.program ? 'scope' : item.params ? 'weighted' : 'layer';
    const hue = item.stage < 0 || this.viewer.grey ? '' : `hued h${item.stage % 8}`;
    const g = draw('g', {
      role: 'treeitem', tabindex: '-1', 'aria-level': item.level, 'aria-label': item.label, 'aria-selected': 'false',
      'aria-expanded': item.program && item.inside.length ? String(plan.open) : null,
      class: `${look} ${hue} ${item.status} ${plan.open ? 'open' : ''}`, transform: `translate(${plan.x},${plan.y})`, 'data-path': item.path,
    });
    g.append(draw('rect', { class: 'body', x: -plan.lo, y: 0, width: plan.lo + plan.hi, height: plan.height, rx: plan.open ? 10 : 7 }));
    let y = 5;
    for (const [words, size, bold, soft] of plan.lines) {
      y += size * 1.3;
      const text = draw('text', { x: plan.open ? -plan.lo + 12 : 0, y: y - size * 0.28, 'font-size': size, 'font-weight': bold ? 'bold' : null, class: soft ? 'soft' : null, 'text-anchor': plan.open ? null : 'middle' });
      text.textContent = words;
      g.append(text);
    }
    this.elements.set(item.path, g);
    g.item = item;
    if (plan.open) g.append(this.wires(plan), draw('g', { role: 'group' }, ...plan.children.map(child => this.item(child))));
    return g;
  }

  paint() {
    for (const [path, g] of this.elements) {
      g.classList.toggle('hit', this.hits.has(path));
      g.classList.toggle('chosen', this.viewer.chosen?.pane === this && this.viewer.chosen.item.path === path);
      g.setAttribute('aria-selected', String(g.classList.contains('chosen')));
    }
  }

  rescale() {
    const [width, height] = this.size;
    this.svg.setAttribute('viewBox', `0 0 ${width} ${height}`);
    this.svg.setAttribute('width', Math.round(width * this.zoom));
    this.svg.setAttribute('height', Math.round(height * this.zoom));
  }

  /** Zooms so that the point of the picture under (x, y) of the area stays there. */
  scale(factor, x = this.scroll.clientWidth / 2, y = this.scroll.clientHeight / 2) {
    const next = Math.min(4, Math.max(0.1, this.zoom * factor));
    const [left, top] = [(this.scroll.scrollLeft + x) / this.zoom, (this.scroll.scrollTop + y) / this.zoom];
    this.zoom = next;
    this.rescale();
    this.scroll.scrollLeft = left * next - x;
    this.scroll.scrollTop = top * next - y;
  }

  fit() {
    this.zoom = Math.min(1.5, Math.max(0.1, Math.min(this.scroll.clientWidth / this.size[0], this.scroll.clientHeight / this.size[1])));
    this.rescale();
  }

  listen() {
    const chosen = event => event.target.closest?.('[role="treeitem"]');
    let drag = null;
    this.svg.addEventListener('click', event => {
      const g = chosen(event);
      if (!g || drag?.moved) return;
      const again = this.viewer.chosen?.pane === this && this.viewer.chosen.item.path === g.item.path;
      this.viewer.choose(this, g.item);
      if (again || !this.opened.has(g.item.path)) this.toggle(g.item);
      this.focus(g.item.path);
    });
    this.svg.addEventListener('keydown', event => this.key(event));
    this.svg.addEventListener('focusin', event => { const g = chosen(event); if (g) { this.at = g.item.path; this.viewer.tip(g); } });
    this.svg.addEventListener('focusout', () => this.viewer.tip(null));
    this.svg.addEventListener('pointerover', event => this.viewer.tip(chosen(event), event));
    this.svg.addEventListener('pointerleave', () => this.viewer.tip(null));
    this.scroll.addEventListener('pointerdown', event => {
      if (event.button === 0 && event.pointerType === 'mouse') drag = { x: event.clientX, y: event.clientY, left: this.scroll.scrollLeft, top: this.scroll.scrollTop, moved: false };
    });
    this.scroll.addEventListener('pointermove', event => {
      if (!drag || !event.buttons) return;
      const [dx, dy] = [event.clientX - drag.x, event.clientY - drag.y];
      if (Math.abs(dx) + Math.abs(dy) > 4) drag.moved = true;
      if (!drag.moved) return;
      this.scroll.classList.add('dragged');
      this.scroll.scrollLeft = drag.left - dx;
      this.scroll.scrollTop = drag.top - dy;
    });
    window.addEventListener('pointerup', () => { this.scroll.classList.remove('dragged'); setTimeout(() => { drag = null; }, 0); });
    this.scroll.addEventListener('wheel', event => {
      if (!event.ctrlKey && !event.metaKey) return;
      event.preventDefault();
      const area = this.scroll.getBoundingClientRect();
      this.scale(Math.exp(-event.deltaY / 300), event.clientX - area.left, event.clientY - area.top);
    }, { passive: false });
  }

  key(event) {
    const g = event.target.closest('[role="treeitem"]');
    if (!g || event.altKey || event.ctrlKey || event.metaKey) return;
    const paths = [...this.elements.keys()];
    const here = paths.indexOf(g.item.path);
    const to = i => { if (paths[i] !== undefined) this.focus(paths[i]); };
    const isOpen = g.getAttribute('aria-expanded');
    const keys = {
      ArrowDown: () => to(here + 1),
      ArrowUp: () => to(here - 1),
      ArrowRight: () => { if (isOpen === 'false') this.toggle(g.item, true); else if (isOpen === 'true') to(here + 1); },
      ArrowLeft: () => { if (isOpen === 'true') this.toggle(g.item, false); else if (g.item.parent?.level) this.focus(g.item.parent.path); },
      Home: () => to(0),
      End: () => to(paths.length - 1),
      Enter: () => this.viewer.choose(this, g.item),
      ' ': () => this.toggle(g.item),
      Escape: () => { if (this.viewer.chosen) this.viewer.choose(null); else if (g.item.parent?.level) this.toggle(g.item.parent, false); },
      '+': () => this.scale(1.25),
      '-': () => this.scale(0.8),
      0: () => this.fit(),
      '/': () => this.viewer.input.focus(),
    };
    if (!keys[event.key]) return;
    event.preventDefault();
    keys[event.key]();
  }
}
