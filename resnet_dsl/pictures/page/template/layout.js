const FONT = 'Helvetica, Arial, "Liberation Sans", Arimo, sans-serif';
const GAP = 16;
const LANE = 16;
const PAD = 12;
const HEAD = 40;

const pen = document.createElement('canvas').getContext('2d');

function wide(words, size, bold) {
  pen.font = `${bold ? 'bold ' : ''}${size}px ${FONT}`;
  return pen.measureText(words).width;
}

/** The lines of a box: [text, font size, bold, soft]. */
function lines(item) {
  const label = item.program || item.node.g === 'merge' ? [] : [[item.kind, 12, false, false]];
  const title = item.program ? [[item.title, 13, true, false]] : [];
  if (item.node.g === 'merge') return [[`${SIGNS[item.status] || ''}${item.kind}`, 14, true, false]];
  if (!item.program && item.status) label[0][0] = `${SIGNS[item.status]}${item.kind}`;
  const told = item.changes.slice(0, 3).map(([name, from, to]) => [`${name} ${from || 'none'} \u2192 ${to || 'none'}`, 11, false, false]);
  const about = item.program ? [[item.shape, 11, false, true]] : [];
  const costs = item.params ? [[item.costs, 11, false, true]] : [];
  return [...title, ...label, ...told, ...about, ...costs];
}

/** How large an item is: it reaches `lo` and `hi` to the left and right of its spine. */
function measure(item, isOpen) {
  const plan = { item, children: [], edges: [], open: isOpen(item) && item.inside.length > 0, lines: lines(item) };
  if (!plan.open) {
    const width = Math.max(...plan.lines.map(([words, size, bold]) => wide(words, size, bold)), 12) + 24;
    const height = plan.lines.reduce((sum, line) => sum + line[1] * 1.3, 0) + 10;
    return Object.assign(plan, { lo: width / 2, hi: width / 2, height });
  }
  const head = item.level ? HEAD : 0;
  const pad = item.level ? PAD : 0;
  scope(plan, item.inside.map(child => measure(child, isOpen)), head, pad);
  const [title, ...rest] = plan.lines;
  plan.lines = item.level ? [title, [[item.shape, item.costs].filter(Boolean).join(', '), 11, false, true]] : [];
  const least = Math.max(...plan.lines.map(([words, size, bold]) => wide(words, size, bold)), 0) + 2 * pad + 22;
  if (plan.lo + plan.hi < least) plan.hi = least - plan.lo;
  return plan;
}

/** Places the steps of a scope along its spine, and the ways beside it in lanes. */
function scope(plan, children, top, pad) {
  const nodes = plan.item.program.nodes;
  // Several items may stand for one node: the first reads what the node reads, the others read each other.
  const first = [];
  const last = [];
  children.forEach((child, k) => {
    const at = nodes.indexOf(child.item.node);
    if (first[at] === undefined) first[at] = k;
    last[at] = k;
  });
  const reads = children.map((child, k) => {
    const at = nodes.indexOf(child.item.node);
    return k === first[at] ? child.item.node.i.map(i => (i < 0 ? -1 : last[i])) : [k - 1];
  });
  const main = k => reads[k][children[k].item.node.s || 0];
  const spine = new Set([-1]);
  for (let k = children.length - 1; k >= 0; k = main(k)) spine.add(k);
  const ends = { '-1': top };
  const uses = reads.flat();
  const forks = new Set(uses.filter((i, k) => uses.indexOf(i) !== k));
  children.forEach((child, k) => {
    child.y = Math.max(...reads[k].map(i => ends[i] + (forks.has(i) ? 8 : 0))) + GAP;
    ends[k] = child.y + child.height;
  });
  const lanes = [];
  for (const k of [...spine].filter(i => i >= 0).sort((a, b) => a - b)) {
    reads[k].forEach((source, slot) => {
      if (slot === (children[k].item.node.s || 0)) return;
      const through = [];
      let here = source;
      while (!spine.has(here)) { through.unshift(here); here = main(here); }
      lanes.push({ source: here, target: k, through });
    });
  }
  lanes.sort((a, b) => b.source - a.source);
  const reach = [];
  children.forEach((child, k) => { child.x = 0; if (spine.has(k)) reach[k] = child.hi; });
  let hi = Math.max(0, ...children.filter((c, k) => spine.has(k)).map(c => c.hi));
  const taken = [];
  for (const lane of lanes) {
    let edge = 0;
    for (let k = lane.source + 1; k <= lane.target; k += 1) if (spine.has(k)) edge = Math.max(edge, reach[k]);
    for (const other of taken) if (other.source < lane.target && lane.source < other.target) edge = Math.max(edge, other.edge);
    const lo = Math.max(0, ...lane.through.map(k => children[k].lo));
    lane.x = edge + LANE + lo;
    lane.edge = lane.x + Math.max(0, ...lane.through.map(k => children[k].hi));
    for (const k of lane.through) children[k].x = lane.x;
    taken.push(lane);
    hi = Math.max(hi, lane.edge);
  }
  // A way beside the spine is set half way down.
  for (const lane of lanes.filter(l => l.through.length)) {
    const slack = children[lane.target].y - GAP - ends[lane.through.at(-1)];
    for (const k of lane.through) { children[k].y += Math.max(0, slack / 2); ends[k] += Math.max(0, slack / 2); }
  }
  wires(plan, children, reads, main, spine, lanes, ends);
  const lo = Math.max(0, ...children.filter((c, k) => spine.has(k)).map(c => c.lo));
  const bottom = children.length ? Math.max(...children.map((c, k) => ends[k])) : top;
  Object.assign(plan, { children, lo: lo + pad, hi: hi + pad, height: bottom + (pad ? pad + 10 : 0) });
  const exit = children.length - 1;
  if (pad && exit >= 0) plan.edges.push({ d: `M0,${ends[exit]}V${plan.height}`, dotted: false, head: false });
}

function wires(plan, children, reads, main, spine, lanes, ends) {
  const dotted = k => children[k].item.node.r === 'shortcut' || plan.item.node.r === 'shortcut';
  children.forEach((child, k) => {
    if (spine.has(k)) {
      const source = main(k);
      if (source >= 0 || plan.item.level) plan.edges.push({ d: `M0,${ends[source]}V${child.y}`, dotted: dotted(k), head: true });
    } else if (!spine.has(main(k))) {
      plan.edges.push({ d: `M${child.x},${ends[main(k)]}V${child.y}`, dotted: dotted(k) || dotted(main(k)), head: true });
    }
  });
  const enters = {};
  for (const lane of lanes) {
    const target = children[lane.target];
    const among = lanes.filter(l => l.target === lane.target).length + 1;
    enters[lane.target] = (enters[lane.target] || 0) + 1;
    const y = target.y + target.height * enters[lane.target] / among;
    const fork = ends[lane.source] + 6;
    const bent = lane.through.some(dotted);
    if (lane.through.length) {
      const [a, b] = [lane.through[0], lane.through.at(-1)];
      plan.edges.push({ d: `M0,${fork}H${lane.x}V${children[a].y}`, dotted: bent, head: true });
      plan.edges.push({ d: `M${lane.x},${ends[b]}V${y}H${target.hi}`, dotted: bent, head: true });
    } else {
      plan.edges.push({ d: `M0,${fork}H${lane.x - 6}Q${lane.x},${fork} ${lane.x},${fork + 6}V${y - 6}Q${lane.x},${y} ${lane.x - 6},${y}H${target.hi}`, dotted: false, head: true });
    }
  }
}
