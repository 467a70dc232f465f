// The views in the order of the navigation, and the scopes without which a view has nothing to show.
import { ActView } from "./act.js";
import { LiveView } from "./live.js";
import { ModelView } from "./model.js";
import { TryView } from "./try.js";

export const VIEWS = [
  { name: "live", title: "Live", needs: ["read"], view: LiveView },
  { name: "try", title: "Try", needs: ["read"], view: TryView },
  { name: "act", title: "Act", needs: ["operate"], view: ActView },
  { name: "model", title: "Ranking", needs: ["read"], view: ModelView },
];
