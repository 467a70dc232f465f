// The views in the order of the navigation, and the scopes without which a view has nothing to show.
import { LiveView } from "./live.js";
import { ModelView } from "./model.js";

export const VIEWS = [
  { name: "live", title: "Live", needs: ["read"], view: LiveView },
  { name: "model", title: "Ranking", needs: ["read"], view: ModelView },
];
