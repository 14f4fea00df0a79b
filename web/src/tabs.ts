// The tabs outlast a reload, with every edit. GraphiQL by itself stores them half a second late, and the text of the
// editors apart from the tabs: after a reload in between the two differ, and it opens one more tab. Here both are stored
// at once, as one.

import type { GraphiQL } from "graphiql";
import type { ComponentProps } from "react";
import { examples } from "./examples";

type Properties = ComponentProps<typeof GraphiQL>;
type State = Parameters<NonNullable<Properties["onTabChange"]>>[0];

const KEY = "graphiql:tabState";
/** What GraphiQL would keep by itself. */
const OWN = [KEY, "graphiql:query", "graphiql:variables"];

const stored = restore();

/** What the editors hold at first. */
export const activeTab = stored?.tabs[stored.activeTabIndex] ?? examples[0];

/** Stores the tabs. Headers and responses are left out: tokens are in them. */
export function storeTabs({ tabs, activeTabIndex }: State): void {
  const kept = tabs.map((tab) => ({ ...tab, hash: null, headers: null, response: null }));
  sessionStorage.setItem(KEY, JSON.stringify({ tabs: kept, activeTabIndex }));
}

/** sessionStorage for everything else that GraphiQL keeps. */
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
