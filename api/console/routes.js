/**
 * Every page of the console. A page is a file in pages/ that exports a component `Page`, and a row here.
 *
 * path: segments after `#`; `:name` becomes a property of the component. title: of the browser's tab, and of the entry
 * in the navigation. nav: the navigation's group; without it the page has no entry there. scope: what the key needs for
 * the entry to show. open: the page needs no sign-in.
 *
 * @typedef {{path: string, title: string, nav?: string, scope?: string, open?: boolean, load: () => Promise<{Page: any}>}} Route
 * @type {Route[]}
 */
export const ROUTES = [
  { path: "/", title: "Home", nav: "Work", load: () => import("./pages/home.js") },
  { path: "/learn", title: "Learn", nav: "Work", load: () => import("./pages/learn.js") },
  { path: "/learn/:lesson", title: "Lesson", load: () => import("./pages/lesson.js") },
  { path: "/jobs", title: "Jobs", nav: "Work", scope: "jobs.read", load: () => import("./pages/jobs.js") },
  { path: "/jobs/:id", title: "Job", load: () => import("./pages/job.js") },
  { path: "/jobs/:id/rollouts", title: "Rollouts", load: () => import("./pages/rollouts.js") },
  { path: "/new-job", title: "New job", nav: "Work", scope: "jobs.write", load: () => import("./pages/new-job.js") },
  { path: "/datasets", title: "Datasets", nav: "Work", scope: "files.read", load: () => import("./pages/datasets.js") },
  { path: "/datasets/:id", title: "Dataset", load: () => import("./pages/dataset.js") },
  { path: "/rewards", title: "Rewards", nav: "Work", scope: "jobs.read", load: () => import("./pages/rewards.js") },
  { path: "/rewards/:id", title: "Reward function", load: () => import("./pages/reward.js") },
  { path: "/new-reward", title: "New reward function", load: () => import("./pages/reward.js") },
  { path: "/models", title: "Models", nav: "Work", scope: "models.read", load: () => import("./pages/models.js") },
  { path: "/models/:name", title: "Model", load: () => import("./pages/model.js") },
  { path: "/playground", title: "Playground", nav: "Work", scope: "chat", load: () => import("./pages/playground.js") },
  { path: "/keys", title: "Keys and quotas", nav: "Admin", load: () => import("./pages/keys.js") },
  { path: "/system", title: "System", nav: "Admin", scope: "jobs.read", load: () => import("./pages/system.js") },
  { path: "/audit", title: "Audit log", nav: "Admin", scope: "admin", load: () => import("./pages/audit.js") },
  { path: "/comparisons", title: "Comparisons", nav: "People", scope: "comparisons.read", load: () => import("./pages/comparisons.js") },
  { path: "/new-comparison", title: "New comparison", load: () => import("./pages/new-comparison.js") },
  { path: "/comparisons/:id", title: "Comparison", load: () => import("./pages/comparison.js") },
  { path: "/comparisons/:id/results", title: "Results", load: () => import("./pages/results.js") },
  { path: "/vote/:id", title: "Vote", open: true, load: () => import("./pages/vote.js") },
  { path: "/sign-in", title: "Sign in", open: true, load: () => import("./pages/sign-in.js") },
  { path: "/sign-in/:token", title: "Sign in", open: true, load: () => import("./pages/sign-in.js") },
];

/** The route of a path and the path's values; route is null for an unknown path. */
export function routed(path) {
  for (const route of ROUTES) {
    const values = match(route.path, path);
    if (values) return { route, values };
  }
  return { route: null, values: {} };
}

/** @returns {Record<string, string> | null} */
function match(pattern, path) {
  const wanted = pattern.split("/");
  const given = path.split("/");
  if (wanted.length !== given.length) return null;
  const found = {};
  for (const [place, part] of wanted.entries()) {
    if (part.startsWith(":")) found[part.slice(1)] = decode(given[place]);
    else if (part !== given[place]) return null;
  }
  return found;
}

function decode(part) {
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}

/** The navigation's groups, in their order. */
export const NAV_GROUPS = ["Work", "People", "Admin"];
