// Metrics of runs as curves: new rows are appended, and values smoothed.

/** A run with its metrics, as /api/metrics gives them; `append` takes the rows of the stream. */
export class RunCurves {
  constructor(name, columns) {
    this.name = name;
    this.next = 0;
    this.train = { iteration: [], seconds: [], epoch: [], lr: [], loss: [], images_per_s: [], outputs: {} };
    this.tests = [];
    this.append(columns);
  }

  append(columns) {
    if (columns.replaced !== null) {
      for (const group of [this.train, ...this.tests]) removeFrom(group, columns.replaced);
    }
    this.next = columns.next;
    appendGroup(this.train, columns.train);
    for (const test of columns.tests) {
      let known = this.tests.find((one) => one.net === test.net);
      if (!known) {
        known = { net: test.net, iteration: [], seconds: [], epoch: [], outputs: {} };
        this.tests.push(known);
      }
      appendGroup(known, test);
    }
  }

  /** Return the curves, in the order of their charts: title, kind, net, xs by name, ys. */
  curves() {
    const { train, tests } = this;
    const outputs = Object.entries(train.outputs);
    const found = [{ title: outputs.length === 1 ? outputs[0][0] : "loss", kind: "train", group: train, ys: train.loss }];
    if (outputs.length > 1)
      found.push(...outputs.map(([title, ys]) => ({ title, kind: "train", group: train, ys })));
    for (const test of tests)
      for (const [title, ys] of Object.entries(test.outputs))
        found.push({ title, kind: "test", net: tests.length > 1 ? test.net : null, index: test.net, group: test, ys });
    found.push({ title: "lr", kind: "rate", group: train, ys: train.lr });
    found.push({ title: "images_per_s", kind: "speed", group: train, ys: train.images_per_s });
    return found.filter((curve) => curve.ys.some((y) => y !== null));
  }

  get hasEpochs() {
    return this.train.epoch.some((one) => one !== null) || this.tests.some((test) => test.epoch.some((one) => one !== null));
  }
}

const X_COLUMNS = { iteration: "iteration", epoch: "epoch", time: "seconds" };

/** Return the x values of a curve: by "iteration", "epoch" or "time". */
export function xValues(curve, by) {
  return curve.group[X_COLUMNS[by]];
}

/**
 * Return a moving average whose weights fall exponentially.
 * The first values are divided by the sum of their weights, so that they are not drawn to zero.
 * @param {Array<number|null>} values
 * @param {number} factor  from 0, no smoothing, to less than 1
 */
export function smoothed(values, factor) {
  let [sum, weight] = [0, 0];
  return values.map((value) => {
    if (value === null) return null;
    sum = factor * sum + (1 - factor) * value;
    weight = factor * weight + (1 - factor);
    return sum / weight;
  });
}

/** Return the index of the best value, -1 without any; `direction` is "max" or "min". */
export function bestIndex(values, direction) {
  let best = -1;
  values.forEach((value, k) => {
    if (value === null) return;
    const isBetter = best < 0 || (direction === "max" ? value > values[best] : value < values[best]);
    if (isBetter) best = k;
  });
  return best;
}

/** Return the index of the value of ascending xs that is nearest to x. */
export function nearestIndex(xs, x) {
  let [low, high] = [0, xs.length - 1];
  while (high - low > 1) {
    const middle = (low + high) >> 1;
    if (xs[middle] <= x) low = middle;
    else high = middle;
  }
  return Math.abs(xs[high] - x) < Math.abs(xs[low] - x) ? high : low;
}

function columnsOf(group) {
  const own = Object.entries(group).filter(([, values]) => Array.isArray(values));
  return [...own.map(([name]) => [group, name]), ...Object.keys(group.outputs).map((name) => [group.outputs, name])];
}

function removeFrom(group, iteration) {
  const keep = group.iteration.findIndex((one) => one >= iteration);
  if (keep < 0) return;
  for (const [owner, name] of columnsOf(group)) owner[name].length = keep;
}

function appendGroup(group, more) {
  const before = group.iteration.length;
  const n = more.iteration.length;
  for (const name of Object.keys(more.outputs)) group.outputs[name] ??= new Array(before).fill(null);
  for (const [owner, name] of columnsOf(group)) {
    const values = owner === group ? more[name] : more.outputs[name] ?? new Array(n).fill(null);
    for (const value of values) owner[name].push(value);
  }
}
