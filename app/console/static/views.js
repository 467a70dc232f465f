// The views in the order of the navigation, and the scopes without which a view has nothing to show.
import { ActView } from "./act.js";
import { LiveView } from "./live.js";
import { MeasureView } from "./measure.js";
import { MerchandiseView } from "./merchandise.js";
import { ModelView } from "./model.js";
import { TryView } from "./try.js";

export const VIEWS = [
  { name: "live", title: "Live", needs: ["read"], view: LiveView },
  { name: "try", title: "Try", needs: ["read"], view: TryView },
  { name: "merchandise", title: "Merchandise", needs: ["read"], view: MerchandiseView },
  { name: "measure", title: "Measure", needs: ["read"], view: MeasureView },
  { name: "model", title: "Ranking", needs: ["read"], view: ModelView },
  { name: "act", title: "Act", needs: ["operate"], view: ActView },
];
