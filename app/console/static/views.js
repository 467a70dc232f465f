// The views in the order of the navigation, and the scopes without which a view has nothing to show.
import { ModelView } from "./model.js";

export const VIEWS = [
  { name: "model", title: "Ranking", needs: ["read"], view: ModelView },
];
