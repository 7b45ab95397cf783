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

const [command, ...args] = process.argv.slice(2)

/** The commands that are asked for most often don't load the others. */
const isDone = command === "token"
  ? await (await import("./internal/quickToken.ts")).quickly(args)
  : command === "serve" && (await import("./internal/quickServe.ts")).quickly(args)
if (!isDone) await import("./main.ts")
