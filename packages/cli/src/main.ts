import * as NodeServices from "@effect/platform-node/NodeServices"
import * as CliError from "effect/cli/CliError"
import * as CliOutput from "effect/cli/CliOutput"
import * as Command from "effect/cli/Command"
import * as Effect from "effect/Effect"
import { readFileSync } from "node:fs"
import { usage } from "./CommandError.ts"
import * as runtime from "./internal/runtime.ts"
import * as Tenovos from "./Tenovos.ts"

const { version } = JSON.parse(readFileSync(new URL("../package.json", import.meta.url), "utf8"))

/** What is wrong with a command is said in one line, not below a page of help. */
const presenter: CliOutput.Presenter = {
  present: (event) => event._tag === "InvalidInvocation" ? Effect.void : CliOutput.defaultPresenter.present(event)
}

const formatter: CliOutput.Formatter = {
  ...CliOutput.defaultFormatter(),
  formatError: ({ message }) => `tenovos: ${message}`
}

Tenovos.command.pipe(
  Command.run({ version }),
  Effect.mapError((error) => {
    if (!CliError.isCliError(error) || error._tag === "ShowHelp" && error.errors.length === 0) return error
    if (error._tag !== "ShowHelp") return usage(error.message)
    const sentences = error.errors.flatMap(({ message }) => message.split("\n"))
      .map((line) => line.trim()).filter((line) => line !== "")
      .map((line) => /[.?!:]$/.test(line) ? line : `${line}.`)
    return usage(`${sentences.join(" ")} See \`${error.commandPath.join(" ")} --help\`.`)
  }),
  Effect.provide([CliOutput.layer(formatter), CliOutput.layerPresenter(presenter), NodeServices.layer]),
  runtime.run
)
