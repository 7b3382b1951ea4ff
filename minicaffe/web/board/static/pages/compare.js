// Settings and scores of several runs.

import { fill } from "../dom.js";
import { heading } from "../main.js";
import { t } from "../text.js";

export async function showCompare(main) {
  fill(main, heading(t("Comparison")));
}
