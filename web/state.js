// What the page knows: the same object for all of it.

export const POINTS_MAX = 300;          // as many as the node keeps
export const WINDOWS = [60, 300];       // seconds that the live charts can show

export const state = {
  points: [], status: null, window: WINDOWS[0], paused: false, sort: { column: "rate", down: true }, rates: new Map(), last: 0,
  budgets: null,    // as of the last evaluation; null: none has arrived
};

export const lastPoint = () => state.points[state.points.length - 1];
export const reads = (p) => p.l1 + p.l2 + p.origin + p.errors;
