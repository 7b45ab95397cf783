#!/usr/bin/env node
import { enableCompileCache } from "node:module"
import { homedir } from "node:os"
import { join } from "node:path"

// In a folder of the user's own: who can write it decides what runs.
// oxlint-disable-next-line node/no-process-env -- before anything is loaded that reads it otherwise.
enableCompileCache(join(process.env["XDG_CACHE_HOME"] || join(homedir(), ".cache"), "tenovos", "compiled"))

// Whoever reads the output may have read enough.
process.stdout.on("error", (error: NodeJS.ErrnoException) => process.exit(error.code === "EPIPE" ? 0 : 1))

const { quickly } = await import("./internal/quick.ts")
if (!(await quickly(process.argv.slice(2)))) await import("./main.ts")
