// Do the tables say what the code says? Each of the guide's is compared with what it is about, row by row, in both directions.
import * as Duration from "effect/Duration"
import { existsSync, globSync, readFileSync } from "node:fs"
import { exitCodes, fromAuthError } from "../../packages/cli/src/CommandError.ts"
import * as AuthError from "../../packages/core/src/AuthError.ts"
import * as RefreshPolicy from "../../packages/core/src/RefreshPolicy.ts"
import * as diagrams from "./diagrams.ts"
import { fail, pageOf, tableOf } from "./pages.ts"

const guide = (name: string) => pageOf(`docs/guide/${name}.md`)
const textOf = (path: string) => readFileSync(path, "utf8")
const plain = (cell = "") => cell.replace(/`/g, "")

/** Tells what is in one of two lists alone. */
const compare = (page: string, what: string, written: ReadonlyArray<string>, real: ReadonlyArray<string>): number => {
  for (const name of real) if (!written.includes(name)) fail(`${page}: says nothing of the ${what} ${name}`)
  for (const name of written) if (!real.includes(name)) fail(`${page}: there is no ${what} ${name}`)
  return real.length
}

const namesIn = (path: string, pattern: RegExp): ReadonlyArray<string> => [
  ...new Set([...textOf(path).matchAll(pattern)].map(([, name = ""]) => name))
]

// -----------------------------------------------------------------------------
// Errors
// -----------------------------------------------------------------------------

const samples: ReadonlyArray<AuthError.Reason> = [
  new AuthError.BadRequest({ message: "no" }),
  new AuthError.Unauthorized({ message: "no" }),
  new AuthError.Forbidden({ message: "no" }),
  new AuthError.RateLimited({}),
  new AuthError.Unavailable({ problem: "Timeout" }),
  new AuthError.InvalidResponse({ status: 200, path: "", expected: "JSON" }),
  new AuthError.SessionExpired(),
  new AuthError.CredentialsRejected({ message: "no" }),
  new AuthError.ClockSkew({ overSince: Duration.seconds(1) }),
  new AuthError.StoreFailure({ operation: "read" }),
  new AuthError.NotReplayable()
]

const errors = (): number => {
  const page = guide("handle-errors")
  const rows = tableOf(page, "reason", "meaning", "status", "retryable", "what to do", "exit code")
  const declared = namesIn("packages/core/src/AuthError.ts", /httpApiStatus: (?=\d)|id\("(\w+)"\)/g).filter(Boolean)
  compare(page.path, "sample of the reason", samples.map(({ _tag }) => _tag), declared)
  for (const reason of samples) {
    const [, , status, retryable, advice, exitCode] = rows.find(([name]) => plain(name) === reason._tag) ?? []
    const source = textOf("packages/core/src/AuthError.ts")
    const declaration = source.slice(source.indexOf(`class ${reason._tag}`))
    const error = new AuthError.AuthError({ reason })
    const expected = {
      status: /httpApiStatus: (\d+)/.exec(declaration)?.[1],
      retryable: reason._tag === "InvalidResponse" ? "where it is no JSON" : error.retryable ? "yes" : "no",
      advice: reason.advice,
      exitCode: String(exitCodes[fromAuthError(error).kind])
    }
    const written = { status, retryable, advice, exitCode }
    if (JSON.stringify(written) !== JSON.stringify(expected)) {
      fail(`${page.path}: ${reason._tag} is ${JSON.stringify(expected)}, and not ${JSON.stringify(written)}`)
    }
  }
  return compare(page.path, "reason", rows.map(([name]) => plain(name)), samples.map(({ _tag }) => _tag))
}

// -----------------------------------------------------------------------------
// Configuration
// -----------------------------------------------------------------------------

const policies = (): number => {
  const page = guide("configure")
  const { batch, serverless, standard } = RefreshPolicy
  const told = (duration: Duration.Duration) =>
    Duration.toSeconds(duration) % 60 === 0
      ? `${Duration.toMinutes(duration)} minutes`
      : `${Duration.toSeconds(duration)} seconds`
  const real = Object.entries({ standard, batch, serverless }).map(([name, policy]) =>
    [
      name,
      told(policy.advisoryWindow),
      `${policy.jitter * 100} %`,
      told(policy.mandatoryWindow),
      policy.keepFresh ? "yes" : "no"
    ].join(" | ")
  )
  const rows = tableOf(page, "`RefreshPolicy`").map((row) => row.slice(0, 5).map(plain).join(" | "))
  return compare(page.path, "policy", rows, real)
}

/** Every variable that a program or a command reads is told of, and no other. */
const variables = (): number => {
  const real = new Set<string>()
  for (const path of globSync("packages/{core,cli,server}/src/**/*.ts")) {
    for (const [, name = ""] of textOf(path).matchAll(/"(TENOVOS_[A-Z_]+)"/g)) {
      real.add(name)
    }
  }
  const written = ["configure", "command-line", "run-the-authority", "share-a-session"].flatMap((name) =>
    [...guide(name).prose.matchAll(/`(TENOVOS_[A-Z_]+)[`=]/g)].map(([, name = ""]) => name)
  )
  // What `run` gives to its program is written as keys.
  const given = ["TENOVOS_ACCESS_TOKEN", "TENOVOS_ID_TOKEN"]
  return compare("docs/guide", "variable", [...new Set(written)], [...new Set([...real, ...given])])
}

/** The table that a program makes by itself is that of the store. */
const columns = (): number => {
  const page = guide("share-a-session")
  const columnsOf = (text: string) =>
    (/CREATE TABLE[^(]*\(\n(.*?)\n *\)/s.exec(text)?.[1] ?? "").split(",\n").map((column) => column.trim())
  const sql = page.fences.filter(({ words: [language] }) => language === "sql").map(({ code }) => code).join("")
  return compare(page.path, "column", columnsOf(sql), columnsOf(textOf("packages/core/src/SessionStoreSql.ts")))
}

// -----------------------------------------------------------------------------
// What can be watched
// -----------------------------------------------------------------------------

const events = (): number => {
  const page = guide("operate")
  const source = textOf("packages/core/src/AuthEvent.ts")
  const real = [...source.slice(source.indexOf("export type AuthEvent")).matchAll(/^ {2}(\w+): \{/gm)].map((
    [, name = ""]
  ) => name)
  return compare(page.path, "event", tableOf(page, "event").map(([name]) => plain(name)), real)
}

const metrics = (): number => {
  const page = guide("operate")
  const real = namesIn("packages/core/src/internal/metrics.ts", /"(tenovos_auth_\w+)"/g)
  const written = tableOf(page, "metric").map(([name]) => plain(name))
  const exported = [...page.text.matchAll(/\btenovos_auth_\w+/g)].map(([name]) => name)
  const dashboard = namesIn("docs/guide/dashboard.json", /\b(tenovos_auth_\w+)/g)
  for (const name of [...exported, ...dashboard]) {
    if (!real.includes(name.replace(/_(bucket|sum|count)$/, ""))) fail(`${page.path}: there is no metric ${name}`)
  }
  return compare(page.path, "metric", written, real)
}

// -----------------------------------------------------------------------------
// Promises
// -----------------------------------------------------------------------------

/** Each promise names the test that shows it: its file, and its title. */
const promises = (): number => {
  const page = guide("security")
  const rows = tableOf(page, "promise", "file", "test")
  for (const [promise, file, title] of rows) {
    const path = plain(file)
    if (!existsSync(path)) fail(`${page.path}: there is no ${path}`)
    else if (!textOf(path).includes(plain(title))) fail(`${page.path}: ${path} has no test "${title}", of "${promise}"`)
  }
  return rows.length
}

const commands = (): number => {
  const page = guide("command-line")
  const real = namesIn("packages/cli/src/Tenovos.ts", /^ {4}(\w+)\.command/gm).map((name) => name.toLowerCase())
  const written = tableOf(page, "command").map(([name]) => plain(name).split(" ")[0] ?? "")
  const codes = tableOf(page, "exit code").map(([code]) => plain(code)).filter((code) => /^\d$/.test(code))
  compare(page.path, "exit code", codes, Object.values(exitCodes).map(String))
  return compare(page.path, "command", written, real)
}

export const check = (): number =>
  [diagrams.check, errors, policies, variables, columns, events, metrics, promises, commands]
    .reduce((sum, check) => sum + check(), 0)
