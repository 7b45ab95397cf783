import * as Effect from "effect/Effect"
import { spawnSync } from "node:child_process"
import { fileURLToPath } from "node:url"

/** Compiles a package to its `dist`, as it is published: without types to strip. */
export const compile = (folder: string): Effect.Effect<void> =>
  Effect.sync(() => {
    const tsc = fileURLToPath(import.meta.resolve("typescript/package.json")).replace("package.json", "bin/tsc")
    const { status, stderr, stdout } = spawnSync(process.execPath, [tsc, "-b", folder], { encoding: "utf8" })
    if (status !== 0) throw new Error(stdout + stderr)
  })
