// The files of a run.

export async function showFiles(panel, run) {
  panel.textContent = run.name;
}
