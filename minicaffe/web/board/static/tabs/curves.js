// The curves of a run.

export async function showCurves(panel, run) {
  panel.textContent = run.name;
}
