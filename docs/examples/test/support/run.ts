import * as Effect from "effect/Effect"
import { spawn } from "node:child_process"
import { once } from "node:events"
import { text } from "node:stream/consumers"
import { fileURLToPath } from "node:url"

/** Runs an example as a user would, and waits for its end. */
export const run = (example: string, env: Readonly<Record<string, string>> = {}, ...flags: ReadonlyArray<string>) =>
  Effect.promise(async () => {
    const child = spawn(
      process.execPath,
      [...flags, fileURLToPath(new URL(`../../${example}`, import.meta.url))],
      { env: { ...process.env, NO_COLOR: "1", ...env } }
    )
    const [[code], stdout, stderr] = await Promise.all([once(child, "exit"), text(child.stdout), text(child.stderr)])
    return { code, stdout, stderr }
  })
