import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import * as Cause from "effect/Cause"
import * as Console from "effect/Console"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Runtime from "effect/Runtime"
import { constants } from "node:os"
import { CommandError, exitCodes } from "../CommandError.ts"
import * as logging from "./logging.ts"

/** Runs a command as this process, and ends it with the exit code that says what came of it. */
export const run = <E>(command: Effect.Effect<void, E>): void => {
  let signal: "SIGINT" | "SIGTERM" = "SIGINT"
  process.once("SIGTERM", () => signal = "SIGTERM")
  command.pipe(
    Effect.tapCause((cause) => {
      if (Cause.hasInterruptsOnly(cause)) return Effect.void
      const error = Cause.squash(cause)
      if (error instanceof CommandError) return Console.error(`tenovos: ${error.message}`)
      return Runtime.getErrorReported(error) ? Effect.logError(cause) : Effect.void
    }),
    Effect.provide(logging.layer),
    NodeRuntime.runMain({
      disableErrorReporting: true,
      teardown: (exit, onExit) => {
        if (Exit.isSuccess(exit)) return onExit(Number(process.exitCode ?? exitCodes.done))
        if (Cause.hasInterruptsOnly(exit.cause)) {
          return onExit(Number(process.exitCode ?? 128 + constants.signals[signal]))
        }
        const error = Cause.squash(exit.cause)
        if (error instanceof CommandError) return onExit(exitCodes[error.kind])
        Runtime.defaultTeardown(exit, onExit)
      }
    })
  )
}
