/**
 * `tenovos run`: runs a program that finds the headers of a valid session in its environment.
 *
 * @since 0.1.0
 */
import * as TenovosAuth from "@effect-tenovos/core/TenovosAuth"
import * as Argument from "effect/cli/Argument"
import * as Command from "effect/cli/Command"
import * as Console from "effect/Console"
import * as Effect from "effect/Effect"
import { spawn } from "node:child_process"
import { constants } from "node:os"
import * as Account from "./Account.ts"
import * as auth from "./internal/auth.ts"
import * as flags from "./internal/flags.ts"
import { exitWith } from "./internal/terminal.ts"

/**
 * The command, whose arguments are those of the program.
 *
 * @category commands
 * @since 0.1.0
 */
export const command = Command.make(
  "run",
  {
    command: Argument.String("COMMAND").pipe(
      Argument.atLeast(1),
      Argument.withDescription("The program and its arguments, after --.")
    ),
    profile: flags.profile
  },
  ({ command: [program = "", ...args], profile }) =>
    Effect.gen(function*() {
      const account = yield* Account.find(profile)
      const { headers, session } = yield* auth.withAuth(account, TenovosAuth.TenovosAuth.use(({ serve }) => serve()))
      const variables = {
        TENOVOS_ENDPOINT_URL: session.endpointUrl,
        TENOVOS_API_KEY: headers["x-api-key"],
        TENOVOS_ACCESS_TOKEN: headers["accesstoken"],
        TENOVOS_ID_TOKEN: headers["authorization"]
      }
      // Until it has ended, signals are its own affair.
      yield* Effect.uninterruptible(Effect.flatMap(runChild(program, args, variables), exitWith))
    })
).pipe(
  Command.withDescription(
    "Run a program with TENOVOS_API_KEY, TENOVOS_ACCESS_TOKEN and TENOVOS_ID_TOKEN in its environment, and nowhere else: the " +
      "values of the headers X-API-Key, AccessToken and Authorization, for requests to TENOVOS_ENDPOINT_URL. They are good " +
      "for half a minute at least, and are not renewed while it runs. Ends as the program ends."
  ),
  Command.withExamples([
    { command: "tenovos run -- ./import.sh --all", description: "Run a script that calls the API" },
    { command: "tenovos run --profile uat -- node report.js", description: "With the session of another account" }
  ])
)

const forwarded = ["SIGINT", "SIGTERM", "SIGHUP", "SIGUSR1", "SIGUSR2"] as const

/** The exit code, as shells have it: 128 and its number for a program that a signal has ended, 127 where there is none. */
const runChild = (
  program: string,
  args: ReadonlyArray<string>,
  variables: Readonly<Record<string, string | undefined>>
): Effect.Effect<number> =>
  Effect.callback((resume) => {
    // oxlint-disable-next-line node/no-process-env -- a program has the environment of who starts it.
    const child = spawn(program, args, { stdio: "inherit", env: { ...process.env, ...variables } })
    const isAtTerminal = [process.stdin, process.stdout, process.stderr].some(({ isTTY }) => isTTY)
    const forward = (signal: NodeJS.Signals) => {
      // A terminal has sent it to the program too.
      if (signal !== "SIGINT" || !isAtTerminal) child.kill(signal)
    }
    for (const signal of forwarded) process.on(signal, forward)
    const ended = (result: Effect.Effect<number>) => {
      for (const signal of forwarded) process.off(signal, forward)
      resume(result)
    }
    child.on("error", ({ code }: NodeJS.ErrnoException) => {
      // A signal that it may not be sent: it runs all the same.
      if (child.pid !== undefined) return
      ended(
        code === "ENOENT"
          ? Effect.as(Console.error(`tenovos: There is no program ${program}.`), 127)
          : Effect.as(Console.error(`tenovos: The program ${program} can't be run: ${code}.`), 126)
      )
    })
    child.once("exit", (code, signal) =>
      ended(Effect.succeed(signal === null ? code ?? 0 : 128 + constants.signals[signal])))
  })
