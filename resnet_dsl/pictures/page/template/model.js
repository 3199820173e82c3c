const SIGNS = { added: '+ ', removed: '\u2212 ', changed: '~ ' };
const WORDS = { added: 'added', removed: 'removed', changed: 'changed' };

/** A step of a network as it stands in the picture: `times` equal ones in a row are one. */
class Item {
  constructor(network, parent, node, name, times, mark) {
    Object.assign(this, { network, parent, node, name, times });
    this.path = parent && parent.path ? `${parent.path}.${name}` : name;
    this.level = parent ? parent.level + 1 : 0;
    this.status = mark ? mark[1] : parent && (parent.status === 'added' || parent.status === 'removed') ? parent.status : '';
    this.changes = mark ? mark[2] : [];
    // The number of its stage, by which it is coloured; -1 outside of the stages.
    this.stage = node.r === 'stage' ? network.stages.indexOf(node) : parent ? parent.stage : -1;
    this.program = node.c === undefined ? null : network.data.programs[node.c];
  }

  get kind() { return this.program ? this.program.kind : this.node.l; }

  get params() { return this.node.p * this.times / (this.node.t || 1); }

  get macs() { return this.node.m * this.times / (this.node.t || 1); }

  get title() {
    const named = this.node.r === 'stage' || !this.program ? this.name : `${this.name}  ${this.kind}`;
    return `${SIGNS[this.status] || ''}${named}${this.times > 1 ? `  x${this.times}` : ''}`;
  }

  get shape() { return this.node.o.join('x'); }

  get costs() {
    return [this.params && `${short(this.params)} params`, this.macs && `${short(this.macs)} MACs`].filter(Boolean).join(', ');
  }

  /** In a sentence, for those who hear it. */
  get label() {
    const changes = this.changes.map(([name, from, to]) => `${name} ${from || 'none'} to ${to || 'none'}`);
    const times = this.times > 1 ? `${this.times} times` : '';
    const status = WORDS[this.status] || '';
    return [this.path, this.kind === this.name ? '' : this.kind, times, status, ...changes, this.shape, this.costs].filter(Boolean).join(', ');
  }

  get text() { return `${this.path} ${this.kind} ${this.node.r}`.toLowerCase(); }

  /** What it holds, in order; a run is cut where a comparison tells its parts apart. */
  get inside() {
    if (!this.known) this.known = this.program ? this.program.nodes.flatMap(node => this.parts(node)) : [];
    return this.known;
  }

  parts(node) {
    const marks = this.network.marks[this.path] || [];
    const times = node.t || 1;
    if (times === 1) return [new Item(this.network, this, node, node.n, 1, marks.find(m => m[0] === node.n))];
    const first = Number(node.n);
    const last = first + times - 1;
    const name = (a, b) => (a === b ? String(a) : `${a}-${b}`);
    const cuts = marks.filter(m => /^\d+(-\d+)?$/.test(m[0])).map(m => [...m[0].split('-').map(Number), m]);
    const found = [];
    let here = first;
    for (const cut of cuts.map(c => [c[0], c.length > 2 ? c[1] : c[0], c.at(-1)]).sort((a, b) => a[0] - b[0])) {
      if (cut[0] < here || cut[1] > last) continue;
      if (cut[0] > here) found.push([here, cut[0] - 1, undefined]);
      found.push(cut);
      here = cut[1] + 1;
    }
    if (here <= last) found.push([here, last, undefined]);
    return found.map(([a, b, mark]) => new Item(this.network, this, node, name(a, b), b - a + 1, mark));
  }

  /** Itself and all that it holds, each run once; of the very deepest the first twenty thousand. */
  *walk() { yield* this.visit({ n: 20000 }); }

  *visit(left) {
    for (const item of this.inside) {
      if (left.n-- <= 0) return;
      yield item;
      yield* item.visit(left);
    }
  }
}

class Network {
  constructor(data) {
    this.data = data;
    this.marks = data.marks || {};
    this.stages = data.programs.at(-1).nodes.filter(node => node.r === 'stage');
    const root = { n: '', i: [-1], o: data.programs.at(-1).out, r: 'network', p: data.params, m: data.macs, c: data.programs.length - 1 };
    this.root = new Item(this, null, root, '', 1, undefined);
  }

  /** A place in a spec: the source's name, the line, and the lines around it; of a step the nearest that is known. */
  place(number) {
    if (number === undefined || number < 0) return null;
    const [source, line] = this.data.places[number];
    const { name, lines } = this.data.sources[source];
    const near = Object.entries(lines).map(([n, words]) => [Number(n), words]).filter(([n]) => Math.abs(n - line) <= 6);
    return { name, line, near };
  }
}
