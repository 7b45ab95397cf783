import * as Effect from "effect/Effect"
import { spawnSync } from "node:child_process"
import { fileURLToPath } from "node:url"

/** Compiles a package to its `dist`, as it is published: without types to strip. */
export const compile = (folder: string): Effect.Effect<void> =>
  Effect.sync(() => {
    const tsc = fileURLToPath(import.meta.resolve("typescript/package.json")).replace("package.json", "bin/tsc")
    run(tsc, "-b", folder)
  })

/** Makes the command as it is published. */
export const bundle: Effect.Effect<void> = Effect.sync(() => run("scripts/bundle.ts"))

const run = (...args: ReadonlyArray<string>): void => {
  const cwd = fileURLToPath(new URL("../../..", import.meta.url))
  const { status, stderr, stdout } = spawnSync(process.execPath, args, { cwd, encoding: "utf8" })
  if (status !== 0) throw new Error(stdout + stderr)
}
