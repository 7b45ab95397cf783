import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import * as NodeServices from "@effect/platform-node/NodeServices"
import * as Cause from "effect/Cause"
import * as CliError from "effect/cli/CliError"
import * as Command from "effect/cli/Command"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Runtime from "effect/Runtime"
import { readFileSync } from "node:fs"
import * as Tenovos from "./Tenovos.ts"

const { version } = JSON.parse(readFileSync(new URL("../package.json", import.meta.url), "utf8"))

const usage = 2

Tenovos.command.pipe(
  Command.run({ version }),
  Effect.provide(NodeServices.layer),
  NodeRuntime.runMain({
    teardown: (exit, onExit) => {
      if (Exit.isFailure(exit)) {
        // A server that was told to stop has done what it should.
        if (Cause.hasInterruptsOnly(exit.cause)) return onExit(0)
        const error = Cause.squash(exit.cause)
        if (CliError.isCliError(error) && error._tag === "ShowHelp" && error.errors.length > 0) return onExit(usage)
      }
      Runtime.defaultTeardown(exit, onExit)
    }
  })
)
