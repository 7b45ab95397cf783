#!/usr/bin/env node
import { enableCompileCache } from "node:module"
import { cacheFolder } from "./internal/cacheFolder.ts"

if (cacheFolder !== undefined) enableCompileCache(cacheFolder)

// Whoever reads the output may have read enough.
process.stdout.on("error", (error: NodeJS.ErrnoException) => process.exit(error.code === "EPIPE" ? 0 : 1))

const [command, ...args] = process.argv.slice(2)

/** The commands that are asked for most often don't load the others. */
const isDone = command === "token"
  ? await (await import("./internal/quickToken.ts")).quickly(args)
  : command === "serve" && (await import("./internal/quickServe.ts")).quickly(args)
if (!isDone) await import("./main.ts")
