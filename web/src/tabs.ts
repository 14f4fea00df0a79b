// Stores the tabs after every edit, so that they survive a reload. GraphiQL's own storage is delayed by half a second,
// and stores the editors' texts separately from the tabs: after a reload in between, both differ, and GraphiQL opens
// another tab. Here both are stored together and at once.

import type { GraphiQL } from "graphiql";
import type { ComponentProps } from "react";
import { examples } from "./examples";

type Properties = ComponentProps<typeof GraphiQL>;
type State = Parameters<NonNullable<Properties["onTabChange"]>>[0];

const KEY = "graphiql:tabState";
/** The keys under which GraphiQL itself would store tabs and texts. */
const OWN = [KEY, "graphiql:query", "graphiql:variables"];

const stored = restore();

/** The initial content of the editors. */
export const activeTab = stored?.tabs[stored.activeTabIndex] ?? examples[0];

/** Stores the tabs without headers and responses, because those contain tokens. */
export function storeTabs({ tabs, activeTabIndex }: State): void {
  const kept = tabs.map((tab) => ({ ...tab, hash: null, headers: null, response: null }));
  sessionStorage.setItem(KEY, JSON.stringify({ tabs: kept, activeTabIndex }));
}

/** Stores the rest of GraphiQL's state in sessionStorage. */
export const storage: NonNullable<Properties["storage"]> = {
  get length() {
    return sessionStorage.length;
  },
  getItem: (key) => (key === KEY || !OWN.includes(key) ? sessionStorage.getItem(key) : null),
  setItem: (key, value) => OWN.includes(key) || sessionStorage.setItem(key, value),
  removeItem: (key) => sessionStorage.removeItem(key),
  clear: () => sessionStorage.clear(),
};

function restore(): State | null {
  try {
    return JSON.parse(sessionStorage.getItem(KEY) ?? "null") as State | null;
  } catch {
    return null;
  }
}
