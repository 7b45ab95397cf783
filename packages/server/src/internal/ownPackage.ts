import { createRequire } from "node:module"

// Code may be bundled into another package. What stands beside it, and what it depends on, stays where it is installed.

/** Resolves as from the folder of this package. */
export const resolve = (specifier: string): string =>
  createRequire(createRequire(import.meta.url).resolve("@effect-tenovos/server/package.json")).resolve(specifier)
