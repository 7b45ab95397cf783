#!/usr/bin/env node
import { enableCompileCache } from "node:module"
import { isAbsolute, join } from "node:path"

// In a folder of the user's own: who can write it decides what runs.
// oxlint-disable-next-line node/no-process-env -- before anything is loaded that reads it otherwise.
const { HOME = "", XDG_CACHE_HOME } = process.env
const cache = XDG_CACHE_HOME || join(HOME, ".cache")
if (isAbsolute(cache)) enableCompileCache(join(cache, "tenovos", "compiled"))

// Whoever reads the output may have read enough.
process.stdout.on("error", (error: NodeJS.ErrnoException) => process.exit(error.code === "EPIPE" ? 0 : 1))

const { quickly } = await import("./internal/quick.ts")
if (!(await quickly(process.argv.slice(2)))) await import("./main.ts")
