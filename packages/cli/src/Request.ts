/**
 * `tenovos request`: sends a request to the API, with the headers of a valid session.
 *
 * @since 0.1.0
 */
import type { AuthError } from "@effect-tenovos/core/AuthError"
import * as TenovosClient from "@effect-tenovos/core/TenovosClient"
import * as Argument from "effect/cli/Argument"
import * as Command from "effect/cli/Command"
import * as Flag from "effect/cli/Flag"
import * as Console from "effect/Console"
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as FetchHttpClient from "effect/http/FetchHttpClient"
import * as HttpBody from "effect/http/HttpBody"
import type { HttpClientError } from "effect/http/HttpClientError"
import * as HttpClientRequest from "effect/http/HttpClientRequest"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import { buffer } from "node:stream/consumers"
import * as Account from "./Account.ts"
import { CommandError, exitCodes, fromAuthError, usage } from "./CommandError.ts"
import * as auth from "./internal/auth.ts"
import * as flags from "./internal/flags.ts"
import { exitWith, write } from "./internal/terminal.ts"

const methods = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"] as const

/**
 * The command, with its arguments and flags.
 *
 * @category commands
 * @since 0.1.0
 */
export const command = Command.make(
  "request",
  {
    method: Argument.Literals("METHOD", methods),
    path: Argument.String("PATH").pipe(Argument.withDescription("Below the session's endpoint, such as /asset/1.")),
    data: flags.text(
      "data",
      "@FILE|-|TEXT",
      "The body: a file's, that of standard input, or the text itself. JSON, unless a header says else."
    ),
    headers: Flag.String("header").pipe(
      Flag.between(0, 100),
      Flag.withMetavar("NAME: VALUE"),
      Flag.withDescription("A header more; can be given again.")
    ),
    json: flags.json("status, content type and body"),
    profile: flags.profile
  },
  ({ data, headers: lines, json, method, path, profile }) =>
    Effect.gen(function*() {
      const headers = yield* Effect.forEach(lines, parseHeader)
      if (Option.isSome(data) && (method === "GET" || method === "HEAD")) {
        return yield* usage(`A ${method} request has no body: leave --data out.`)
      }
      const body = Option.isNone(data)
        ? HttpBody.empty
        : HttpBody.uint8Array(yield* read(data.value), "application/json")
      const account = yield* Account.find(profile)
      const request = HttpClientRequest.make(method)(path, { body }).pipe(HttpClientRequest.setHeaders(headers))

      yield* Effect.gen(function*() {
        const response = yield* (yield* TenovosClient.TenovosClient).execute(request)
        if (json) {
          const text = yield* Effect.catchReason(response.text, "HttpClientError", "EmptyBodyError", () =>
            Effect.succeed(""))
          const { status } = response
          yield* Console.log(
            JSON.stringify({ status, contentType: response.headers["content-type"] ?? null, body: text })
          )
        } else {
          yield* response.stream.pipe(
            Stream.runForEach(write),
            Effect.catchReason("HttpClientError", "EmptyBodyError", () =>
              Effect.void)
          )
        }
        if (response.status >= 400) {
          yield* exitWith(exitCodes.refused)
        }
      }).pipe(
        Effect.mapError(toCommandError),
        Effect.provide(TenovosClient.layer),
        Effect.provide([auth.layer(account), FetchHttpClient.layer])
      )
    })
).pipe(
  Command.withDescription(
    "Send a request to the API, and print the answer's body. Ends with 1 where its status is 400 or above. The session's " +
      "headers go to the origin of its endpoint alone."
  ),
  Command.withExamples([
    { command: "tenovos request GET /security/template", description: "Read something" },
    {
      command: "tenovos request POST /search/keyword --data @search.json",
      description: "Send the contents of a file"
    },
    {
      command: "jq -n '{a: 1}' | tenovos request POST /search/keyword --data -",
      description: "Send what another program says"
    }
  ])
)

const secretNames = ["x-api-key", "accesstoken", "authorization"]

const parseHeader = (line: string): Effect.Effect<readonly [string, string], CommandError> => {
  const [, name = "", value = ""] = /^([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*([\t\x20-\x7e\x80-\xff]*)$/.exec(line) ?? []
  return name === ""
    ? Effect.fail(usage("A header is given as --header 'NAME: VALUE'."))
    : secretNames.includes(name.toLowerCase())
    ? Effect.fail(usage(`The header ${name} is that of the session, and can't be another.`))
    : Effect.succeed([name, value])
}

const read = (data: string): Effect.Effect<Uint8Array, CommandError, FileSystem.FileSystem> =>
  data === "-"
    ? Effect.promise(() => buffer(process.stdin))
    : data.startsWith("@")
    ? FileSystem.FileSystem.use((files) => files.readFile(data.slice(1))).pipe(
      Effect.mapError(({ reason }) => usage(`Can't read the file ${data.slice(1)}: ${reason._tag}.`))
    )
    : Effect.succeed(new TextEncoder().encode(data))

const toCommandError = (error: AuthError | HttpClientError): CommandError =>
  error._tag === "AuthError"
    ? fromAuthError(error)
    : error.reason._tag === "InvalidUrlError"
    ? usage("The path is none that a URL can have.")
    : new CommandError({
      kind: "unreachable",
      message:
        "The API could not be reached, or its answer broke off. Try again later; `tenovos doctor` looks for the cause."
    })
