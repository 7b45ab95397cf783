import { isAbsolute, join } from "node:path"

// In a folder of the user's own: who can write it decides what runs.
// oxlint-disable-next-line node/no-process-env -- before anything is loaded that reads it otherwise.
const { HOME = "", XDG_CACHE_HOME } = process.env
const cache = XDG_CACHE_HOME || join(HOME, ".cache")

/** Where what V8 has compiled is kept, if there is such a folder. */
export const cacheFolder: string | undefined = isAbsolute(cache) ? join(cache, "tenovos", "compiled") : undefined
