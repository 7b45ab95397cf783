import * as Console from "effect/Console"
import * as Effect from "effect/Effect"

/** Says what is being done to who sits at a terminal, and nothing to a program. */
export const progress = (text: string): Effect.Effect<void> =>
  Effect.suspend(() => process.stderr.isTTY ? Console.error(text) : Effect.void)

/** Whether somebody can be asked. */
export const isInteractive: Effect.Effect<boolean> = Effect.sync(() => process.stdin.isTTY && process.stdout.isTTY)

/** Ends the process with this code, once the command is done. */
export const exitWith = (code: number): Effect.Effect<void> =>
  Effect.sync(() => {
    process.exitCode = code
  })

/** Writes bytes as they are, and waits until they are taken. */
export const write = (bytes: Uint8Array | string): Effect.Effect<void> =>
  Effect.callback((resume) => {
    // Who reads no longer is nobody to tell.
    process.stdout.write(bytes, () => resume(Effect.void))
  })
